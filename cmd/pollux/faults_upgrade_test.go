//go:build faults

package main_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
)

// TestFaultRollingUpgrade stops and starts three nodes, a producer and a
// consumer each, one after the other as an upgrade does: no slot is missed, none is polled twice.
func TestFaultRollingUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 3, consumers: 3})
	began := time.Now()
	var longest time.Duration
	for n := 1; n <= 3; n++ {
		for _, role := range []string{"producer", "consumer"} {
			name := fmt.Sprintf("%c%d", role[0], n)
			p := w.nodes[name]
			stopping := time.Now()
			if role == "consumer" {
				w.underWay(p, 1)
			}
			w.unseen = append(w.unseen, span{stopping.Add(-5 * time.Second), stopping.Add(5 * time.Second)})
			if code := p.end(syscall.SIGTERM); code != 0 {
				t.Errorf("%s ended with %d", name, code)
			}
			w.start(role, name)
			longest = max(longest, time.Since(stopping))
		}
		w.healed("all devices are polled in a whole slot", time.Now(), 1)
	}
	o := w.finish("three nodes in %v, a process was away for at most %v", time.Since(began).Round(time.Second), longest.Round(time.Millisecond))
	if o.missed > 0 || len(o.again) > 0 || o.short > 0 {
		t.Errorf("%d slots were missed, %d tasks came again, %d polls were cut short", o.missed, len(o.again), o.short)
	}
	w.checkRecorded(o)
}
