//go:build faults

package main_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/rrd"
)

// TestDataTargetAway kills the first of two RRDCached for ten minutes. Graphs
// come from the other one meanwhile, and when it is back both trees become equal. They are reached by TCP only.
func TestDataTargetAway(t *testing.T) {
	t.Parallel()
	a, b := polluxtest.RRDCachedTCP(t, shortWindow...), polluxtest.RRDCachedTCP(t, shortWindow...)
	w := newDataWorld(t, polluxtest.PostgreSQL, dataSetup{targets: []*polluxtest.Server{a, b}})
	pass(t, "there is a calm to compare with", w.calmAt.Add(calmFor))
	reader := w.readGraphs()
	away := time.Now()
	w.killTarget(a)
	if printed := cli(t, w.dir, w.env, "rrd", "fetch", "sim-0000", "uptime", "--start", "5m"); !strings.Contains(printed, "e+") {
		t.Errorf("with one target away rrd fetch prints %q", printed)
	}
	pass(t, "the first target was away for long enough", away.Add(lasting(10*time.Minute)))
	a.Start()
	back := time.Now()
	drained := w.drained(back, drainedIn)
	w.healed("all devices are polled in a whole slot", back, 1)
	reads := reader()
	v := w.judge("the first of two targets away for %v, %d graphs read meanwhile, %d of them from the other one, the slowest in %v; drained after %v",
		back.Sub(away).Round(time.Second), reads.count, reads.from[b.Address], reads.slowest.Round(time.Millisecond), drained)
	v.wholly(t, away)
	w.unaffected(v, "a target was away", span{away, back})
	if least := int(lasting(10*time.Minute)/graphEvery) / 2; reads.count < least || reads.from[b.Address] < least {
		t.Errorf("only %d graphs were read, %d of them from the other target", reads.count, reads.from[b.Address])
	}
	w.sameTrees(a, b)
}

// graphEvery is the time between two graphs that are read.
const graphEvery = 3 * time.Second

// graphReads are what a reader of graphs has seen.
type graphReads struct {
	count   int
	slowest time.Duration
	from    map[string]int // by the address of the target
}

// readGraphs reads the graph of some port as the program does, every three
// seconds until stop is called. Each must be there, come soon, and reach to the present.
func (w *dataWorld) readGraphs() (stop func() graphReads) {
	w.t.Helper()
	var names []string
	for _, p := range w.allPorts(w.fleet, "/") {
		names = append(names, strings.TrimPrefix(p.file, "/"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	id, err := w.store.ClusterID(w.t.Context())
	must(w.t, err)
	var addresses []string
	for _, target := range w.targets {
		addresses = append(addresses, target.Address)
	}
	reader, seen := rrd.NewReader(id, addresses), graphReads{from: map[string]int{}}
	var work sync.WaitGroup
	work.Go(func() {
		random := rand.New(rand.NewPCG(17, 19))
		tick := time.NewTicker(graphEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			began, name := time.Now(), names[random.IntN(len(names))]
			from, err := readGraph(reader, name)
			if err != nil {
				w.t.Errorf("the graph of %s cannot be read: %v", name, err)
			}
			seen.count++
			seen.from[from]++
			seen.slowest = max(seen.slowest, time.Since(began))
		}
	})
	w.t.Cleanup(func() { cancel(); work.Wait() })
	return func() graphReads {
		cancel()
		work.Wait()
		return seen
	}
}

// readGraph reads the last minutes of a file, and returns from which target.
func readGraph(reader *rrd.Reader, name string) (from string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	now := time.Now()
	graph, err := reader.Fetch(ctx, rrd.Question{File: name, Function: "AVERAGE", From: now.Add(-5 * time.Minute), To: now})
	if err != nil {
		return "", err
	}
	newest := time.Time{}
	for _, row := range graph.Rows {
		if !math.IsNaN(row.Values[0]) {
			newest = row.Time
		}
	}
	if now.Sub(newest) > 4*dataInterval*time.Second {
		return graph.Address, fmt.Errorf("%s has nothing newer than %v ago; passed over were %v", graph.Address, now.Sub(newest).Round(time.Second), graph.Passed)
	}
	return graph.Address, nil
}

// sameTrees fails the test unless two trees hold the same files with the same
// contents, archives and last samples included. Both must be written out. A target that
// was restarted is told again what its files had, some microseconds behind that: 1 in 10,000 of a rate at most.
func (w *dataWorld) sameTrees(a, b *polluxtest.Server) {
	w.t.Helper()
	names, others := filesOf(w.t, a), filesOf(w.t, b)
	if !slices.Equal(names, others) || len(names) < w.devices*(w.ports+1) {
		w.t.Fatalf("one tree has %d files, the other %d", len(names), len(others))
	}
	first, second := dump(w.t, a.Base, names), dump(w.t, b.Base, names)
	different := 0
	for i := range names {
		lines, otherLines := strings.Split(first[i], "\n"), strings.Split(second[i], "\n")
		n := 0
		for n < min(len(lines), len(otherLines)) && sameLine(lines[n], otherLines[n]) {
			n++
		}
		if n == len(lines) && n == len(otherLines) {
			continue
		}
		if different++; different <= 5 {
			w.t.Errorf("%s differs in line %d: %q and %q", names[i], n+1, lines[min(n, len(lines)-1)], otherLines[min(n, len(otherLines)-1)])
		}
	}
	w.t.Logf("figures: %d of %d files of the two trees differ", different, len(names))
	if different > 0 {
		w.t.Errorf("%d of %d files of the two trees differ", different, len(names))
	}
}

// sameLine compares two lines of a dump: rates, which alone have an exponent, to 1 in 10,000.
func sameLine(a, b string) bool {
	if a == b {
		return true
	}
	tag := func(r rune) bool { return r == '<' || r == '>' }
	return slices.EqualFunc(strings.FieldsFunc(a, tag), strings.FieldsFunc(b, tag), func(x, y string) bool {
		if x == y || !strings.Contains(x, "e") {
			return x == y
		}
		first, err1 := strconv.ParseFloat(x, 64)
		second, err2 := strconv.ParseFloat(y, 64)
		return err1 == nil && err2 == nil && math.Abs(first-second) <= 1e-4*math.Max(math.Abs(first), math.Abs(second))
	})
}

// dump is what the real rrdtool prints of each file: all that is in it.
func dump(t testing.TB, base string, names []string) (texts []string) {
	t.Helper()
	var commands bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&commands, "dump %s\n", filepath.Join(base, name))
	}
	rrdtool := exec.Command("rrdtool", "-")
	rrdtool.Stdin = &commands
	out, err := rrdtool.Output()
	if err != nil {
		t.Fatalf("run rrdtool: %v", err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "ERROR"):
			t.Fatalf("rrdtool: %s", line)
		case strings.HasPrefix(line, "OK "):
			texts = append(texts, text.String())
			text.Reset()
		default:
			text.WriteString(line)
		}
	}
	if len(texts) != len(names) {
		t.Fatalf("rrdtool dumps %d of %d files", len(texts), len(names))
	}
	return texts
}
