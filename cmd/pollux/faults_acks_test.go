//go:build faults

package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pollux/polluxtest"
)

// faultyProgram is the program with faults on purpose: it loses
// acknowledgements, and its wall clock can be set.
var faultyProgram = sync.OnceValues(func() (built, error) {
	dir, err := os.MkdirTemp("/tmp", "pxm")
	if err != nil {
		return built{}, err
	}
	defer os.RemoveAll(dir)
	modfile, err := clockedModules(dir)
	if err != nil {
		return built{}, err
	}
	return build("gosnmp_nodebug,faultinject", "-modfile", modfile)
})

// lostAcks are the slots whose acknowledgement was lost on purpose.
func (w *world) lostAcks() map[slot]bool {
	w.t.Helper()
	lost := map[slot]bool{}
	for _, p := range w.all {
		file, err := os.Open(p.log)
		if err != nil {
			w.t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if !strings.Contains(lines.Text(), "lost on purpose") {
				continue
			}
			var said struct{ Task string }
			var s slot
			if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
				continue
			}
			if _, err := fmt.Sscanf(said.Task, "poll:%d:%d", &s.device, &s.begin); err == nil {
				lost[s] = true
			}
		}
		_ = file.Close()
	}
	return lost
}

// testLostAcks runs for a while with acknowledgements that are lost. The task of
// each comes again a minute later or more, and polls nothing.
func testLostAcks(t *testing.T, w *world, during time.Duration) {
	began := time.Now()
	pass(t, "enough acknowledgements were lost", began.Add(during))
	var lost map[slot]bool
	untilEvery(t, time.Second, 4*time.Minute, "the tasks with lost acknowledgements came again", func() bool {
		lost = w.lostAcks()
		ended, again := w.endings()
		for s := range lost {
			// The task of a slot that was not polled, because it ended while devices were added, says the same again.
			if len(again[s])+len(ended[s]) == 0 && time.Unix(s.begin, 0).Before(began.Add(during)) {
				return false
			}
		}
		return len(lost) > 0
	})
	o := w.finish("%d acknowledgements lost", len(lost))
	lost = w.lostAcks()
	for s, why := range o.again {
		if !lost[s] {
			t.Errorf("slot %v came again (%q) without a lost acknowledgement", s, why)
		}
		if slices.ContainsFunc(why, func(w string) bool { return w != "finished" }) {
			t.Errorf("slot %v came again, and is said to be %q", s, why)
		}
	}
	// The tasks of acknowledgements that were lost in the last two minutes may still be in work when the nodes stop.
	again := 0
	for s := range lost {
		if len(o.again[s]) > 1 {
			again++
		}
	}
	t.Logf("%d of %d tasks came more than once again: their own acknowledgement was lost too", again, len(lost))
	if again > 1+len(lost)/20 {
		t.Errorf("%d of %d tasks came more than once again", again, len(lost))
	}
	if o.missed > 0 {
		t.Errorf("%d slots were missed", o.missed)
	}
	if !w.long() { // a rate needs two polls
		w.checkRecorded(o)
	}
}

// losingAcks loses every n-th acknowledgement of each node.
func losingAcks(n int) func(string) []string {
	return func(string) []string { return []string{fmt.Sprintf("FAULT_LOSE_ACKS=%d", n)} }
}

// TestFaultLostAcksOfLongSlots does it at five minutes, where tasks come again
// within their slot. There are fewer polls, so every twentieth is hit.
func TestFaultLostAcksOfLongSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.PostgreSQL, setup{interval: 300, producers: 1, consumers: 2, program: faultyProgram, environ: losingAcks(20)})
	testLostAcks(t, w, time.Minute)
}

// TestFaultLostAcks loses every hundredth acknowledgement at 20 s.
func TestFaultLostAcks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 1, consumers: 2, program: faultyProgram, environ: losingAcks(100)})
	testLostAcks(t, w, 90*time.Second)
}
