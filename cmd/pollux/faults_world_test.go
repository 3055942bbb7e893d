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
	"syscall"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/journal"
	"pollux/secret"
	"pollux/snmp"
)

// The fault tests disturb clusters of real processes under load and have the
// history checker judge what happened. make faults runs them side by side, each
// on servers of its own.

const (
	faultDevices  = 300
	faultInterval = 20
	faultPorts    = 4
	faultLatency  = 100 * time.Millisecond // a poll takes about half a second, so that some are under way at any time
	secureShare   = 10                     // every tenth device speaks SNMPv3

	canaryFleetCommunity = "CANARY-fleet-community"
	canaryFleetAuth      = "CANARY-fleet-auth-password"
	canaryFleetPriv      = "CANARY-fleet-priv-password"
)

// world is a cluster under load, and what is known of it.
type world struct {
	*deployment
	*fleet
	t      *testing.T
	second *fleet    // nil for none
	died   time.Time // when the second fleet stopped to answer; zero for never
	client cluster.Client
	watch  *watch

	all           []*process // every process that ever ran, in the order of their start
	adding, added time.Time
	calm          map[*process]levels
	calmAt        time.Time   // from when on slots are judged
	counted       int         // missed slots that the leaders had counted then
	late          []span      // in which slots may be cut short
	pardoned      []span      // in which a thawed node may send a last request
	kills         []time.Time // of nodes
	unseen        []span      // in which missed slots may be counted or not
	bounced       map[string]int
	setup         setup
}

// setup is what differs between the worlds.
type setup struct {
	devices, interval    int
	latency              time.Duration
	producers, consumers int
	environ              func(name string) []string     // what one node's environment has beside the cluster's
	program              func() (built, error)          // another build of the program
	prepare              func(d *deployment)            // before the first node starts
	group                func(number int) (group int64) // poller group of a device
	second               int                            // devices of a second fleet, in the group of the number -1
	ports                int                            // of each device
	simulate             []string                       // further flags of the simulation
	deploy               func(config.Database) *deployment
}

// newWorld starts a cluster, gives it devices, and waits until all is calm.
func newWorld(t *testing.T, database func(testing.TB) config.Database, s setup) *world {
	t.Helper()
	if s.devices == 0 {
		s.devices = faultDevices
	}
	if s.interval == 0 {
		s.interval = faultInterval
	}
	if s.latency == 0 {
		s.latency = faultLatency
	}
	if s.ports == 0 {
		s.ports = faultPorts
	}
	if s.deploy == nil {
		s.deploy = func(database config.Database) *deployment { return deploy(t, database) }
	}
	w := &world{t: t, deployment: s.deploy(database(t)), calm: map[*process]levels{}, bounced: map[string]int{}}
	w.env = append(w.env, "POLLUX_LOG_LEVEL=debug")
	w.setup = s
	w.client = w.deployment.client()
	w.fleet = w.startFleet("sim", s.devices)
	w.group = s.group
	if s.second > 0 {
		w.second = w.startFleet("far", s.second)
		w.second.group = func(int) int64 { return s.group(-1) }
	}
	if s.prepare != nil {
		s.prepare(w.deployment)
	}
	w.watch = watchProcesses(t, w.client)
	for n := range s.producers {
		w.start("producer", fmt.Sprintf("p%d", n+1))
	}
	for n := range s.consumers {
		w.start("consumer", fmt.Sprintf("c%d", n+1))
	}
	w.adding = time.Now()
	if w.second != nil {
		w.second.add(w.store)
	}
	w.added = w.add(w.store)
	w.late = append(w.late, w.offered(w.adding, w.added))
	if w.long() {
		w.pollOfEach()
	} else {
		w.healed("a poll of each device in a whole slot", w.added, 1)
	}
	for _, p := range w.all {
		w.watch.look(p)
		w.calm[p] = levelsOf(w.watch.last(p))
	}
	w.calmAt, w.counted = time.Now(), int(w.sum("pollux_slots_missed_total"))
	return w
}

// startFleet starts simulated devices whose credentials are canaries.
func (w *world) startFleet(name string, devices int) *fleet {
	w.t.Helper()
	return startCanaries(w.t, fleetRange, w.dir, name, devices, w.setup.ports, w.setup.interval, w.setup.latency, w.setup.simulate...)
}

