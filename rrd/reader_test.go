package rrd_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/polluxtest"
	"pollux/rrd"
	"pollux/rrdcached"
)

const graphFile = "sw1/port-id100.rrd"

// newGraphs is a pair of RRDCached that have recorded some slots.
func newGraphs(t *testing.T) (w *world, stopA func()) {
	t.Helper()
	w = newWorld(t)
	stopA = w.record(w.a)
	w.record(w.b)
	for range 30 {
		w.poll()
	}
	w.drained(w.a, w.b)
	return w, stopA
}

func (w *world) reader() *rrd.Reader {
	return rrd.NewReader(clusterID, []string{w.a.Address, w.b.Address})
}

// question asks for all slots that were polled.
func (w *world) question() rrd.Question {
	return rrd.Question{File: graphFile, Function: "AVERAGE", From: at(w.begin), To: at(w.begin + int64(w.slots)*step)}
}

// reads fails the test unless a graph comes from an RRDCached, soon, after so many others were passed over.
func (w *world) reads(reader *rrd.Reader, from *polluxtest.Server, passed int) {
	w.t.Helper()
	began := time.Now()
	graph, err := reader.Fetch(w.t.Context(), w.question())
	if err != nil {
		w.t.Fatal(err)
	}
	if graph.Address != from.Address || len(graph.Passed) != passed || len(graph.Rows) < w.slots || len(graph.Names) != 15 {
		w.t.Errorf("%d rows of %d sources from %s (a is %s), passed over: %v", len(graph.Rows), len(graph.Names), graph.Address, w.a.Address, graph.Passed)
	}
	if took := time.Since(began); took > 4*time.Second {
		w.t.Errorf("it took %v", took)
	}
}

// TestGraphsComeFromWhicheverAnswers has the first of two RRDCached killed, frozen and back.
func TestGraphsComeFromWhicheverAnswers(t *testing.T) {
	t.Parallel()
	w, _ := newGraphs(t)
	reader := w.reader()
	w.reads(reader, w.a, 0)
	w.a.Kill()
	w.reads(reader, w.b, 1)
	w.reads(reader, w.b, 0) // it is known to be away
	w.a.Start()
	w.drained(w.a)
	polluxtest.Eventually(t, limit, "the first one is read again", func() bool {
		graph, err := reader.Fetch(t.Context(), w.question())
		return err == nil && graph.Address == w.a.Address
	})
	w.a.Pause()
	w.reads(reader, w.b, 1)
	w.reads(reader, w.b, 0)
	w.a.Resume()
	w.a.Kill()
	w.b.Kill()
	if _, err := reader.Fetch(t.Context(), w.question()); !errors.Is(err, rrdcached.ErrConnection) {
		t.Errorf("none answers: %v", err)
	}
}

// TestGraphsComeFromWhoHasThem: an RRDCached may answer and lack what another one has.
func TestGraphsComeFromWhoHasThem(t *testing.T) {
	t.Parallel()
	w, stopA := newGraphs(t)
	reader := w.reader()
	stopA()
	w.poll()
	w.drained(w.b)
	w.reads(reader, w.a, 0) // a slot or two are always on their way
	for range 10 {
		w.poll()
	}
	w.drained(w.b)
	w.reads(reader, w.b, 1)
	must(t, os.Remove(filepath.Join(w.a.Base, graphFile)))
	if err := w.dial(w.a).Forget(t.Context(), graphFile); err != nil {
		t.Fatal(err)
	}
	w.reads(reader, w.b, 1)
	q := w.question()
	q.File = "sw1/port-id999.rrd"
	if _, err := reader.Fetch(t.Context(), q); !errors.Is(err, rrdcached.ErrNoFile) || errors.Is(err, rrdcached.ErrConnection) {
		t.Errorf("a file that nobody has: %v", err)
	}
	for name, change := range map[string]func(q *rrd.Question){
		"outside of the tree": func(q *rrd.Question) { q.File = "../other.rrd" },
		"no function":         func(q *rrd.Question) { q.Function = "MEDIAN" },
		"backwards":           func(q *rrd.Question) { q.To = q.From.Add(-time.Hour) },
	} {
		q := w.question()
		change(&q)
		if _, err := reader.Fetch(t.Context(), q); !errors.Is(err, rrdcached.ErrBadValue) && !errors.Is(err, rrdcached.ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger := rrd.NewReader("ffffffffffffffffff", []string{w.a.Address})
	if _, err := stranger.Fetch(t.Context(), w.question()); err == nil {
		t.Error("it reads from an RRDCached of another cluster")
	}
}
