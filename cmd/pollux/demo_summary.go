package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/standalone"
)

const (
	summaryEvery = 5 * time.Second
	fetchLimit   = 2 * time.Minute // for rrdtool to read all files
)

// totals are what the summary is made of, read from the process' own metrics.
type totals struct {
	polls, written float64
	lateness       float64 // seconds, summed over latenessCount polls
	latenessCount  float64
	notUp          map[string]float64 // polls by their outcome, where that is not up
}

func (n *node) totals() (totals, error) {
	families, err := n.metrics.Gather()
	if err != nil {
		return totals{}, fmt.Errorf("read the metrics: %w", err)
	}
	t := totals{notUp: map[string]float64{}}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			value := metric.GetCounter().GetValue()
			switch family.GetName() {
			case "pollux_polls_total":
				t.polls += value
				if labels["result"] != string(device.OutcomeUp) && value > 0 {
					t.notUp[labels["result"]] += value
				}
			case "pollux_rrd_updates_total":
				if labels["result"] == "accepted" {
					t.written += value
				}
			case "pollux_poll_lateness_seconds":
				t.lateness += metric.GetHistogram().GetSampleSum()
				t.latenessCount += float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return t, nil
}

// summarize prints a line every few seconds until ctx ends.
func (d *demo) summarize(ctx context.Context) {
	tick := time.NewTicker(summaryEvery)
	defer tick.Stop()
	look := time.NewTicker(time.Duration(d.interval) * time.Second / tallyLooks)
	defer look.Stop()
	last, err := d.node.totals()
	if err != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if states, err := d.node.journal.Last(ctx, d.ids); err == nil { // else the next look tells
				d.seen.see(states)
			}
			continue
		case <-tick.C:
		}
		now, err := d.node.totals()
		if err != nil {
			return
		}
		d.printLine(ctx, last, now)
		last = now
	}
}

func (d *demo) printLine(ctx context.Context, last, now totals) {
	up := 0
	states, err := d.node.journal.Last(ctx, d.ids)
	if err != nil {
		return // the next line tells
	}
	d.seen.see(states)
	oldest := d.node.clock.Now().Unix() - 2*int64(d.interval)
	for _, state := range states {
		if state.Outcome == device.OutcomeUp && state.Slot >= oldest {
			up++
		}
	}
	lateness := "-"
	if polls := now.latenessCount - last.latenessCount; polls > 0 {
		lateness = fmt.Sprintf("%.0f ms", 1000*(now.lateness-last.lateness)/polls)
	}
	fmt.Fprintf(d.program.out, "%s  devices up %d/%d  %.1f polls/s  lateness %s  missed slots %d  measurements written %.0f\n",
		time.Now().Format(time.TimeOnly), up, len(d.ids), (now.polls-last.polls)/summaryEvery.Seconds(), lateness, d.seen.missed, now.written)
}

// verdict is the final summary: an error unless every device was up in every
// slot and every port has a known rate.
func (d *demo) verdict(ctx context.Context) error {
	t, err := d.node.totals()
	if err != nil {
		return err
	}
	states, err := d.node.journal.Last(ctx, d.ids)
	if err != nil {
		return err
	}
	d.seen.see(states)
	now := d.node.clock.Now()
	behind := d.seen.behind(now)
	ports, known, err := d.knownRates(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.program.out, "\n%d devices for %s: %d slots, %d of them up, %d missed slots, %.0f measurements written, %d of %d ports with a known rate\n",
		len(d.ids), now.Sub(d.since).Round(time.Second), d.seen.up+d.seen.other, d.seen.up, d.seen.missed, t.written, known, ports)
	if d.seen.other > 0 || d.seen.missed > 0 || behind > 0 || d.seen.up == 0 || known != ports || ports == 0 {
		return fmt.Errorf("not every device was up in every slot with a known rate for each port (%d devices behind; polls that were not up:%s)", behind, t.others())
	}
	return nil
}

// others names the outcomes other than up since the start, " expired 2, timeout 1", or " none".
func (t totals) others() string {
	var words []string
	for _, outcome := range slices.Sorted(maps.Keys(t.notUp)) {
		words = append(words, fmt.Sprintf("%s %.0f", outcome, t.notUp[outcome]))
	}
	if len(words) == 0 {
		return " none"
	}
	return " " + strings.Join(words, ", ")
}

// knownRates asks rrdtool, as any other program would, for the last rates of every port.
func (d *demo) knownRates(ctx context.Context) (ports, known int, err error) {
	place, err := standalone.Locate(d.program.dataDir)
	if err != nil {
		return 0, 0, err
	}
	var commands bytes.Buffer
	for _, id := range d.ids {
		found, err := d.node.store.Device(ctx, id)
		if err != nil {
			return 0, 0, err
		}
		all, err := d.node.store.Ports(ctx, id)
		if err != nil {
			return 0, 0, err
		}
		for _, port := range all {
			// Whole, because rrdtool takes a relative name on a unix socket for one in its own directory.
			file := filepath.Join(place.RRDBase, measurement.Path(found.RRDDir, measurement.KindPort, port.ID, port.Generation))
			fmt.Fprintf(&commands, "fetch --daemon %s %s AVERAGE -r %d -s -%d -e -%d\n", place.RRDCached, file, d.interval, 3*d.interval, d.interval)
			ports++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	rrdtool := exec.CommandContext(ctx, "rrdtool", "-")
	rrdtool.Stdin = &commands
	out, err := rrdtool.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("run rrdtool: %w", err)
	}
	return ports, countKnown(string(out)), nil
}

// countKnown counts the answers of rrdtool, each ended by a line "OK ...", that hold a row with a known INOCTETS and OUTOCTETS.
func countKnown(output string) (known int) {
	found := false
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "OK ") {
			if found {
				known++
			}
			found = false
			continue
		}
		_, row, isRow := strings.Cut(line, ": ")
		values := strings.Fields(row)
		if !isRow || len(values) < 2 {
			continue
		}
		in, errIn := strconv.ParseFloat(values[0], 64)
		out, errOut := strconv.ParseFloat(values[1], 64)
		found = found || errIn == nil && errOut == nil && in == in && out == out // NaN differs from itself
	}
	return known
}
