//go:build faults

package main_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pollux/device"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

// ward is a cluster of one consumer that polls healthy devices beside sick ones.
type ward struct {
	*deployment
	t                  *testing.T
	healthy            *fleet
	sick               []*fleet
	producer, consumer *process
	ports              map[int64][]device.Port // of the sick devices, while they were well
	episodes           []string                // what they were made to play
	memory             memory
	cores              map[span]float64 // that the consumer used in each spell
}

const (
	wardInterval = 20
	wardPorts    = 4
	wardLatency  = 20 * time.Millisecond // of a healthy device; sick ones do not wait, unless their scripts say so
	settleSlots  = 2                     // before a spell is judged
	spellSlots   = 4                     // that are judged
)

// memory is what a process holds, as it was seen each second.
type memory struct {
	mu   sync.Mutex
	seen []sight
}

type sight struct {
	at       time.Time
	resident float64 // bytes
}

// most is the most that was seen in a stretch of time, in bytes.
func (m *memory) most(during span) (most float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.seen {
		if s.at.After(during.from) && s.at.Before(during.to) {
			most = max(most, s.resident)
		}
	}
	return most
}

func newWard(t *testing.T, healthy int) *ward {
	t.Helper()
	w := &ward{t: t, deployment: deploy(t, polluxtest.MariaDB(t)), ports: map[int64][]device.Port{}, cores: map[span]float64{}}
	w.env = append(w.env, "POLLUX_LOG_LEVEL=debug")
	w.healthy = startFleet(t, w.dir, healthy, wardPorts, wardInterval, wardLatency)
	w.producer, w.consumer = w.run("producer", "p1"), w.run("consumer", "c1")
	w.healthy.add(w.store)
	var looking sync.WaitGroup
	t.Cleanup(looking.Wait)
	looking.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for t.Context().Err() == nil {
			select {
			case <-t.Context().Done():
			case <-tick.C:
				if m := w.consumer.scrape(); m != nil {
					w.memory.mu.Lock()
					w.memory.seen = append(w.memory.seen, sight{time.Now(), m.sum("process_resident_memory_bytes")})
					w.memory.mu.Unlock()
				}
			}
		}
	})
	return w
}

// admit adds devices that are well so far, each with the credentials for the script that "all" gives it.
func (w *ward) admit(name string, devices int) *fleet {
	w.t.Helper()
	f := startFleetAt(w.t, fleetRange, w.dir, name, devices, wardPorts, wardInterval, 0, wardUser()...)
	f.inherits = true
	f.credentials = func(number int) snmp.Credentials {
		names := simulator.HostileNames()
		script, round := names[number%len(names)], number/len(names)
		switch {
		case strings.HasPrefix(script, "v3-"), script == simulator.Mutate && round == 1:
			return snmp.Credentials{
				Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("first password"),
				PrivProtocol: "AES", PrivPassword: secret.New("second password"),
			}
		case round == 2:
			return snmp.Credentials{Version: snmp.V1, Community: secret.New("public")}
		}
		return snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")}
	}
	f.add(w.store)
	for _, id := range f.ids {
		ports, err := w.store.Ports(w.t.Context(), id)
		if err != nil || len(ports) != wardPorts {
			w.t.Fatalf("device %d has %d ports: %v", id, len(ports), err)
		}
		w.ports[id] = ports
	}
	w.sick = append(w.sick, f)
	return f
}

func wardUser() []string {
	return []string{
		"--user", "monitor", "--auth-protocol", "SHA-256", "--auth-password", "first password",
		"--privacy-protocol", "AES", "--privacy-password", "second password",
	}
}

