package consumer

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/device"
	"pollux/journal"
)

// The labels of the metrics. All sets are fixed but the poller groups, which
// are those that this node was assigned to.
const (
	kindPoller    = "poller"
	kindDiscovery = "discovery"
	kindBilling   = "billing"

	repeatFinished  = "finished"  // the slot was finished before: a lost acknowledgement, a second offer
	repeatOvertaken = "overtaken" // another node finished the slot while this one polled
	repeatLate      = "late"      // its slot is over and another run of the task counts it, or did: whether it was finished cannot be told here

	skipBusy        = "busy"        // another poll of the device held its lease
	skipRemoved     = "removed"     // there is no such device any more
	skipDisabled    = "disabled"    // the device is not to be polled any more
	skipMoved       = "moved"       // the device is in another group now
	skipDatabase    = "database"    // the database is away and no copy is known
	skipCredentials = "credentials" // the device's credentials open with no key of a node that took the task in time
	skipLate        = "late"        // too little of the slot was left to tell whether the device is down
	skipStale       = "stale"       // the journal has a newer slot of the device
	skipFuture      = "future"      // the samples lie in the journal's future
	skipRefused     = "refused"     // the journal cannot hold the entry
	skipICMP        = "icmp"        // the device is asked by ICMP only, which no node that took the task may send
	skipPanic       = "panic"       // the program failed

	sourceDatabase = "database"
	sourceCopy     = "copy"
	sourceSealed   = "sealed" // a copy, because the credentials in the database do not open
	saveOK         = "ok"
	saveFailed     = "failed"

	wholePoll = "all"
)

var (
	outcomes = [...]device.Outcome{
		device.OutcomeUp, device.OutcomePartial, device.OutcomeDown, device.OutcomeAuth, device.OutcomeExpired, device.OutcomeSkipped,
	}
	skipReasons = [...]string{
		skipBusy, skipRemoved, skipDisabled, skipMoved, skipDatabase, skipCredentials, skipLate, skipStale, skipFuture, skipRefused, skipICMP, skipPanic,
	}
	requestOps     = [...]string{"get", "getnext", "getbulk"}
	requestResults = [...]string{"ok", "timeout", "auth", "error"}
)

// metrics are what the consumer exports.
type metrics struct {
	polls         *prometheus.CounterVec // group, result
	skips         *prometheus.CounterVec // reason
	repeats       *prometheus.CounterVec // reason
	handBacks     *prometheus.CounterVec // reason
	lateness      prometheus.Histogram
	duration      *prometheus.HistogramVec // module
	flying        *prometheus.GaugeVec     // group
	workers       *prometheus.GaugeVec     // kind
	workerSeconds *prometheus.CounterVec   // kind
	requests      *prometheus.CounterVec   // op, result
	targets       *prometheus.CounterVec   // source
	saves         *prometheus.CounterVec   // result
	copies        prometheus.Gauge
	discoveries   *prometheus.CounterVec // result
	refused       prometheus.Counter
	reappended    *prometheus.CounterVec // result

	collects        *prometheus.CounterVec // result
	samples         *prometheus.CounterVec // result
	missing         *prometheus.CounterVec // reason
	collectLateness prometheus.Histogram
	collectSeconds  prometheus.Histogram
	billingHolder   prometheus.Gauge
	calculations    *prometheus.CounterVec // result
	calculation     prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pollux", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "pollux", Name: name, Help: help}, labels)
	}
	m := &metrics{
		polls:     counter("polls_total", "Slots that ended on this node, by poller group and outcome.", "group", "result"),
		skips:     counter("polls_skipped_total", "Slots that ended as skipped, by reason.", "reason"),
		repeats:   counter("task_repeats_total", "Tasks that came again and polled nothing, by reason.", "reason"),
		handBacks: counter("task_handbacks_total", "Tasks that went back into their queue, by what they waited for.", "reason"),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "pollux", Name: "poll_lateness_seconds", Help: "First request of a poll minus the beginning of its slot.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "pollux", Name: "poll_duration_seconds", Help: `How long a poll module took; "all" is the whole poll.`,
			Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}, []string{"module"}),
		flying:        gauge("polls_in_flight", "Devices that are being asked now, by poller group.", "group"),
		workers:       gauge("workers", "Tasks that this node runs at the same time at most, by kind.", "kind"),
		workerSeconds: counter("worker_seconds_total", "Time that workers spent on tasks, by kind.", "kind"),
		requests:      counter("snmp_requests_total", "SNMP requests, by operation and result.", "op", "result"),
		targets:       counter("poll_targets_total", "Poll targets that were read, by where they came from.", "source"),
		copies: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "pollux", Name: "poll_target_copies", Help: "Devices that this node keeps a copy of for when the database is away.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "pollux", Name: "values_refused_total", Help: "Values of components that cannot be, and were not kept.",
		}),
		reappended:  counter("journal_reappended_total", "Polls that another Redis lacked and that were appended again, by result.", "result"),
		discoveries: counter("discoveries_total", "Discoveries that ended on this node, by result.", "result"),
		saves:       counter("poll_saves_total", "Polls whose state was handed to the database, by result.", "result"),
	}
	m.addBilling(counter)
	m.exposeFixed()
	return m, errors.Join(r.Register(m.polls), r.Register(m.skips), r.Register(m.repeats), r.Register(m.handBacks), r.Register(m.lateness),
		r.Register(m.duration), r.Register(m.flying), r.Register(m.workers), r.Register(m.workerSeconds),
		r.Register(m.requests), r.Register(m.targets), r.Register(m.saves), r.Register(m.reappended), r.Register(m.copies), r.Register(m.discoveries), r.Register(m.refused),
		r.Register(m.collects), r.Register(m.samples), r.Register(m.missing), r.Register(m.collectLateness), r.Register(m.collectSeconds),
		r.Register(m.billingHolder), r.Register(m.calculations), r.Register(m.calculation))
}

