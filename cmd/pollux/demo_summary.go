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
	polls, up, missed, written float64
	lateness                   float64 // seconds, summed over latenessCount polls
	latenessCount              float64
	notUp                      map[string]float64 // polls by their outcome, where that is not up
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
				if labels["result"] == string(device.OutcomeUp) {
					t.up += value
				} else if value > 0 {
					t.notUp[labels["result"]] += value
				}
			case "pollux_slots_missed_total":
				t.missed += value
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
	last, err := d.node.totals()
	if err != nil {
		return
	}
	// By then the slots that began before since have ended, and none that began after it.
	settled := time.NewTimer(time.Until(d.since.Add(time.Duration(d.interval) * time.Second)))
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-settled.C:
			if now, err := d.node.totals(); err == nil {
				d.before = now
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

// missed is how many slots were missed since the demo runs. Those that were
// missed while nothing ran, which a new start reports, do not count; nor does
// anything as long as nobody can tell.
func (d *demo) missed(now totals) float64 {
	if d.before.polls == 0 {
		return 0
	}
	return now.missed - d.before.missed
}

func (d *demo) printLine(ctx context.Context, last, now totals) {
	up := 0
	states, err := d.node.journal.Last(ctx, d.ids)
	if err != nil {
		return // the next line tells
	}
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
	fmt.Fprintf(d.program.out, "%s  devices up %d/%d  %.1f polls/s  lateness %s  missed slots %.0f  measurements written %.0f\n",
		time.Now().Format(time.TimeOnly), up, len(d.ids), (now.polls-last.polls)/summaryEvery.Seconds(), lateness, d.missed(now), now.written)
}

// verdict is the final summary: an error unless every device was up in every
// slot and every port has a known rate.
func (d *demo) verdict(ctx context.Context) error {
	t, err := d.node.totals()
	if err != nil {
		return err
	}
	elapsed := d.node.clock.Now().Sub(d.since)
	slots := int(elapsed.Seconds()) / d.interval // whole ones that every device has had
	states, err := d.node.journal.Last(ctx, d.ids)
	if err != nil {
		return err
	}
	behind := 0
	for i, state := range states {
		if current := device.SlotAt(d.ids[i], d.interval, d.node.clock.Now().Unix()); state.Slot < current-int64(d.interval) || state.Outcome != device.OutcomeUp {
			behind++
		}
	}
	ports, known, err := d.knownRates(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.program.out, "\n%d devices for %s: %.0f polls, %.0f of them up%s, %.0f missed slots, %.0f measurements written, %d of %d ports with a known rate\n",
		len(d.ids), elapsed.Round(time.Second), t.polls, t.up, t.others(), d.missed(t), t.written, known, ports)
	// A slot that was all but over at the start may have expired.
	if t.polls-t.up != d.before.polls-d.before.up || d.missed(t) > 0 || behind > 0 || int(t.polls) < slots*len(d.ids) || known != ports || ports == 0 {
		return fmt.Errorf("not every device was up in every slot with a known rate for each port (%d devices behind)", behind)
	}
	return nil
}

// others names the outcomes other than up, " (expired 2)".
func (t totals) others() string {
	var words []string
	for _, outcome := range slices.Sorted(maps.Keys(t.notUp)) {
		words = append(words, fmt.Sprintf("%s %.0f", outcome, t.notUp[outcome]))
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
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
