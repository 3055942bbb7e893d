package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/measurement"
	"pollux/rrd"
	"pollux/rrdcached"
	"pollux/settings"
	"pollux/store"
)

// fetchFlags say what is read of a file.
type fetchFlags struct{ start, end, function string }

func (p *program) rrdFetchCommand() *cobra.Command {
	var flags fetchFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "fetch DEVICE FILE", Short: "Print what an RRD file holds, from whichever RRDCached answers", Args: words(2),
		Long: `Prints the rows of an RRD file as "rrdtool fetch" does: the end of each row in Unix
seconds and a value per source, counters as rates per second. It asks the
RRDCached of the device's shard in their order and takes the first that answers
and has the newest rows, so it works while any of them is away.

FILE is the name of a file in the device's directory, such as port-id7.rrd, or
the name of a port, or uptime.`,
		Example: `  pollux rrd fetch sw1 uptime
  pollux rrd fetch sw1 Gi1/0/1 --start 7d --cf MAX`,
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.rrdFetch(command.Context(), args[0], args[1], flags)
		}),
	})
	command.Flags().StringVar(&flags.start, "start", "24h", "begin: a time back such as 90m, 24h or 7d, or 2026-01-02T15:04:05Z, or Unix seconds")
	command.Flags().StringVar(&flags.end, "end", "now", "end, in the same forms")
	command.Flags().StringVar(&flags.function, "cf", "AVERAGE", "consolidation function of the archives: AVERAGE, MIN, MAX or LAST")
	return command
}

func (p *program) rrdFetch(ctx context.Context, host, name string, flags fetchFlags) error {
	question, err := flags.question(time.Now())
	if err != nil {
		return err
	}
	c, err := p.boot()
	if err != nil {
		return err
	}
	return p.withStore(ctx, func(s *store.Store, values settings.Values, _ *slog.Logger) error {
		d, err := findDevice(ctx, s, host)
		if err != nil {
			return err
		}
		if question.File, err = fileOf(ctx, s, d, name); err != nil {
			return err
		}
		id, err := s.ClusterID(ctx)
		if err != nil {
			return err
		}
		addresses := addressesOf(postsOf(c.RRDCached, values.Shards()), d.Shard)
		if len(addresses) == 0 {
			return errNoRRDCached
		}
		graph, err := rrd.NewReader(id, addresses).Fetch(ctx, question)
		if err != nil {
			return fetchAdvice(err)
		}
		if graph.Address != addresses[0] {
			p.note("read from %s%s", graph.Address, plain(whyPassed(graph)))
		}
		if p.asJSON {
			return p.printJSON(shownGraph(d, question, graph))
		}
		return p.printGraph(graph)
	})
}

// whyPassed says why other RRDCached were not read from.
func whyPassed(g rrd.Graph) (text string) {
	for _, err := range g.Passed {
		text += "; " + err.Error()
	}
	return text
}

// question is what the flags ask for, of a file that is not known yet.
func (f fetchFlags) question(now time.Time) (q rrd.Question, err error) {
	q.Function = strings.ToUpper(f.function)
	if !slices.Contains([]string{"AVERAGE", "MIN", "MAX", "LAST"}, q.Function) {
		return q, usagef("--cf is AVERAGE, MIN, MAX or LAST, not %.40q", f.function)
	}
	var startOK, endOK bool
	q.From, startOK = parseMoment(f.start, now)
	q.To, endOK = parseMoment(f.end, now)
	switch {
	case !startOK:
		return q, usagef("--start is a time back such as 24h or 7d, 2026-01-02T15:04:05Z or Unix seconds, not %.60q", f.start)
	case !endOK:
		return q, usagef("--end is now, a time back such as 24h or 7d, 2026-01-02T15:04:05Z or Unix seconds, not %.60q", f.end)
	case !q.From.Before(q.To):
		return q, usagef("--start must be before --end")
	}
	return q, nil
}

