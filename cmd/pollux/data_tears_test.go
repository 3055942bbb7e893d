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

// kill is what a killed daemon left in the files of its tree.
type kill struct {
	base  string
	files map[string]leftBehind
}

// kills are in the order in which they happened.
type kills []kill

// of are the kills of one tree.
func (k kills) of(base string) (found kills) {
	for _, one := range k {
		if one.base == base {
			found = append(found, one)
		}
	}
	return found
}

// tear is from one Unix time to another, in seconds; a row belongs to it that ends there.
type tear struct{ from, to float64 }

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

// torn returns which rows of a counter cannot be judged, because a kill tore its file: those since
// the kill before, and all older ones where they stand a step too early. The kills are of the file's tree, the answers those that it got.
func (k kills) torn(file string, column simulator.Column, step float64, rows []rowOf, all []answered) (tears []tear) {
	source := 0
	if column == simulator.OutOctets {
		source = 1
	}
	sent := slices.Clone(all)
	for i := range sent {
		sent[i].at = sent[i].taken
	}
	before := 0.0 // last update that the kill before left
	for _, one := range k {
		left, ok := one.files[file]
		if !ok {
			continue
		}
		from := before - 2*step
		if before == 0 {
			from = left.last - 2*step
		}
		before = left.last
		end := math.Floor(left.last/step) * step
		if len(sent) < 2 || end-step < sent[0].at || left.last > sent[len(sent)-1].at || skipped(sent, step, end-step, end+step) {
			continue
		}
		row := (counted(sent, end) - counted(sent, end-step)) / step
		rest := counted(sent, left.last) - counted(sent, end)
		if another(left.row[source], row) || left.last-end > 1 && another(left.rest[source], rest) {
			if early(rows, sent, step, from) {
				from = 0
			}
			tears = append(tears, tear{from, left.last + 2*step})
		}
	}
	return tears
}

// early says whether most rows up to a moment are those of the next step.
func early(rows []rowOf, sent []answered, step, until float64) bool {
	shifted, judged := 0, 0
	for _, row := range rows {
		if row.at-step < sent[0].at || row.at > until || row.at+step > sent[len(sent)-1].at {
			continue
		}
		judged++
		own := (counted(sent, row.at) - counted(sent, row.at-step)) / step
		next := (counted(sent, row.at+step) - counted(sent, row.at)) / step
		if another(row.rate, own) && !another(row.rate, next) {
			shifted++
		}
	}
	return 2*shifted > judged
}

// within says whether a row lies in one of them.
func within(tears []tear, at float64) bool {
	return slices.ContainsFunc(tears, func(t tear) bool { return at > t.from && at <= t.to })
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
		k := kills{{"a", map[string]leftBehind{file: torn}}}
		if in, out := len(k.torn(file, simulator.InOctets, step, nil, sent)) > 0, len(k.torn(file, simulator.OutOctets, step, nil, twice)) > 0; in != c.in || out != c.out {
			t.Errorf("%s: in is taken for torn: %v, out: %v", c.name, in, out)
		}
	}
}

// TestTheJudgeLeavesOutOnlyWhatIsTorn tells rows about a tear from those before, and from rows that stand a step too early.
func TestTheJudgeLeavesOutOnlyWhatIsTorn(t *testing.T) {
	t.Parallel()
	const step, begin, file = 20.0, 1_700_000_000.0, "port.rrd"
	var sent []answered
	for i := range 40 {
		sent = append(sent, answered{at: begin + float64(i)*step, taken: begin + float64(i)*step, count: uint64(i * i * 1000)})
	}
	rate := func(i int) float64 { return float64(2*i-1) * 1000 / step } // of the step that ends with sample i
	var good, shifted []rowOf
	for i := 1; i < 39; i++ {
		good = append(good, rowOf{at: begin + float64(i)*step, rate: rate(i)})
		shifted = append(shifted, rowOf{at: begin + float64(i)*step, rate: rate(i + 1)})
	}
	whole := func(i int) leftBehind {
		return leftBehind{last: begin + float64(i)*step, row: [2]float64{rate(i), rate(i)}}
	}
	broken := whole(30)
	broken.row[0] = 7
	at := func(i int) float64 { return begin + float64(i)*step }
	for _, c := range []struct {
		name    string
		kills   kills
		rows    []rowOf
		out, in []int // rows that are left out, and that are judged
	}{
		{"no tear", kills{{"a", map[string]leftBehind{file: whole(30)}}}, good, nil, []int{1, 30}},
		{"the first kill", kills{{"a", map[string]leftBehind{file: broken}}}, good, []int{29, 30, 32}, []int{1, 28, 33}},
		{"a later kill", kills{{"a", map[string]leftBehind{file: whole(20)}}, {"a", map[string]leftBehind{file: broken}}}, good, []int{19, 30, 32}, []int{1, 18, 33}},
		{"older rows a step too early", kills{{"a", map[string]leftBehind{file: broken}}}, shifted, []int{1, 28, 32}, []int{33}},
		{"another tree", kills{{"b", map[string]leftBehind{file: broken}}}, good, nil, []int{1, 30}},
	} {
		tears := c.kills.of("a").torn(file, simulator.InOctets, step, c.rows, sent)
		for _, i := range c.out {
			if !within(tears, at(i)) {
				t.Errorf("%s: row %d is judged (%v)", c.name, i, tears)
			}
		}
		for _, i := range c.in {
			if within(tears, at(i)) {
				t.Errorf("%s: row %d is left out (%v)", c.name, i, tears)
			}
		}
	}
}