// startCanaries is startFleetAt with credentials that are canaries.
func startCanaries(t testing.TB, network, dir, name string, devices, ports, interval int, latency time.Duration, more ...string) *fleet {
	t.Helper()
	flags := append([]string{
		"--community", canaryFleetCommunity, "--user", "monitor", "--auth-protocol", "SHA-256", "--auth-password", canaryFleetAuth,
		"--privacy-protocol", "AES", "--privacy-password", canaryFleetPriv,
	}, more...)
	f := startFleetAt(t, network, dir, name, devices, ports, interval, latency, flags...)
	f.credentials = fleetCredentials
	return f
}

// fleets are all simulated devices.
func (w *world) fleets() []*fleet {
	if w.second == nil {
		return []*fleet{w.fleet}
	}
	return []*fleet{w.fleet, w.second}
}

func fleetCredentials(number int) snmp.Credentials {
	if number%secureShare != 0 {
		return snmp.Credentials{Version: snmp.V2c, Community: secret.New(canaryFleetCommunity)}
	}
	return snmp.Credentials{
		Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(canaryFleetAuth),
		PrivProtocol: "AES", PrivPassword: secret.New(canaryFleetPriv),
	}
}

// start starts a node of a role, or starts it again under its name.
func (w *world) start(role, name string) *process {
	w.t.Helper()
	environ := append(slices.Clone(w.env), "NODE_ID="+name)
	if w.setup.environ != nil {
		environ = append(environ, w.setup.environ(name)...)
	}
	build := program
	if w.setup.program != nil {
		build = w.setup.program
	}
	made, err := build()
	if err != nil {
		w.t.Fatal(err)
	}
	w.bounced[name]++
	label := name
	if n := w.bounced[name]; n > 1 {
		label = fmt.Sprintf("%s-%d", name, n)
	}
	p := startCommand(w.t, w.dir, label, commandOf(w.t, made.file, w.dir, environ, role)).ready()
	w.nodes[name] = p
	w.all = append(w.all, p)
	w.watch.add(p)
	return p
}

// kill ends a node as a crash does. What it asks at that moment is lost, and what a leader counted in its last second.
func (w *world) kill(p *process) (at time.Time) {
	w.t.Helper()
	at = time.Now()
	p.end(syscall.SIGKILL)
	w.kills = append(w.kills, at)
	w.disturbed(at, at)
	if strings.HasPrefix(p.name, "p") { // its last figures
		w.unseen = append(w.unseen, span{at.Add(-5 * time.Second), at.Add(time.Second)})
	}
	return at
}

// disturbed notes that polls may be cut short by the ends of slots that touch a
// stretch of time: they begin late then.
func (w *world) disturbed(from, to time.Time) {
	w.late = append(w.late, span{from, to.Add(time.Duration(2*w.interval) * time.Second)})
}

// running are the nodes of a role that live.
func (w *world) running(prefix string) (alive []*process) {
	for _, p := range w.all {
		if strings.HasPrefix(p.name, prefix) && p.alive() {
			alive = append(alive, p)
		}
	}
	return alive
}

// leader waits for the one producer that leads.
func (w *world) leader() *process {
	w.t.Helper()
	var found *process
	until(w.t, startLimit, "one producer leads", func() bool {
		found = nil
		for _, p := range w.running("p") {
			if leads(p) {
				if found != nil {
					return false
				}
				found = p
			}
		}
		return found != nil
	})
	return found
}

// healed waits until each device has finished slots many slots that began after
// a moment, and returns how long that took beyond the time that the slots themselves need.
func (w *world) healed(what string, after time.Time, slots int) time.Duration {
	w.t.Helper()
	step := int64(w.interval)
	log := journal.New(w.client, 0)
	limit := time.Duration(slots+2)*time.Duration(step)*time.Second + 3*time.Minute
	untilEvery(w.t, time.Second, limit, what, func() bool {
		last, err := log.Last(w.t.Context(), w.ids)
		if err != nil {
			return false
		}
		for i, l := range last {
			first := device.SlotAt(w.ids[i], w.interval, after.Unix()) + step
			if l.Slot < first+int64(slots-1)*step {
				return false
			}
		}
		return true
	})
	return max(time.Since(after)-time.Duration(slots+1)*time.Duration(step)*time.Second, 0)
}