// become ends the simulation of a fleet and starts it again at its addresses, with a script.
func (w *ward) become(f *fleet, script string) {
	w.t.Helper()
	if code := f.process.end(syscall.SIGTERM); code != 0 {
		w.t.Errorf("the simulator of %s ended with %d", f.name, code)
	}
	w.episodes = append(w.episodes, script)
	_, network, _ := strings.Cut(fleetRange, "/")
	where := f.plan.Addr(0)
	f.process = start(w.t, w.dir, fmt.Sprintf("simulator-%s-%d", f.name, len(w.episodes)), nil, append([]string{
		"simulate", "--listen", fmt.Sprintf("%s/%s:%d", strings.TrimSuffix(where.Addr().String(), ".1")+".0", network, where.Port()),
		"--devices", strconv.Itoa(f.devices), "--ports", strconv.Itoa(f.ports), "--hostile", script,
	}, wardUser()...)...)
	f.process.said(answering, startLimit)
}

// spell lets the cluster poll until what changed has settled, and then for the slots that are judged.
func (w *ward) spell(what string) span {
	w.t.Helper()
	from := time.Now().Add(settleSlots * wardInterval * time.Second)
	to := from.Add((spellSlots + 1) * wardInterval * time.Second) // so many whole slots of each device
	pass(w.t, what, from)
	began, used := time.Now(), w.consumer.cpu()
	pass(w.t, what, to)
	if !w.consumer.alive() || !w.producer.alive() {
		w.t.Fatalf("while %s a node ended", what)
	}
	w.cores[span{from, to}] = (w.consumer.cpu() - used).Seconds() / time.Since(began).Seconds()
	return span{from, to}
}

// late are the 95th percentile and the number of the healthy devices' reads in a spell, counted from the begin of their slots.
func (w *ward) late(reads [][]time.Time, during span) (p95 time.Duration, polls int) {
	w.t.Helper()
	var all []time.Duration
	for i, times := range reads {
		for _, at := range times {
			if at.After(during.from) && at.Before(during.to) {
				all = append(all, at.Sub(time.Unix(w.healthy.slotOf(i, at).begin, 0)))
			}
		}
	}
	if len(all) == 0 {
		w.t.Fatal("no healthy device was polled")
	}
	slices.Sort(all)
	return all[len(all)*95/100], len(all)
}

// checkPorts fails the test when a port of a sick device has vanished, or is told to be down.
func (w *ward) checkPorts(f *fleet) {
	w.t.Helper()
	names := simulator.HostileNames()
	for number, id := range f.ids {
		now, err := w.store.Ports(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		script := names[number%len(names)]
		for _, port := range w.ports[id] {
			i := slices.IndexFunc(now, func(p device.Port) bool { return p.ID == port.ID })
			switch {
			case i < 0:
				w.t.Errorf("%s: port %d of device %d is deleted", script, port.ID, id)
			case now[i].Vanished:
				w.t.Errorf("%s: port %d of device %d has vanished", script, port.ID, id)
			case now[i].State.IfOperStatus != "up" && script != simulator.Mutate:
				w.t.Errorf("%s: port %d of device %d is %s", script, port.ID, id, now[i].State.IfOperStatus)
			}
		}
	}
}

// tell logs what the inventory says of the devices that play each script.
func (w *ward) tell(f *fleet) {
	w.t.Helper()
	names := simulator.HostileNames()
	for number, id := range f.ids {
		d, err := w.store.Device(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(d.StatusReason) > 200 || strings.Contains(d.StatusReason, "goroutine") || strings.Contains(d.StatusReason, "panic") {
			w.t.Errorf("device %d: reason %q", id, d.StatusReason)
		}
		if number < len(names) {
			took := d.PollDuration.Round(time.Millisecond)
			w.t.Logf("figures: %s (%s) is %s after %v: %s", names[number], d.Credentials.Version, d.LastOutcome, took, d.StatusReason)
		}
	}
}

// longest is the longest poll that the inventory knows of a fleet's devices.
func (w *ward) longest(f *fleet) (longest time.Duration) {
	w.t.Helper()
	for _, id := range f.ids {
		d, err := w.store.Device(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		longest = max(longest, d.PollDuration)
	}
	return longest
}
