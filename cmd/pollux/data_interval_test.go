//go:build faults

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/simulator"
	"pollux/store"
)

const (
	changingDevices = 150
	renamedDevice   = 1 // numbers in the fleet
	removedDevice   = 2
	slotsOfEach     = 4 // at each interval
)

// seam is a change of the interval, in seconds.
type seam struct {
	before, after int
	at            time.Time // when the command began
}

// TestDataIntervalChanges changes the interval of a fleet under load, 20 to 10
// to 60 to 20 s, with an RRDCached that is reached over TCP only. Meanwhile one
// device is renamed, one is removed with its files, and RRDCached is killed, so that
// the whole log is sent again. Each graph goes on: at a seam two slots may be
// unknown, or too low by 2 s, none is ever too high, and the removed device gets no file.
func TestDataIntervalChanges(t *testing.T) {
	t.Parallel()
	rrd := polluxtest.RRDCachedTCP(t, "-w", "6", "-z", "3", "-f", "10", "-t", "1")
	server := polluxtest.Redis(t)
	d := deployAt(t, polluxtest.MariaDB(t), redisAt(t, server), "RRDCACHED="+rrd.Address)
	d.redis, d.rrd = server, rrd
	cli(t, d.dir, d.env, "config", "set", "rrd.rra", "AVERAGE:1x200 MAX:6x20")
	// A constant rate: whatever a seam does to a slot shows.
	f := startFleet(t, d.dir, changingDevices, faultPorts, 20, 20*time.Millisecond)
	producer := d.run("producer", "p1")
	consumers := []*process{d.run("consumer", "c1"), d.run("consumer", "c2")}
	client := d.client()
	log := followLog(t, client, journalStream)
	f.add(d.store)
	d.slotsAt(f, client, 20)
	cli(t, d.dir, d.env, "device", "set", fmt.Sprintf("sim-%04d", renamedDevice), "--hostname", "renamed")
	calm := time.Now()

	seams := []seam{{before: 20, after: 10}, {before: 10, after: 60}, {before: 60, after: 20}}
	for i := range seams {
		s := &seams[i]
		s.at = time.Now()
		cli(t, d.dir, d.env, "device", "set", "--where", "interval="+strconv.Itoa(s.before), "--interval", strconv.Itoa(s.after), "--yes")
		d.slotsAt(f, client, s.after)
		if i == 0 {
			d.removeWithFiles(f, client)
		}
		d.rrd.Kill()
		d.rrd.Start()
	}
	appended := linesIn(log.entries())
	until(t, 2*time.Minute, "RRDCached has what is in the log", func() bool {
		status, err := journal.New(client, 0).Status(t.Context())
		return err == nil && len(status.Targets) == 1 && status.Targets[0].Lag == 0
	})
	end := time.Now()
	sent := countLines(newTotal(consumers...).sum, rrd.Address)
	sent.appended, sent.removing = appended, true
	d.drain(append(consumers, producer)...)
	f.stop()
	log.stop()
	if left, err := filepath.Glob(filepath.Join(d.rrd.Base, fmt.Sprintf("sim-%04d", removedDevice), "*")); err != nil || len(left) > 0 {
		t.Errorf("the removed device has files again: %v, %v", some(left), err)
	}
	t.Logf("I5: %v", sent)
	report(t, sent.judge())
	if sent.removed == 0 {
		t.Error("no line of the removed device was dropped")
	}
	d.checkSeams(f, log, seams, calm, end)
}

// slotsAt waits until each device has finished some slots at an interval.
func (d *deployment) slotsAt(f *fleet, client cluster.Client, interval int) {
	d.t.Helper()
	log := journal.New(client, 0)
	limit := time.Duration((slotsOfEach+4)*interval)*time.Second + 3*time.Minute
	untilEvery(d.t, time.Second, limit, fmt.Sprintf("%d slots of each device at %d s", slotsOfEach, interval), func() bool {
		all, err := d.store.Devices(d.t.Context(), store.Filter{Limit: 10_000})
		if err != nil || len(all) < f.devices-1 {
			return false
		}
		ids := make([]int64, len(all))
		for i := range all {
			ids[i] = all[i].ID
		}
		last, err := log.Last(d.t.Context(), ids)
		if err != nil {
			return false
		}
		for i, device := range all {
			begun := max(device.SlotFrom, device.CreatedAt.Unix())
			if device.Interval != interval || last[i].Slot < begun+int64(slotsOfEach*interval) {
				return false
			}
		}
		return true
	})
}

// removeWithFiles removes a device of which the log holds entries, and its files as soon as it has its tombstone.
func (d *deployment) removeWithFiles(f *fleet, client cluster.Client) {
	d.t.Helper()
	name := fmt.Sprintf("sim-%04d", removedDevice)
	cli(d.t, d.dir, d.env, "device", "remove", name)
	id := strconv.FormatInt(f.ids[removedDevice], 10)
	until(d.t, time.Minute, "the removed device has a tombstone", func() bool {
		return client.ZScore(d.t.Context(), "pollux:{journal:0}:tombstones", id).Err() == nil
	})
	directory := filepath.Join(d.rrd.Base, name)
	if files, err := filepath.Glob(filepath.Join(directory, "*.rrd")); err != nil || len(files) < f.ports {
		d.t.Fatalf("the device has %d files before it is removed, %v", len(files), err)
	}
	if err := os.RemoveAll(directory); err != nil {
		d.t.Fatal(err)
	}
}

// checkSeams reads the newest file of each port, which holds the history of the older ones.
func (d *deployment) checkSeams(f *fleet, log *logTail, seams []seam, calm, end time.Time) {
	d.t.Helper()
	model := f.plan.Model()
	var ports []sampledPort
	for number, id := range f.ids {
		if number == removedDevice {
			continue
		}
		device, err := d.store.Device(d.t.Context(), id)
		if err != nil {
			d.t.Fatal(err)
		}
		if want := fmt.Sprintf("sim-%04d", number); device.RRDDir != want || (device.Hostname == want) == (number == renamedDevice) {
			d.t.Errorf("device %d is called %s and has its files in %s", number, device.Hostname, device.RRDDir)
		}
		known, err := d.store.Ports(d.t.Context(), id)
		if err != nil || len(known) != f.ports {
			d.t.Fatalf("device %d has %d ports, %v", number, len(known), err)
		}
		for _, port := range known {
			if port.Generation != len(seams) {
				d.t.Errorf("port %d of device %d has generation %d", port.State.IfIndex, number, port.Generation)
			}
			// rrdtool takes no other name than one below the daemon's base over TCP.
			file := measurement.Path(device.RRDDir, measurement.KindPort, port.ID, port.Generation)
			ports = append(ports, sampledPort{id: port.ID, device: number, port: int(port.State.IfIndex), file: file})
		}
	}
	if _, err := os.Stat(filepath.Join(d.rrd.Base, "renamed")); err == nil {
		d.t.Error("the renamed device got another directory")
	}
	logged := history{ports: map[slot]map[int64]portSample{}}
	for _, e := range log.entries() {
		logged.ports[e.slot] = e.ports
	}
	total := seamCount{visits: f.visits(), seams: seams, step: f.interval}
	for i, rows := range f.fetch(d.rrd.Address, ports, calm.Unix(), end.Unix()-2*int64(f.interval)) {
		p := ports[i]
		for _, direction := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
			c := counterSeen{p, f.ids[p.device], direction, model.Rate(p.device, p.port, direction, calm), f.taken(p, direction, logged)}
			total.judge(d.t, c, rows)
		}
	}
	d.t.Logf("figures: %v", total)
}
