package producer

import (
	"errors"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"pollux/cluster"
	"pollux/device"
	"pollux/store"
	"pollux/tasks"
)

// The results of an offer.
const (
	resultOffered   = "offered"    // put into the queue
	resultConflict  = "conflict"   // was there already
	resultQueueFull = "queue_full" // skipped: too many tasks wait in the queue
	resultMemory    = "memory"     // skipped: Redis is nearly full
	resultError     = "error"      // refused by Redis; offered again a second later
)

var offerResults = [...]string{resultOffered, resultConflict, resultQueueFull, resultMemory, resultError}

// metrics are what the producer exports. The labels are poller groups and queues that exist.
type metrics struct {
	leader       prometheus.Gauge
	devices      *prometheus.GaugeVec   // group
	groupNodes   *prometheus.GaugeVec   // group
	nodes        *prometheus.GaugeVec   // role, state
	offers       *prometheus.CounterVec // group, result
	missed       *prometheus.CounterVec // group
	queueTasks   *prometheus.GaugeVec   // queue, state
	queueLatency *prometheus.GaugeVec   // queue
	queuePaused  *prometheus.GaugeVec   // queue
	overdue      *prometheus.GaugeVec   // group, intervals
	alarms       *prometheus.GaugeVec   // kind
	billing      *prometheus.CounterVec // kind, result
	billed       *prometheus.GaugeVec   // group
	bills        *prometheus.GaugeVec   // state
	eventsLost   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pollux", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "pollux", Name: name, Help: help}, labels)
	}
	m := &metrics{
		leader:       prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "pollux", Name: "leader", Help: "1 on the producer that leads, else 0."}),
		devices:      gauge("group_devices", "Devices that are polled, by poller group (leader only).", "group"),
		groupNodes:   gauge("group_nodes", "Active consumers that serve a poller group with devices; 0 is an alarm (leader only).", "group"),
		nodes:        gauge("nodes", "Nodes, by role and state; stopped ones ended as they were told to, inactive ones are gone otherwise (leader only).", "role", "state"),
		offers:       counter("offers_total", "Slots that the leader offered to the queues, by poller group and result.", "group", "result"),
		missed:       counter("slots_missed_total", "Slots that ended without up, partial, down or auth, by poller group; only the leader counts them.", "group"),
		queueTasks:   gauge("queue_tasks", "Tasks in a queue, by state (leader only).", "queue", "state"),
		queueLatency: gauge("queue_latency_seconds", "How long the oldest waiting task of a queue waits (leader only).", "queue"),
		queuePaused:  gauge("queue_paused", "1 for a queue that is paused, else 0 (leader only).", "queue"),
		overdue:      gauge("devices_overdue", "Devices without a finished slot for more than so many of their intervals, by poller group (leader only).", "group", "intervals"),
		alarms:       gauge("coverage_alarms", "What keeps devices from being polled and stands in the eventlog, by kind (leader only).", "kind"),
		billing:      counter("billing_offers_total", "Tasks of billing that the leader offered to the queues, by kind and result.", "kind", "result"),
		billed:       gauge("billed_devices", "Devices with billed ports, by poller group (leader only).", "group"),
		bills:        gauge("bills", "Bills by what their open period says: all, near (more than 80 % of the allowance), over (more than all of it), incomplete (less than 99 % of the samples); leader only.", "state"),
		eventsLost: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "pollux", Name: "events_dropped_total", Help: "Events of the producer that were lost because the database was away for too long.",
		}),
	}
	err := errors.Join(r.Register(m.leader), r.Register(m.devices), r.Register(m.offers), r.Register(m.missed), r.Register(m.groupNodes), r.Register(m.nodes),
		r.Register(m.queueTasks), r.Register(m.queueLatency), r.Register(m.queuePaused), r.Register(m.overdue), r.Register(m.alarms), r.Register(m.eventsLost),
		r.Register(m.billing), r.Register(m.billed), r.Register(m.bills))
	m.exposeBilling()
	return m, err
}

// show exports the sizes of the groups.
func (m *metrics) show(groups map[int64]int) {
	m.devices.Reset()
	for group, n := range groups {
		m.devices.WithLabelValues(strconv.FormatInt(group, 10)).Set(float64(n))
	}
}

// expose makes the counters of a group visible before anything is counted.
// Producers that do not lead do so too: a new leader may count what was missed
// without one within its first second, and Prometheus's increase() sees no
// growth in a series whose first sample holds it already.
func (m *metrics) expose(group int64) {
	label := strconv.FormatInt(group, 10)
	m.missed.WithLabelValues(label).Add(0)
	for _, result := range offerResults {
		m.offers.WithLabelValues(label, result).Add(0)
	}
}

// resign hides what only the leader exports.
func (m *metrics) resign() {
	m.leader.Set(0)
	m.devices.Reset()
	m.groupNodes.Reset()
	m.nodes.Reset()
	m.queueTasks.Reset()
	m.queueLatency.Reset()
	m.queuePaused.Reset()
	m.overdue.Reset()
	m.alarms.Reset()
	m.billed.Reset()
	m.bills.Reset()
}

