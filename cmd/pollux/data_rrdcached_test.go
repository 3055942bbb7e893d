//go:build faults

package main_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/polluxtest"
)

const (
	calmFor   = time.Minute     // before an outage, to compare with
	drainedIn = 2 * time.Minute // a log of ten minutes, at most
)

// TestDataRRDCachedStopped stops RRDCached for ten minutes, as an operator does. The log waits for it.
func TestDataRRDCachedStopped(t *testing.T) {
	t.Parallel()
	w := newDataWorld(t, polluxtest.MariaDB, dataSetup{})
	pass(t, "there is a calm to compare with", w.calmAt.Add(calmFor))
	stopped := time.Now()
	w.targets[0].Stop()
	pass(t, "RRDCached was away for long enough", stopped.Add(lasting(10*time.Minute)))
	status, err := w.status()
	must(t, err)
	w.targets[0].Start()
	back := time.Now()
	drained := w.drained(back, drainedIn)
	w.healed("all devices are polled in a whole slot", back, 1)
	v := w.judge("RRDCached away for %v, %d entries waited; drained after %v", back.Sub(stopped).Round(time.Second), status.Entries, drained)
	v.wholly(t, stopped)
	w.unaffected(v, "RRDCached was away", span{stopped, back})
}

// TestDataRRDCachedHangs freezes RRDCached for two minutes, and fills its disk
// for five while devices are added, whose files cannot be made.
func TestDataRRDCachedHangs(t *testing.T) {
	t.Parallel()
	rrd := polluxtest.RRDCachedOnSmallDisk(t, 32, shortWindow...)
	w := newDataWorld(t, polluxtest.PostgreSQL, dataSetup{targets: []*polluxtest.Server{rrd}})
	pass(t, "there is a calm to compare with", w.calmAt.Add(calmFor))
	frozen := time.Now()
	rrd.Pause()
	pass(t, "RRDCached was frozen for long enough", frozen.Add(lasting(2*time.Minute)))
	rrd.Resume()
	thawed := time.Now()
	afterHang := w.drained(thawed, drainedIn)

	empty := rrd.Fill()
	filled := time.Now()
	w.second = w.startFleet("far", 10)
	w.second.add(w.store)
	pass(t, "the disk was full for long enough", filled.Add(lasting(5*time.Minute)))
	lag, _ := w.behind()
	if made, _ := filepath.Glob(filepath.Join(rrd.Base, "far-*", "port-*.rrd")); len(made) > 0 || lag < lasting(5*time.Minute)/2 {
		t.Errorf("the disk was full, and %d files of new devices were made; the log waits for %v", len(made), lag)
	}
	empty()
	room := time.Now()
	afterFull := w.drained(room, drainedIn)
	if _, err := os.Stat(filepath.Join(rrd.Base, "far-0000")); err != nil {
		t.Errorf("the new devices have no files: %v", err)
	}
	w.healed("all devices are polled in a whole slot", room, 1)
	v := w.judge("RRDCached frozen for %v, drained after %v; its disk full for %v with 10 new devices, drained after %v",
		thawed.Sub(frozen).Round(time.Second), afterHang, room.Sub(filled).Round(time.Second), afterFull)
	v.wholly(t, frozen)
	w.unaffected(v, "RRDCached was frozen", span{frozen, thawed})
	w.unaffected(v, "its disk was full", span{filled, room})
}
