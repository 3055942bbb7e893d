package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pollux/device"
	"pollux/poller"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

const (
	fleetRange = "127.16.0.0/16"
	// witness is the port whose ifHCInOctets tells when its device was read: a
	// poll asks for it once. Port 1 will not do, since a GETBULK may run over
	// the end of the column before.
	witness = 2
	adders  = 12
	// patience of an SNMP try: what a busy machine delays must not count as lost.
	snmpPatience = 5 * time.Second
)

// fleet is the simulated devices of a test, in a process of their own. What
// they answered is the ground truth.
type fleet struct {
	t       testing.TB
	name    string // that the devices' names begin with
	process *process
	plan    *simulator.Agent // never run: it knows addresses and the closed form
	answers string           // file with each octet counter that was answered

	devices, ports, interval int
	first                    int           // number of its first device in the simulation
	latency                  time.Duration // of each answer
	credentials              func(number int) snmp.Credentials
	group                    func(number int) int64 // poller group of a device; nil for General
	inherits                 bool                   // timeout and retries are those of the settings

	ids   []int64     // in the inventory, by number of the device
	added []time.Time // when it was complete in the inventory
}

var answering = regexp.MustCompile(`answering SNMP from [0-9.]+:([0-9]+) on`)

// startFleet starts simulated devices that are to be polled every interval
// seconds. flags are further ones of the simulator.
func startFleet(t testing.TB, dir string, devices, ports, interval int, latency time.Duration, flags ...string) *fleet {
	t.Helper()
	return startFleetAt(t, fleetRange, dir, "sim", devices, ports, interval, latency, flags...)
}

