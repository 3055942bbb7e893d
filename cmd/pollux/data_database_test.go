//go:build faults

package main_test

import (
	"fmt"
	"testing"
	"time"

	"pollux/config"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/store"
)

// TestDataDatabaseAway kills the database for ten minutes, 30 slots. Polling and
// recording go on; within a slot of its return it knows what has changed meanwhile: ten devices died.
func TestDataDatabaseAway(t *testing.T) {
	t.Parallel()
	const dying = 10
	where, server := polluxtest.OwnMariaDB(t)
	w := newDataWorld(t, func(testing.TB) config.Database { return where }, dataSetup{second: dying})
	pass(t, "there is a calm to compare with", w.calmAt.Add(calmFor))
	killed := time.Now()
	server.Kill()
	pass(t, "half of the outage is over", killed.Add(lasting(10*time.Minute)/2))
	w.second.stop()
	w.died = time.Now()
	pass(t, "the database was away for long enough", killed.Add(lasting(10*time.Minute)))
	server.Start()
	back := time.Now()
	right := w.stateIsRight(back)
	if limit := (dataInterval + 5) * time.Second; right > limit {
		t.Errorf("the state was right %v after the return of the database, a slot lasts %d s", right, dataInterval)
	}
	w.healed("all devices are polled in a whole slot", back, 1)
	copies := w.sum("pollux_poll_targets_total", `source="copy"`)
	v := w.judge("the database away for %v, %.0f polls by the last known inventory; all state right %v after its return", back.Sub(killed).Round(time.Second), copies, right.Round(100*time.Millisecond))
	v.wholly(t, killed)
	w.unaffected(v, "the database was away", span{killed, back})
	if copies < float64(dataDevices) {
		t.Errorf("%.0f targets were copies: the fault did not bite", copies)
	}
}

// stateIsRight waits until the database has what was polled since a moment: living devices
// up, with their ports, and those that died down. It returns how long that took.
func (w *dataWorld) stateIsRight(since time.Time) time.Duration {
	w.t.Helper()
	wrong := ""
	defer func() {
		if w.t.Failed() {
			w.t.Logf("last seen: %s", wrong)
		}
	}()
	untilEvery(w.t, 250*time.Millisecond, 3*time.Minute, "the database has the state of all devices", func() bool {
		all, err := w.store.Devices(w.t.Context(), store.Filter{Limit: 10_000})
		if err != nil {
			wrong = err.Error()
			return false
		}
		dead := map[int64]bool{}
		for _, id := range w.second.ids {
			dead[id] = true
		}
		wrong = ""
		for _, d := range all {
			want := device.StatusUp
			if dead[d.ID] {
				want = device.StatusDown
			}
			// A poll that began before the return may be saved after it.
			if d.Status != want || d.PolledAt.Before(since.Add(-dataInterval*time.Second)) {
				wrong = fmt.Sprintf("device %d is %s, polled %v ago", d.ID, d.Status, time.Since(d.PolledAt))
				return false
			}
		}
		return len(all) == len(w.ids)+len(dead)
	})
	took := time.Since(since)
	for _, id := range w.ids {
		ports, err := w.store.Ports(w.t.Context(), id)
		must(w.t, err)
		for _, port := range ports {
			if port.Vanished || port.Missed > 0 || port.State.IfOperStatus != "up" {
				w.t.Errorf("port %d of device %d: %+v", port.ID, id, port)
			}
		}
		if len(ports) != w.ports {
			w.t.Errorf("device %d has %d ports", id, len(ports))
		}
	}
	return took
}
