package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

func TestLogIsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	a, err := New(Config{Listen: "127.50.0.0/16:0", Log: &file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, a)
	names := map[string]string{"InOctets 32": ifEntry + "10", "OutOctets 32": ifEntry + "16", "InOctets 64": ifXEntry + "6", "OutOctets 64": ifXEntry + "10"}
	want := map[string]bool{}
	for device := range 3 {
		g := client(t, a.Addr(device), gosnmp.Version2c)
		for _, column := range []string{ifEntry + "10", ifEntry + "11", ifEntry + "16", ifXEntry + "6", ifXEntry + "10"} {
			// 200 rows do not fit into one reply: what is cut off must not be logged.
			p, err := g.GetBulk([]string{column}, 0, 200)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range p.Variables {
				for _, name := range names {
					if strings.HasPrefix(v.Name, "."+name+".") {
						want[fmt.Sprint(device, " ", v.Name[1:], " ", gosnmp.ToBigInt(v.Value))] = true
					}
				}
			}
		}
	}
	stop()
	m := a.Model()
	got, others, sources := 0, 0, map[uint16]bool{}
	for e, err := range ReadLog(&file) {
		if err != nil {
			t.Fatal(err)
		}
		sources[e.Source] = true
		if e.Column == NoColumn {
			others++
			continue
		}
		got++
		counter, width := m.Counter(e.Device, e.Port, e.Column, time.Unix(0, e.UnixNano)), 64
		if !e.Wide {
			counter, width = uint64(uint32(counter)), 32
		}
		name := names[fmt.Sprint(e.Column, " ", width)]
		if counter != e.Counter || !want[fmt.Sprintf("%d %s.%d %d", e.Device, name, e.Port, e.Counter)] {
			t.Fatalf("%+v was not answered, or the model says %d", e, counter)
		}
	}
	if got != len(want) || got < 3*4*40 {
		t.Errorf("the log has %d entries, want %d", got, len(want))
	}
	if others != 3 || len(sources) != 3 {
		t.Errorf("the log has %d replies without octets from %d clients, want one of each of three", others, len(sources))
	}
}

func TestBrokenLogs(t *testing.T) {
	t.Parallel()
	var tr truth
	tr.note(&moment{device: 70_000, source: 61_234, now: 123}, &object{port: 9_999, column: OutOctets, kind: kindCounter64}, 1<<63)
	want := Entry{Device: 70_000, Port: 9_999, Source: 61_234, Column: OutOctets, Wide: true, UnixNano: 123, Counter: 1 << 63}
	for e, err := range ReadLog(bytes.NewReader(tr.raw)) {
		if e != want || err != nil {
			t.Errorf("%+v %v, want %+v", e, err, want)
		}
	}
	spoiled := bytes.Clone(tr.raw)
	spoiled[0] = 9
	for name, raw := range map[string][]byte{"cut": tr.raw[:20], "spoiled": spoiled} {
		var last error
		for _, last = range ReadLog(bytes.NewReader(raw)) {
		}
		if !errors.Is(last, ErrLog) {
			t.Errorf("%s: %v", name, last)
		}
	}
}

// full is a disk without space.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestFailingLogEndsTheRun(t *testing.T) {
	t.Parallel()
	a, err := New(Config{Listen: "127.51.0.0/16:0", Log: full{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context()) }()
	<-a.Ready()
	throw(t, a.Addr(0), ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, ifXEntry+"6.1"))
	select {
	case err := <-done:
		if !errors.Is(err, errFull) {
			t.Errorf("run: %v", err)
		}
	case <-time.After(patience):
		t.Error("the run goes on without its log")
	}
}
