package journal_test

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/poller"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
)

const (
	switches    = 20
	switchPorts = 8
	patient     = 5 * time.Second // an answer that comes late on a busy machine must not be asked for again
)

// network is simulated switches that are polled at their interval, in real time, over SNMP.
// Their rates change at the slots of the RRD files.
type network struct {
	t       *testing.T
	agent   *simulator.Agent
	stop    func()        // ends the agent, which completes its log
	log     *bytes.Buffer // all that was answered
	journal *journal.Journal
	begin   time.Time // of the first slot
	polling sync.WaitGroup
}

func newNetwork(t *testing.T, j *journal.Journal) *network {
	t.Helper()
	n := &network{t: t, log: &bytes.Buffer{}, journal: j, begin: time.Unix(time.Now().Unix()/step*step+step, 0)}
	var err error
	n.agent, err = simulator.New(simulator.Config{
		Listen: "127.29.0.0/16:0", Devices: switches, Ports: switchPorts,
		Pattern: "steps", StepLength: step * time.Second, Epoch: n.begin.Add(-100 * step * time.Second), Log: n.log,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.agent.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("simulator: %v", err)
		}
	})
	t.Cleanup(n.stop)
	select {
	case <-n.agent.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("the simulator ended: %v", err)
	}
	return n
}

// poll polls every device in each of some slots, each at its own phase in the first two seconds.
func (n *network) poll(slots int) {
	for d := range switches {
		n.polling.Go(func() {
			for slot := range slots {
				begin := n.begin.Add(time.Duration(slot) * step * time.Second)
				until(begin.Add(200*time.Millisecond + time.Duration(d)*100*time.Millisecond))
				n.append(d, begin.Unix())
			}
		})
	}
}

// append polls one device and puts what it said into the journal.
func (n *network) append(d int, slot int64) {
	ctx, address := n.t.Context(), n.agent.Addr(d)
	session, err := snmp.Dial(ctx, snmp.Target{
		Host: address.Addr().String(), Port: address.Port(), Timeout: patient,
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
	}, nil)
	if err != nil {
		n.t.Errorf("device %d: %v", d, err)
		return
	}
	defer session.Close()
	target := poller.Target{Device: device.Device{ID: int64(d + 1), RRDDir: switchDir(d), Interval: step}, Timeout: patient}
	for port := 1; port <= switchPorts; port++ {
		target.Ports = append(target.Ports, device.Port{
			ID: portID(d, port), DeviceID: int64(d + 1),
			State: device.PortState{IfIndex: int64(port), IfName: "GigabitEthernet0/" + itoa(port)},
		})
	}
	report := poller.Poll(ctx, session, target)
	if report.Poll.Outcome != device.OutcomeUp || len(report.Measurements) < switchPorts {
		n.t.Errorf("device %d, slot %d: outcome %s, %d measurements", d, slot, report.Poll.Outcome, len(report.Measurements))
	}
	result, err := n.journal.Append(ctx, journal.Entry{
		DeviceID: int64(d + 1), Slot: slot, Outcome: report.Poll.Outcome, Dir: switchDir(d),
		Step: step, Heartbeat: measurement.Heartbeat(step), Measurements: report.Measurements,
	})
	if err != nil || result != journal.Accepted {
		n.t.Errorf("append of device %d, slot %d: %v, %v", d, slot, result, err)
	}
}

func switchDir(d int) string { return "switch" + strconv.Itoa(d) }

func portID(d, port int) int64 { return int64(d*100 + port) }

// until waits for a time.
func until(when time.Time) { <-time.After(time.Until(when)) }

// octets is one octet counter of one port.
type octets struct {
	device, port int
	column       simulator.Column
}

// answered reads the agent's log: the 64-bit octet counters that were answered, in order of time.
func (n *network) answered() map[octets][]counted {
	n.t.Helper()
	n.stop()
	samples := map[octets][]counted{}
	for entry, err := range simulator.ReadLog(n.log) {
		if err != nil {
			n.t.Fatal(err)
		}
		if entry.Wide {
			key := octets{entry.Device, entry.Port, entry.Column}
			samples[key] = append(samples[key], counted{ms: entry.UnixNano / 1e6, count: entry.Counter})
		}
	}
	if len(samples) != switches*switchPorts*2 {
		n.t.Fatalf("%d counters were answered, want %d", len(samples), switches*switchPorts*2)
	}
	for _, list := range samples {
		slices.SortFunc(list, func(a, b counted) int { return int(a.ms - b.ms) })
	}
	return samples
}

// smallestChange is the smallest relative change of any port's rate from one slot to the next.
func (n *network) smallestChange(slots int) float64 {
	smallest := math.Inf(1)
	for d := range switches {
		for port := 1; port <= switchPorts; port++ {
			for _, column := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
				at := n.begin.Add(step * time.Second / 2)
				before := n.agent.Model().Rate(d, port, column, at)
				for range slots - 1 {
					at = at.Add(step * time.Second)
					rate := n.agent.Model().Rate(d, port, column, at)
					smallest = min(smallest, math.Abs(rate-before)/before)
					before = rate
				}
			}
		}
	}
	return smallest
}