// startFleetAt starts a fleet with a name, for a test that has several, at the addresses of a network.
func startFleetAt(t testing.TB, network, dir, name string, devices, ports, interval int, latency time.Duration, flags ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, name: name, devices: devices, ports: ports, interval: interval, latency: latency, answers: filepath.Join(dir, "answers-"+name)}
	f.credentials = func(int) snmp.Credentials {
		return snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")}
	}
	f.process = start(t, dir, "simulator-"+name, nil, append([]string{"simulate", "--listen", network + ":0", "--log", f.answers,
		"--devices", strconv.Itoa(devices), "--ports", strconv.Itoa(ports), "--latency", latency.String()}, flags...)...)
	port := f.process.said(answering, startLimit)[1]
	var err error
	f.plan, err = simulator.New(simulator.Config{Listen: network + ":" + port, Devices: devices, Ports: ports}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// add puts all devices into the inventory, with their ports, as "device add"
// does, and returns when the last one is there.
func (f *fleet) add(s *store.Store) time.Time {
	f.t.Helper()
	f.ids, f.added = make([]int64, f.devices), make([]time.Time, f.devices)
	group, ctx := errgroup.WithContext(f.t.Context())
	group.SetLimit(adders)
	for i := range f.devices {
		group.Go(func() error { return f.addOne(ctx, s, i) })
	}
	if err := group.Wait(); err != nil {
		f.t.Fatal(err)
	}
	return time.Now()
}

func (f *fleet) addOne(ctx context.Context, s *store.Store, i int) error {
	where := f.plan.Addr(i)
	d := device.Device{
		Hostname: fmt.Sprintf("%s-%04d", f.name, i), Address: where.Addr().String(), Port: where.Port(), Transport: "udp",
		Interval: f.interval, Timeout: snmpPatience, Retries: 1, Status: device.StatusNew,
		Credentials: f.credentials(i),
	}
	if f.group != nil {
		d.Group = f.group(i)
	}
	session, err := snmp.Dial(ctx, snmp.Target{
		Host: d.Host(), Port: d.Port, Transport: d.Transport, Credentials: d.Credentials, Timeout: d.Timeout, Retries: d.Retries,
	}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	report := poller.Poll(ctx, session, poller.Target{Device: d, Timeout: d.Timeout, Retries: d.Retries})
	if report.Poll.Outcome != device.OutcomeUp || len(report.Poll.Ports) != f.ports {
		return fmt.Errorf("device %d is %s with %d ports: %s", i, report.Poll.Outcome, len(report.Poll.Ports), report.Poll.Reason)
	}
	if f.inherits {
		d.Timeout, d.Retries = 0, -1
	}
	added, err := s.AddDevice(ctx, d)
	for deadline := time.Now().Add(startLimit); errors.Is(err, store.ErrUnavailable) && time.Now().Before(deadline); {
		added, err = s.AddDevice(ctx, d) // a busy machine
	}
	if err != nil {
		return err
	}
	report.Poll.DeviceID, report.Poll.At = added.ID, time.Now().Add(-time.Minute)
	if err := s.SavePoll(ctx, report.Poll); err != nil {
		return err
	}
	f.ids[i], f.added[i] = added.ID, time.Now()
	return nil
}

// stop ends the simulation, which completes its log.
func (f *fleet) stop() {
	f.t.Helper()
	if code := f.process.end(syscall.SIGTERM); code != 0 {
		f.t.Errorf("the simulator ended with %d", code)
	}
}

// reads are the times for which each device gave its counters, by number of
// the device: half the latency after the request. The fleet must be stopped.
func (f *fleet) reads() [][]time.Time {
	f.t.Helper()
	file, err := os.Open(f.answers)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	reads := make([][]time.Time, f.devices)
	for entry, err := range simulator.ReadLog(file) {
		if err != nil {
			f.t.Fatal(err)
		}
		if number, own := f.number(entry); own && entry.Port == witness && entry.Column == simulator.InOctets && entry.Wide {
			reads[number] = append(reads[number], time.Unix(0, entry.UnixNano))
		}
	}
	return reads
}

// number is which device of the fleet an answer is of, and whether it is of one.
func (f *fleet) number(e simulator.Entry) (number int, own bool) {
	number = e.Device - f.first
	return number, number >= 0 && number < f.devices
}

// slot is one turn of one device.
type slot struct {
	device int64
	begin  int64 // Unix second
}

func (s slot) String() string { return fmt.Sprintf("%d:%d", s.device, s.begin) }

// slotOf is the slot of a read. It is that of the poll's begin, which is at
// least two answers earlier: a poll that is cut short at the end of its slot may
// send its last request in the slot's last millisecond.
func (f *fleet) slotOf(number int, read time.Time) slot {
	begun := read.Add(-f.latency * 3 / 2)
	return slot{f.ids[number], device.SlotAt(f.ids[number], f.interval, begun.Unix())}
}

// polls counts the reads of each slot, leaving out those by which the test itself added a device.
func (f *fleet) polls(reads [][]time.Time) map[slot]int {
	count := map[slot]int{}
	for i, times := range reads {
		for _, at := range times {
			if at.After(f.added[i]) {
				count[f.slotOf(i, at)]++
			}
		}
	}
	return count
}

// recorded are the reads whose polls came into the log: what a killed node had read did not.
func (f *fleet) recorded(reads [][]time.Time, logged map[slot]int) [][]time.Time {
	kept := make([][]time.Time, len(reads))
	for i, times := range reads {
		for _, at := range times {
			if at.After(f.added[i]) && logged[f.slotOf(i, at)] > 0 {
				kept[i] = append(kept[i], at)
			}
		}
	}
	return kept
}

// slots are all that begin at or after from and end at or before to.
func (f *fleet) slots(from, to time.Time) (all []slot) {
	step := int64(f.interval)
	for _, id := range f.ids {
		begin := device.SlotAt(id, f.interval, from.Unix())
		if begin < from.Unix() || from.Nanosecond() > 0 {
			begin += step
		}
		for ; begin+step <= to.Unix(); begin += step {
			all = append(all, slot{id, begin})
		}
	}
	return all
}

// missing are the slots of a stretch of time that were not polled, and the most of one device.
func (f *fleet) missing(polls map[slot]int, from, to time.Time) (missed []slot, worst int) {
	perDevice := map[int64]int{}
	for _, s := range f.slots(from, to) {
		if polls[s] == 0 {
			missed = append(missed, s)
			perDevice[s.device]++
			worst = max(worst, perDevice[s.device])
		}
	}
	return missed, worst
}

// polledTwice fails the test when a slot was polled more than once, and tells
// when. A poll that was cut short may have asked twice, at or just after the end of its slot.
func (f *fleet) polledTwice(reads [][]time.Time, h history, pardoned ...span) (excused int) {
	f.t.Helper()
	polls := f.polls(reads)
	var twice []string
	free := map[slot]bool{}
	for i, times := range reads {
		for _, at := range times {
			if slices.ContainsFunc(pardoned, func(u span) bool { return at.After(u.from) && at.Before(u.to) }) {
				free[f.slotOf(i, at)] = true
			}
		}
	}
	for s := range free {
		if polls[s] > 1 {
			excused++
		}
	}
	for i, times := range reads {
		for _, at := range times {
			s := f.slotOf(i, at)
			before := slot{s.device, s.begin - int64(f.interval)}
			if at.After(f.added[i]) && polls[s] > 1 && !free[s] && h.short[s] == 0 && h.short[before] == 0 {
				twice = append(twice, fmt.Sprintf("%v at %+.2f s", s, at.Sub(time.Unix(s.begin, 0)).Seconds()))
			}
		}
	}
	if len(twice) > 0 {
		f.t.Errorf("%d reads of slots that were polled more than once: %v", len(twice), twice[:min(len(twice), 20)])
	}
	return excused
}

// some cuts a list for a message.
func some[T any](list []T) []T { return list[:min(len(list), 10)] }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