// long says whether a slot lasts for longer than the test waits.
func (w *world) long() bool { return w.interval >= 120 }

// pollOfEach waits until each device has finished a slot.
func (w *world) pollOfEach() {
	w.t.Helper()
	untilEvery(w.t, time.Second, 3*time.Minute, "a poll of each device", func() bool {
		last, err := journal.New(w.client, 0).Last(w.t.Context(), w.ids)
		return err == nil && !slices.ContainsFunc(last, func(l journal.Last) bool { return l.Slot == 0 })
	})
}

// underWay waits until a node asks at least so many devices.
func (w *world) underWay(p *process, polls float64) (flying float64) {
	w.t.Helper()
	until(w.t, 2*time.Minute, fmt.Sprintf("%.0f polls are under way on %s", polls, p.name), func() bool {
		flying = p.scrape().sum("pollux_polls_in_flight")
		return flying >= polls
	})
	return flying
}

// watch reads the metrics of all processes every second, so that those of one
// that dies are known, and looks how long tasks are in work.
type watch struct {
	t    *testing.T
	work sync.WaitGroup

	mu      sync.Mutex
	read    map[*process]metrics
	active  map[string]time.Time // since when a task is in an active list
	longest time.Duration        // that a task was in one
	which   string
}

func watchProcesses(t *testing.T, client cluster.Client) *watch {
	w := &watch{t: t, read: map[*process]metrics{}, active: map[string]time.Time{}}
	w.every(func() {
		var all []string
		queues, err := client.SMembers(t.Context(), "asynq:queues").Result()
		for _, queue := range queues {
			var ids []string
			if err == nil {
				ids, err = client.LRange(t.Context(), "asynq:{"+queue+"}:active", 0, -1).Result()
			}
			all = append(all, ids...)
		}
		if err == nil {
			w.inWork(all)
		}
	})
	t.Cleanup(w.work.Wait)
	return w
}

// every does something each second until the test ends.
func (w *watch) every(do func()) {
	w.work.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-w.t.Context().Done():
				return
			case <-tick.C:
				do()
			}
		}
	})
}

func (w *watch) add(p *process) {
	w.every(func() {
		if p.alive() {
			w.look(p)
		}
	})
}

func (w *watch) look(p *process) {
	if m := p.scrape(); m != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.read[p] = m
	}
}

func (w *watch) inWork(ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, still := time.Now(), map[string]time.Time{}
	for _, id := range ids {
		since, known := w.active[id]
		if !known {
			since = now
		}
		still[id] = since
		if took := now.Sub(since); took > w.longest {
			w.longest, w.which = took, id
		}
	}
	w.active = still
}

// last are the metrics of a process as they were read last.
func (w *watch) last(p *process) metrics {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read[p]
}

// sum adds a metric over all processes that ever ran.
func (w *world) sum(name string, labels ...string) (sum float64) {
	for _, p := range w.all {
		sum += w.watch.last(p).sum(name, labels...)
	}
	return sum
}

// ending is what a node says of a slot that it did not poll.
type ending struct {
	Message string `json:"msg"`
	Device  int64  `json:"device"`
	Slot    int64  `json:"slot"`
	Why     string `json:"why"`
}

const repeats = "a repeat: "

// endings reads what the nodes say of slots that they did not poll: how the
// slots ended, and which tasks came again after their slot was finished.
func (w *world) endings() (ended, again map[slot][]string) {
	w.t.Helper()
	return endingsOn(w.t, w.all...)
}

// endingsOn is endings for some processes. They must write debug lines.
func endingsOn(t testing.TB, nodes ...*process) (ended, again map[slot][]string) {
	t.Helper()
	ended, again = map[slot][]string{}, map[slot][]string{}
	for _, p := range nodes {
		file, err := os.Open(p.log)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if !strings.Contains(lines.Text(), "a slot ended without a poll") {
				continue
			}
			var e ending
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				continue // the last line of a process that was killed
			}
			s := slot{e.Device, e.Slot}
			if why, found := strings.CutPrefix(e.Why, repeats); found {
				again[s] = append(again[s], why)
			} else {
				ended[s] = append(ended[s], e.Why+" on "+p.name)
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("read what %s said: %v", p.name, err)
		}
		_ = file.Close()
	}
	return ended, again
}
