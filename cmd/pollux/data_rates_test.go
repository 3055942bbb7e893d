//go:build faults

package main_test

import (
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

// answersOf reads from the simulator's log what was asked in polls that came into
// the journal: for each counter one answer per slot. The fleet must be stopped. A slot that
// two polls read is left out, because nobody knows whose answer was filed.
func (f *fleet) answersOf(logged map[slot]tailed) map[counterOf][]answered {
	f.t.Helper()
	file, err := os.Open(f.answers)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	type turn struct {
		counterOf
		begin int64
	}
	asked := map[turn][]answered{}
	for e, err := range simulator.ReadLog(file) {
		if err != nil {
			f.t.Fatal(err)
		}
		at := time.Unix(0, e.UnixNano)
		if e.Column == simulator.NoColumn || !e.Wide || e.Device >= f.devices || !at.After(f.added[e.Device]) {
			continue
		}
		if s := f.slotOf(e.Device, at); logged[s].id != "" {
			k := turn{counterOf{e.Device, e.Port, e.Column}, s.begin}
			asked[k] = append(asked[k], answered{at: float64(e.UnixNano) / 1e9, count: e.Counter, begin: s.begin})
		}
	}
	answers := map[counterOf][]answered{}
	for k, all := range asked {
		slices.SortFunc(all, func(a, b answered) int { return int(math.Copysign(1, a.at-b.at)) })
		if all[len(all)-1].at-all[0].at < 2 { // one poll; a GETBULK may run over the end of a column
			answers[k.counterOf] = append(answers[k.counterOf], all[len(all)-1])
		}
	}
	for _, all := range answers {
		slices.SortFunc(all, func(a, b answered) int { return int(math.Copysign(1, a.at-b.at)) })
	}
	return answers
}

// compareFiles is I3 for all ports of a fleet: every row of every file in a tree. The files must be written out.
func (f *fleet) compareFiles(ports []sampledPort, logged map[slot]tailed, to time.Time) (r filed) {
	f.t.Helper()
	answers := f.answersOf(logged)
	step := int64(f.interval)
	files := f.fetch("", ports, f.added[0].Unix()/step*step-2*step, to.Unix())
	for i, p := range ports {
		for _, column := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
			rows := make([]rowOf, 0, len(files[i]))
			for _, row := range files[i] {
				rate := row.in
				if column == simulator.OutOctets {
					rate = row.out
				}
				rows = append(rows, rowOf{float64(row.at), rate})
			}
			what := fmt.Sprintf("%s (%s)", strings.TrimPrefix(p.file, filepath.Dir(filepath.Dir(p.file))), map[simulator.Column]string{simulator.InOctets: "in", simulator.OutOctets: "out"}[column])
			all := answers[counterOf{p.device, p.port, column}]
			for n := range all {
				all[n].taken = float64(logged[slot{f.ids[p.device], all[n].begin}].times[p.id]) / 1000
			}
			r.compareAnswers(what, float64(step), rows, all)
		}
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