// parseMoment reads a moment as people give it; a minus in front of a time back is that of rrdtool.
func parseMoment(text string, now time.Time) (time.Time, bool) {
	if text == "now" {
		return now, true
	}
	if span, ok := parseSpan(strings.TrimPrefix(text, "-")); ok {
		return now.Add(-span), true
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0), seconds > 0
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}

// fileOf is the file that is meant, relative to the base of the tree.
func fileOf(ctx context.Context, s *store.Store, d device.Device, name string) (string, error) {
	if strings.HasSuffix(name, ".rrd") {
		file := d.RRDDir + "/" + name
		if strings.Contains(name, "/") || rrdcached.CheckFile(file) != nil {
			return "", usagef("FILE is the name of a file in the directory of the device, not %.80q", name)
		}
		return file, nil
	}
	if name == "uptime" {
		return measurement.Path(d.RRDDir, measurement.KindUptime, 0, d.Generation), nil
	}
	ports, err := s.Ports(ctx, d.ID)
	if err != nil {
		return "", err
	}
	var files []string
	for _, port := range ports {
		if port.State.IfName == name {
			files = append(files, measurement.Path(d.RRDDir, measurement.KindPort, port.ID, port.Generation))
		}
	}
	switch len(files) {
	case 0:
		return "", fmt.Errorf("%w: %s has no port %.80q; see: pollux device show %s", errNotFound, d.Hostname, name, d.Hostname)
	case 1:
		return files[0], nil
	}
	return "", usagef("%d ports of %s are called %.80q; name a file: %s", len(files), d.Hostname, name, strings.ReplaceAll(strings.Join(files, ", "), d.RRDDir+"/", ""))
}

// fetchAdvice tells a file that is nowhere from RRDCached that do not answer.
func fetchAdvice(err error) error {
	if errors.Is(err, rrdcached.ErrNoFile) && !errors.Is(err, rrdcached.ErrConnection) {
		return fmt.Errorf("%w: %w; nothing was recorded in it yet, or it has another name", errNotFound, err)
	}
	return err
}

// graphJSON is what was read in JSON.
type graphJSON struct {
	Device    string    `json:"device"`
	File      string    `json:"file"`
	RRDCached string    `json:"rrdcached"` // that answered
	Function  string    `json:"function"`
	Step      int       `json:"step_seconds"`
	Sources   []string  `json:"sources"`
	Rows      []rowJSON `json:"rows"`
}

// rowJSON is a row in JSON; null is an unknown value.
type rowJSON struct {
	Time   *string    `json:"time"` // its end
	Values []*float64 `json:"values"`
}

func shownGraph(d device.Device, q rrd.Question, g rrd.Graph) graphJSON {
	shown := graphJSON{
		Device: d.Hostname, File: q.File, RRDCached: g.Address, Function: q.Function, Step: g.Step, Sources: g.Names, Rows: make([]rowJSON, len(g.Rows)),
	}
	for i, row := range g.Rows {
		shown.Rows[i] = rowJSON{Time: rfc3339(row.Time), Values: make([]*float64, len(row.Values))}
		for n := range row.Values {
			if !math.IsNaN(row.Values[n]) {
				shown.Rows[i].Values[n] = &row.Values[n]
			}
		}
	}
	return shown
}

// printGraph prints rows as rrdtool 1.7 does.
func (p *program) printGraph(g rrd.Graph) error {
	out := bufio.NewWriter(p.out)
	fmt.Fprintf(out, "%11s", "")
	for _, name := range g.Names {
		fmt.Fprintf(out, "%20s", name)
	}
	fmt.Fprint(out, "\n\n")
	for _, row := range g.Rows {
		fmt.Fprintf(out, "%10d:", row.Time.Unix())
		for _, value := range row.Values {
			if math.IsNaN(value) {
				fmt.Fprint(out, " nan")
			} else {
				fmt.Fprintf(out, " %.10e", value)
			}
		}
		fmt.Fprintln(out)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
