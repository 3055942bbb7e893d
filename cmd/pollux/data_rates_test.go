//go:build faults

package main_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/rrdcached"
	"pollux/simulator"
)

// counterOf names a counter of a simulated port.
type counterOf struct {
	device, port int
	column       simulator.Column
}

// answersOf reads from the simulator's log what was asked for each counter in
// slots that came into the journal, in order. The fleet must be stopped.
func (f *fleet) answersOf(logged map[slot]tailed) map[counterOf][]answered {
	f.t.Helper()
	file, err := os.Open(f.answers)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	answers := map[counterOf][]answered{}
	for e, err := range simulator.ReadLog(file) {
		if err != nil {
			f.t.Fatal(err)
		}
		at := time.Unix(0, e.UnixNano)
		number, own := f.number(e)
		if e.Column == simulator.NoColumn || !e.Wide || !own || !at.After(f.added[number]) {
			continue
		}
		if s := f.slotOf(number, at); logged[s].id != "" {
			k := counterOf{number, e.Port, e.Column}
			answers[k] = append(answers[k], answered{at: float64(e.UnixNano) / 1e9, count: e.Counter, begin: s.begin})
		}
	}
	for _, all := range answers {
		slices.SortFunc(all, func(a, b answered) int { return cmp.Compare(a.at, b.at) })
	}
	return answers
}

// filedOf are the answers of one counter of a port that its file got: of those
// of a slot the nearest to the time of the sample, since a GETBULK that runs over the end of a column
// reads some twice; none of a slot whose entry lacks the port, because the poll was cut short.
func (f *fleet) filedOf(p sampledPort, all []answered, logged map[slot]tailed) (kept []answered) {
	for _, a := range all {
		ms := logged[slot{f.ids[p.device], a.begin}].ports[p.id].ms
		if ms == 0 {
			continue
		}
		a.taken = float64(ms) / 1000
		n := len(kept)
		switch {
		case n == 0 || kept[n-1].begin != a.begin:
			kept = append(kept, a)
		case math.Abs(a.at-a.taken) < math.Abs(kept[n-1].at-a.taken):
			kept[n-1] = a
		}
	}
	return kept
}

// compareFiles is I3 for all ports of a fleet: every row of every file in a tree. The files must be written out.
// What one of the kills of its daemon tore in a file is left out.
func (f *fleet) compareFiles(ports []sampledPort, logged map[slot]tailed, to time.Time, killed kills) (r filed) {
	f.t.Helper()
	torn := map[string]bool{}
	answers := f.answersOf(logged)
	step := int64(f.interval)
	files := f.fetch("", ports, f.added[0].Unix()/step*step-2*step, to.Unix())
	for i, p := range ports {
		for _, column := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
			all := f.filedOf(p, answers[counterOf{p.device, p.port, column}], logged)
			rows := make([]rowOf, 0, len(files[i]))
			for _, row := range files[i] {
				rate := row.in
				if column == simulator.OutOctets {
					rate = row.out
				}
				rows = append(rows, rowOf{at: float64(row.at), rate: rate})
			}
			if tears := killed.torn(p.file, column, float64(step), rows, all); len(tears) > 0 {
				torn[p.file] = true
				for i := range rows {
					rows[i].torn = within(tears, rows[i].at)
				}
			}
			what := fmt.Sprintf("%s (%s)", strings.TrimPrefix(p.file, filepath.Dir(filepath.Dir(p.file))), map[simulator.Column]string{simulator.InOctets: "in", simulator.OutOctets: "out"}[column])
			r.compareAnswers(what, float64(step), rows, all)
		}
	}
	if r.torn = len(torn); r.torn > len(killed) { // these daemons write with one thread
		r.complain("I3: %d kills tore %d files", len(killed), r.torn)
	}
	return r
}

// allPorts are all ports of a fleet, with their files in a tree.
func (w *dataWorld) allPorts(f *fleet, base string) (all []sampledPort) {
	w.t.Helper()
	for number, id := range f.ids {
		d, err := w.store.Device(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		ports, err := w.store.Ports(w.t.Context(), id)
		if err != nil || len(ports) != f.ports {
			w.t.Fatalf("device %d has %d ports in the inventory, %v", id, len(ports), err)
		}
		for _, port := range ports {
			all = append(all, sampledPort{
				id: port.ID, device: number, port: int(port.State.IfIndex),
				file: filepath.Join(base, measurement.Path(d.RRDDir, measurement.KindPort, port.ID, port.Generation)),
			})
		}
	}
	return all
}

// writeOut has an RRDCached write all files of its tree, and waits for it.
func writeOut(t testing.TB, server *polluxtest.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client, err := rrdcached.Dial(ctx, server.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, file := range filesOf(t, server) {
		if err := client.Flush(ctx, file); err != nil {
			t.Fatalf("flush %s: %v", file, err)
		}
	}
}

// filesOf are the names of all files of a tree, without that of its identity.
func filesOf(t testing.TB, server *polluxtest.Server) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.Base, "*", "*.rrd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		names = append(names, strings.TrimPrefix(file, server.Base+"/"))
	}
	return names
}
