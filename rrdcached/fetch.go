package rrdcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	maxRange  = 20 * 366 * 24 * time.Hour // of one FETCH; the daemon allocates what is asked for
	maxCells  = 2_000_000                 // values of one FETCH
	chunkRows = 64
)

// Series is what Fetch read: one row per step, the oldest first.
type Series struct {
	Step  int       // seconds
	Start time.Time // begin of the first row's interval
	Names []string  // of the sources, in the order of the values
	Rows  []Row
}

// Row is one consolidated row.
type Row struct {
	Time   time.Time // end of the row's interval
	Values []float64 // per source; NaN where nothing finite is known
}

// Fetch reads what the archives with the function (AVERAGE, MIN, MAX, LAST)
// hold between from and to; the daemon writes the file before and picks the
// finest archive that covers the interval. The last row may end after to. An
// interval over 20 years is ErrBadValue; a reply over 60,000 rows or 2,000,000 values ends the connection.
func (c *Client) Fetch(ctx context.Context, file, function string, from, to time.Time) (Series, error) {
	if !slices.Contains(functions, function) {
		return Series{}, fmt.Errorf("%w: archive function %q", ErrBadValue, printable(function))
	}
	if from.Unix() < 1 || to.Unix() > maxTime || !from.Before(to) || to.Sub(from) > maxRange {
		return Series{}, fmt.Errorf("%w: interval from %d to %d", ErrBadValue, from.Unix(), to.Unix())
	}
	if err := c.fileCommand("FETCH", file); err != nil {
		return Series{}, err
	}
	c.out = fmt.Appendf(c.out, " %s %d %d", function, from.Unix(), to.Unix())
	var series Series
	err := c.command(ctx, func(reply status) error {
		var err error
		series, err = c.replies.series(reply)
		return err
	})
	return series, err
}

// fetched is a FETCH reply while it is read: header lines "Name: value", of which DSName is the last, then rows.
type fetched struct {
	Series
	count int       // DSCount
	free  []float64 // room for the values of the next rows
}

func (r *replies) series(reply status) (Series, error) {
	var f fetched
	if err := r.lines(reply.code, f.line); err != nil {
		return Series{}, err
	}
	if f.Names == nil {
		return Series{}, fmt.Errorf("%w: FETCH without names", ErrProtocol)
	}
	return f.Series, nil
}

func (f *fetched) line(line []byte) error {
	name, text, found := bytes.Cut(line, []byte(": "))
	if !found {
		return errors.New("no colon")
	}
	if f.Names != nil {
		return f.row(string(name), text)
	}
	switch string(name) {
	case "Start":
		seconds, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || seconds < 0 || seconds > maxTime {
			return errors.New("no time")
		}
		f.Start = time.Unix(seconds, 0)
	case "Step":
		step, err := strconv.ParseUint(string(text), 10, 31)
		if err != nil || step == 0 {
			return errors.New("no step")
		}
		f.Step = int(step)
	case "DSCount":
		count, err := strconv.ParseUint(string(text), 10, 31)
		if err != nil || count == 0 {
			return errors.New("no count")
		}
		f.count = int(count)
	case "DSName":
		return f.names(text)
	}
	return nil
}

func (f *fetched) names(text []byte) error {
	if f.Step == 0 || f.Start.IsZero() {
		return errors.New("names before step and start")
	}
	for name := range bytes.FieldsSeq(text) {
		if !sourceName.Match(name) {
			return errors.New("no name of a source")
		}
		f.Names = append(f.Names, string(name))
	}
	if len(f.Names) == 0 || len(f.Names) != f.count {
		return errors.New("another number of names than DSCount")
	}
	return nil
}

func (f *fetched) row(stamp string, text []byte) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || seconds != f.Start.Unix()+int64(f.Step)*int64(len(f.Rows)+1) {
		return errors.New("not the time of the next row")
	}
	if (len(f.Rows)+1)*f.count > maxCells {
		return fmt.Errorf("more than %d values", maxCells)
	}
	if len(f.free) == 0 {
		f.free = make([]float64, chunkRows*f.count)
	}
	values := f.free[:f.count:f.count]
	f.free = f.free[f.count:]
	i := 0
	for word := range bytes.FieldsSeq(text) {
		if i == f.count {
			return errors.New("more values than sources")
		}
		if values[i], err = parseNumber(word); err != nil {
			return err
		}
		i++
	}
	if i != f.count {
		return errors.New("fewer values than sources")
	}
	f.Rows = append(f.Rows, Row{Time: time.Unix(seconds, 0), Values: values})
	return nil
}

// parseNumber reads a number as printf(3) writes it; "nan", "-nan", "inf" and what overflows is NaN.
func parseNumber(word []byte) (float64, error) {
	switch string(word) {
	case "-nan", "nan", "NaN", "-NaN", "inf", "-inf":
		return math.NaN(), nil
	}
	number, err := strconv.ParseFloat(string(word), 64)
	if errors.Is(err, strconv.ErrRange) || math.IsInf(number, 0) {
		return math.NaN(), nil
	}
	if err != nil {
		return 0, errors.New("no number")
	}
	return number, nil
}