// exposeFixed makes every counter visible before anything is counted.
func (m *metrics) exposeFixed() {
	for _, reason := range skipReasons {
		m.skips.WithLabelValues(reason).Add(0)
	}
	for _, reason := range []string{repeatFinished, repeatOvertaken, repeatLate} {
		m.repeats.WithLabelValues(reason).Add(0)
	}
	for _, back := range []*handBackError{errHandBack, errNoWorker, errProbesBusy, errAgentBusy, errNoICMP, errNoTarget, errNoKey, errCollectBusy, errCollectDatabase, errCollectQueue} {
		m.handBacks.WithLabelValues(back.reason).Add(0)
	}
	for _, op := range requestOps {
		for _, result := range requestResults {
			m.requests.WithLabelValues(op, result).Add(0)
		}
	}
	for _, source := range []string{sourceDatabase, sourceCopy, sourceSealed} {
		m.targets.WithLabelValues(source).Add(0)
	}
	for _, result := range []string{saveOK, saveFailed} {
		m.saves.WithLabelValues(result).Add(0)
	}
	for _, result := range []journal.Result{journal.Accepted, journal.Stale, journal.Future} {
		m.reappended.WithLabelValues(string(result)).Add(0)
	}
	m.workerSeconds.WithLabelValues(kindPoller).Add(0)
	m.workerSeconds.WithLabelValues(kindDiscovery).Add(0)
	m.exposeBilling()
	for _, outcome := range outcomes[:4] {
		m.discoveries.WithLabelValues(string(outcome)).Add(0)
	}
	for _, result := range []string{discoverySkipped, discoveryFailed} {
		m.discoveries.WithLabelValues(result).Add(0)
	}
	m.duration.WithLabelValues(wholePoll)
}

// exposeGroups does the same for the groups that this node serves.
func (m *metrics) exposeGroups(groups []int64) {
	for _, group := range groups {
		m.inFlight(group).Add(0)
		for _, outcome := range outcomes {
			m.polls.WithLabelValues(strconv.FormatInt(group, 10), string(outcome)).Add(0)
		}
	}
}

func (m *metrics) countPoll(group int64, outcome device.Outcome) {
	m.polls.WithLabelValues(strconv.FormatInt(group, 10), string(outcome)).Inc()
}

func (m *metrics) inFlight(group int64) prometheus.Gauge {
	return m.flying.WithLabelValues(strconv.FormatInt(group, 10))
}

// observeRequest implements snmp.Observe.
func (m *metrics) observeRequest(op, result string, _ time.Duration) {
	m.requests.WithLabelValues(op, result).Inc()
}