// verdict is how the slots of all files of one daemon compare with what was answered.
type verdict struct {
	right, unknown, off int
	worst               float64 // relative error of a known slot
}

// judge looks at every slot between the first and the last sample of each
// counter. A slot is off when it is more than 2 % away from what follows from the samples.
func (m *member) judge(samples map[octets][]counted) (v verdict) {
	m.t.Helper()
	client := m.dial()
	for key, list := range samples {
		first, last := list[0].ms, list[len(list)-1].ms
		file := measurement.Path(switchDir(key.device), measurement.KindPort, portID(key.device, key.port), 0)
		series, err := client.Fetch(m.t.Context(), file, "AVERAGE", time.UnixMilli(first), time.UnixMilli(last))
		if err != nil {
			m.t.Fatalf("%s: %s: %v", m.name, file, err)
		}
		source := slices.Index(series.Names, map[simulator.Column]string{simulator.InOctets: "INOCTETS", simulator.OutOctets: "OUTOCTETS"}[key.column])
		recorded := map[int64]float64{}
		for _, row := range series.Rows {
			recorded[row.Time.UnixMilli()] = row.Values[source]
		}
		const slot = step * 1000
		for begin := (first + slot - 1) / slot * slot; begin+slot <= last; begin += slot {
			want := average(list, begin, begin+slot)
			got, known := recorded[begin+slot]
			switch wrong := math.Abs(got-want) / want; {
			case !known || math.IsNaN(got):
				v.unknown++
			case wrong > 0.02:
				v.off++
				v.worst = max(v.worst, wrong)
			default:
				v.right++
				v.worst = max(v.worst, wrong)
			}
		}
	}
	return v
}

// member is one of several daemons that are fed from one journal.
type member struct {
	*world
	name     string
	id       string // of the target
	rule     func(*journal.Recorder)
	recorder []*running // one after the other
}

func newMember(shared *world, name string, rule func(*journal.Recorder), window time.Duration, flags ...string) *member {
	shared.t.Helper()
	w := &world{t: shared.t, redis: shared.redis, client: shared.client, journal: shared.journal, window: window}
	w.rrd = polluxtest.RRDCached(w.t, flags...)
	m := &member{world: w, name: name, rule: rule}
	var err error
	if m.id, err = journal.Identify(w.t.Context(), m.dial(), clusterID); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// start starts a recorder, which is a new process as far as memory goes.
func (m *member) start() { m.recorder = append(m.recorder, m.record(m.rule)) }

func (m *member) cursor() map[string]string {
	m.t.Helper()
	fields, err := m.client.HGetAll(m.t.Context(), m.journal.Key("cursor", m.id)).Result()
	if err != nil {
		m.t.Fatal(err)
	}
	return fields
}

func (m *member) crash() {
	m.rrd.Kill()
	m.rrd.Start()
}

// crashOnReturn kills the daemon twice, the second time as soon as the
// recorder is back and has sent something. It returns how long after the reconnect that was, at most.
func (m *member) crashOnReturn() time.Duration {
	m.t.Helper()
	before := m.cursor()["instance"]
	m.crash()
	away := time.Now() // the last time at which the recorder was not back yet
	polluxtest.Eventually(m.t, 10*time.Second, m.name+": the recorder is back", func() bool {
		looked, cursor := time.Now(), m.cursor()
		if cursor["instance"] == before {
			away = looked
		}
		return cursor["instance"] != before && cursor["updates"] != "0"
	})
	m.rrd.Kill()
	after := time.Since(away)
	m.rrd.Start()
	return after
}

// crashUnseen restarts the daemon while no recorder lives.
func (m *member) crashUnseen() {
	m.recorder[len(m.recorder)-1].stop()
	m.crash()
	m.start()
}

// settle waits until the whole log is sent and written to the files.
func (m *member) settle() {
	m.t.Helper()
	polluxtest.Eventually(m.t, 15*time.Second, m.name+": the whole log is acknowledged", func() bool {
		info, err := m.client.XInfoStream(m.t.Context(), m.journal.Stream()).Result()
		return err == nil && m.cursor()["acked"] == info.LastGeneratedID
	})
	client := m.dial()
	if err := client.FlushAll(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	written := uint64(math.MaxUint64) // it may stay 0: what rrdtool refuses at writing is not counted
	polluxtest.Eventually(m.t, 10*time.Second, m.name+": all is written", func() bool {
		stats, err := client.Stats(m.t.Context())
		still := err == nil && stats.QueueLength == 0 && stats.DataSetsWritten == written
		written = stats.DataSetsWritten
		return still
	})
}

// lines is how many lines came to an end so, over all recorders.
func (m *member) lines(result string) (sum float64) {
	for _, r := range m.recorder {
		sum += r.counter("pollux_rrd_updates_total", result)
	}
	return sum
}
