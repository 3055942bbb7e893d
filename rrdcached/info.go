package rrdcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Info is what a file on disk says of itself; pending updates do not show.
type Info struct {
	Schema               // limits as printed, with 11 digits; NoLimit where the file has none
	LastUpdate time.Time // whole seconds
}

// Info reads the header of a file (command INFO, see rrdinfo(1)).
func (c *Client) Info(ctx context.Context, file string) (Info, error) {
	if err := c.fileCommand("INFO", file); err != nil {
		return Info{}, err
	}
	var info Info
	err := c.command(ctx, func(reply status) error {
		var err error
		info, err = c.replies.info(reply)
		return err
	})
	return info, err
}

func (r *replies) info(reply status) (Info, error) {
	var info Info
	if err := r.lines(reply.code, info.line); err != nil {
		return Info{}, err
	}
	if info.Step == 0 || len(info.Sources) == 0 || len(info.Archives) == 0 {
		return Info{}, fmt.Errorf("%w: INFO without step, sources or archives", ErrProtocol)
	}
	return info, nil
}

// line takes "<key> <type> <value>", key being a word, ds[NAME].word, rra[N].word or one of cdp_prep, which are passed over.
func (info *Info) line(line []byte) error {
	key, rest, _ := bytes.Cut(line, []byte{' '})
	_, value, found := bytes.Cut(rest, []byte{' '})
	if !found {
		return errors.New("no value")
	}
	switch table, inner, isTable := strings.Cut(string(key), "["); {
	case !isTable:
		return info.field(table, string(value))
	case table == "ds":
		name, field, _ := strings.Cut(inner, "].")
		return info.source(name, field, string(value))
	case table == "rra":
		number, field, _ := strings.Cut(inner, "].")
		return info.archive(number, field, string(value))
	}
	return nil
}

func (info *Info) field(name, value string) error {
	switch name {
	case "step":
		return parseCount(value, &info.Step)
	case "last_update":
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds < 0 || seconds > maxTime {
			return errors.New("no time")
		}
		info.LastUpdate = time.Unix(seconds, 0)
	}
	return nil
}

func (info *Info) source(name, field, value string) error {
	if field == "index" { // the first line of a source
		if len(info.Sources) == maxValues || value != strconv.Itoa(len(info.Sources)) || !sourceName.MatchString(name) {
			return errors.New("not the next source")
		}
		info.Sources = append(info.Sources, Source{Name: name, Min: NoLimit, Max: NoLimit})
		return nil
	}
	if len(info.Sources) == 0 || info.Sources[len(info.Sources)-1].Name != name {
		return errors.New("a source without index")
	}
	source := &info.Sources[len(info.Sources)-1]
	switch field {
	case "type":
		source.Type = printable(value)
	case "minimal_heartbeat":
		return parseCount(value, &source.Heartbeat)
	case "min":
		return parseLimit(value, &source.Min)
	case "max":
		return parseLimit(value, &source.Max)
	}
	return nil
}

func (info *Info) archive(number, field, value string) error {
	if field == "cf" { // the first line of an archive
		if len(info.Archives) == maxArchives || number != strconv.Itoa(len(info.Archives)) {
			return errors.New("not the next archive")
		}
		info.Archives = append(info.Archives, Archive{Function: printable(value)})
		return nil
	}
	if len(info.Archives) == 0 || number != strconv.Itoa(len(info.Archives)-1) {
		return errors.New("an archive without function")
	}
	archive := &info.Archives[len(info.Archives)-1]
	switch field {
	case "rows":
		return parseCount(value, &archive.Rows)
	case "pdp_per_row":
		return parseCount(value, &archive.Steps)
	case "xff":
		xff, err := parseNumber([]byte(value))
		archive.XFF = xff
		return err
	}
	return nil
}

// parseCount reads a positive number.
func parseCount(text string, into *int) error {
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil || number == 0 {
		return errors.New("no positive number")
	}
	*into = int(number)
	return nil
}

// parseLimit reads a minimum or maximum; "NaN" is none.
func parseLimit(text string, into *float64) error {
	number, err := parseNumber([]byte(text))
	if err == nil && !math.IsNaN(number) {
		*into = number
	}
	return err
}
