package main_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"pollux/simulator"
)

// rrd_update writes into the mapped file piece by piece: the last values, the
// unfinished step, the rows, and the time of the last update at the end. A SIGKILL in between
// leaves one file a thread half written, and no line that is sent later can mend its rows: the
// manual tells so under "What is not covered". The judge finds such files at the kill, not by their wrong rows.

// leftBehind is what a killed RRDCached left in a file: of the first two
// sources, which are the octets of a port, the last row and what the unfinished step holds.
type leftBehind struct {
	last      float64 // Unix seconds of the last update
	row, rest [2]float64
}

// kills are the files of a tree after each kill of its daemon.
type kills []map[string]leftBehind

// readLeftBehind reads an RRD file as rrd_format.h lays it out on machines of
// 64 bits; its first archive has a row a step.
func readLeftBehind(b []byte) (left leftBehind, ok bool) {
	if len(b) < 128 || string(b[:4]) != "RRD\x00" {
		return left, false
	}
	word := func(at int) int { return int(binary.NativeEndian.Uint64(b[at:])) }
	sources, archives := word(24), word(32)
	live := 128 + sources*120 + archives*120
	prep := live + 16
	pointers := prep + sources*112 + sources*archives*80
	rows := pointers + archives*8
	if sources < 2 || archives < 1 || len(b) < rows {
		return left, false
	}
	number := func(at int) float64 { return math.Float64frombits(binary.NativeEndian.Uint64(b[at:])) }
	left.last = float64(word(live)) + float64(word(live+8))/1e6
	for i := range 2 {
		left.row[i] = number(rows + (word(pointers)*sources+i)*8)
		left.rest[i] = number(prep + i*112 + 40)
	}
	return left, true
}

// torn returns until when the rows of a counter cannot be judged, because a kill
// tore its file: Unix seconds, 0 for a file that no kill tore. The answers are those that the file got.
func (k kills) torn(file string, column simulator.Column, step float64, all []answered) (until float64) {
	source := 0
	if column == simulator.OutOctets {
		source = 1
	}
	sent := slices.Clone(all)
	for i := range sent {
		sent[i].at = sent[i].taken
	}
	for _, files := range k {
		left, ok := files[file]
		end := math.Floor(left.last/step) * step
		if !ok || len(sent) < 2 || end-step < sent[0].at || left.last > sent[len(sent)-1].at || skipped(sent, step, end-step, end+step) {
			continue
		}
		row := (counted(sent, end) - counted(sent, end-step)) / step
		rest := counted(sent, left.last) - counted(sent, end)
		if another(left.row[source], row) || left.last-end > 1 && another(left.rest[source], rest) {
			until = left.last + 2*step
		}
	}
	return until
}

// another says whether a number is not the expected one.
func another(got, expected float64) bool { return !(math.Abs(got-expected) <= closeWithin*expected) }

// TestTheJudgeKnowsTornFiles has RRDtool write a file, and writes into it what a kill leaves.
func TestTheJudgeKnowsTornFiles(t *testing.T) {
	const step = 20
	file := filepath.Join(t.TempDir(), "port.rrd")
	rrdtool := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "rrdtool", args...).CombinedOutput(); err != nil {
			t.Fatalf("rrdtool %v: %v: %s", args, err, out)
		}
	}
	rrdtool("create", file, "--start", "1699999990", "--step", "20", "DS:in:DERIVE:600:0:U", "DS:out:DERIVE:600:0:U", "DS:more:DERIVE:600:0:U",
		"RRA:AVERAGE:0.5:1:30", "RRA:MAX:0.5:6:20")
	var sent []answered
	for i := range 12 {
		at, count := 1_700_000_007+int64(i)*step, uint64(i*i*1000)
		sent = append(sent, answered{at: float64(at), count: count, taken: float64(at)})
		if i < 11 { // the last one was in memory only
			rrdtool("update", file, fmt.Sprintf("%d:%d:%d:7", at, count, 2*count))
		}
	}
	twice := slices.Clone(sent)
	for i := range twice {
		twice[i].count *= 2
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	left, ok := readLeftBehind(whole)
	if !ok || left.last != sent[10].at {
		t.Fatalf("the last update is of %v (%v), not of %v", left.last, ok, sent[10].at)
	}
	for _, c := range []struct {
		name    string
		tear    func(*leftBehind)
		in, out bool
	}{
		{"whole", func(*leftBehind) {}, false, false},
		{"a row", func(l *leftBehind) { l.row[0] = 7 }, true, false},
		{"no row", func(l *leftBehind) { l.row[1] = math.NaN() }, false, true},
		{"the unfinished step", func(l *leftBehind) { l.rest[0] *= 1.1 }, true, false},
		{"the time", func(l *leftBehind) { l.last -= step }, true, true},
	} {
		torn := left
		c.tear(&torn)
		k := kills{{file: torn}}
		if in, out := k.torn(file, simulator.InOctets, step, sent) > 0, k.torn(file, simulator.OutOctets, step, twice) > 0; in != c.in || out != c.out {
			t.Errorf("%s: in is taken for torn: %v, out: %v", c.name, in, out)
		}
	}
}