// nodeStates are the states that a node can be seen in.
var nodeStates = [...]device.NodeState{
	device.NodeActive, device.NodeDraining, device.NodeDrained, device.NodeSkewed, device.NodeStopped, device.NodeInactive,
}

// shownState parts those without a live process: one that ended as it was told to is no alarm.
func shownState(s cluster.Standing) device.NodeState {
	if s.Live == nil && s.Row.State == device.NodeStopped {
		return device.NodeStopped
	}
	return s.State()
}

// showNodes exports how many nodes are in which state, and how many active ones serve each group that has devices.
func (m *metrics) showNodes(processes []cluster.Process, groups map[int64]int) {
	states, served := map[string]map[device.NodeState]int{}, map[int64]int{}
	for _, process := range processes {
		for _, s := range process.Roles {
			if states[s.Row.Role] == nil {
				states[s.Row.Role] = map[device.NodeState]int{}
			}
			states[s.Row.Role][shownState(s)]++
			if s.State() != device.NodeActive {
				continue
			}
			for _, group := range s.Live.Groups {
				served[group]++
			}
		}
	}
	m.nodes.Reset()
	for role, counts := range states {
		for _, state := range nodeStates {
			m.nodes.WithLabelValues(role, string(state)).Set(float64(counts[state]))
		}
	}
	m.groupNodes.Reset()
	for group := range groups {
		m.groupNodes.WithLabelValues(strconv.FormatInt(group, 10)).Set(float64(served[group]))
	}
}

// showOverdue exports how many devices of each group are late and overdue. The second are among the first.
func (m *metrics) showOverdue(groups map[int64]int, tallies map[int64]tally) {
	m.overdue.Reset()
	for group := range groups {
		label := strconv.FormatInt(group, 10)
		m.overdue.WithLabelValues(label, "1.2").Set(float64(tallies[group].late))
		m.overdue.WithLabelValues(label, "3").Set(float64(tallies[group].overdue))
	}
}

// showAlarms exports how many alarms of each kind were told and are not over.
func (m *metrics) showAlarms(r report) {
	kinds := map[string]int{}
	for key := range r.Alarms {
		kind, _, _ := strings.Cut(key, ":")
		kinds[kind]++
	}
	for _, kind := range alarmKinds {
		m.alarms.WithLabelValues(kind).Set(float64(kinds[kind]))
	}
}

func (m *metrics) countOffer(group int64, result string) {
	m.offers.WithLabelValues(strconv.FormatInt(group, 10), result).Inc()
}

func (m *metrics) countOffers(offers []Offer, result string) {
	for _, o := range offers {
		m.countOffer(o.Group, result)
	}
}

func (m *metrics) countMissed(group, n int64) {
	m.missed.WithLabelValues(strconv.FormatInt(group, 10)).Add(float64(n))
}

func (m *metrics) showQueue(info *asynq.QueueInfo) {
	for state, n := range map[string]int{
		"pending": info.Pending, "active": info.Active, "scheduled": info.Scheduled,
		"retry": info.Retry, "archived": info.Archived, "completed": info.Completed,
	} {
		m.queueTasks.WithLabelValues(info.Queue, state).Set(float64(n))
	}
	m.queueLatency.WithLabelValues(info.Queue).Set(info.Latency.Seconds())
	paused := 0.0
	if info.Paused {
		paused = 1
	}
	m.queuePaused.WithLabelValues(info.Queue).Set(paused)
}

func (m *metrics) forgetQueue(name string) {
	m.queueTasks.DeletePartialMatch(prometheus.Labels{"queue": name})
	m.queueLatency.DeletePartialMatch(prometheus.Labels{"queue": name})
	m.queuePaused.DeletePartialMatch(prometheus.Labels{"queue": name})
}

// exposeBilling makes the counters of billing visible before anything is counted.
func (m *metrics) exposeBilling() {
	for _, kind := range []string{tasks.TypeBillingCollect, tasks.TypeBillingCalculate} {
		for _, result := range offerResults {
			m.billing.WithLabelValues(kind, result).Add(0)
		}
	}
}

func (m *metrics) countBilling(kind, result string) { m.billing.WithLabelValues(kind, result).Inc() }

// showBilled exports how many devices of each group have billed ports.
func (m *metrics) showBilled(groups map[int64]int) {
	m.billed.Reset()
	for group, n := range groups {
		m.billed.WithLabelValues(strconv.FormatInt(group, 10)).Set(float64(n))
	}
}

// showBills exports what the bills' open periods say.
func (m *metrics) showBills(t store.BillTally) {
	for state, n := range map[string]int64{"all": t.Bills, "near": t.Near, "over": t.Over, "incomplete": t.Incomplete} {
		m.bills.WithLabelValues(state).Set(float64(n))
	}
}
