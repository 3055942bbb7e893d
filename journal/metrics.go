package journal

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/rrdcached"
)

// What became of a line for RRDCached: the label result of pollux_rrd_updates_total.
const (
	lineAccepted = "accepted" // the daemon holds it
	linePresent  = "present"  // the file has it already
	lineRefused  = "refused"  // it can never be recorded: a bad file, or a value that does not fit it
	lineRemoved  = "removed"  // its device was removed, or moved to another shard
)

// Why an entry was given up: the label kind of pollux_journal_cut_total.
const (
	cutLost    = "lost"        // over the cap, recorded nowhere
	cutAcked   = "acked"       // over the cap, acknowledged but not known to be on disk
	cutDamaged = "undecodable" // not an entry that this program can read
)

// metrics are shared by the recorders of a process; a recorder uses its own label values.
type metrics struct {
	entries *prometheus.GaugeVec   // shard
	bytes   *prometheus.GaugeVec   // shard
	room    *prometheus.GaugeVec   // shard
	lag     *prometheus.GaugeVec   // shard, target
	cut     *prometheus.CounterVec // shard, kind
	updates *prometheus.CounterVec // target, result
	up      *prometheus.GaugeVec   // target
	queue   *prometheus.GaugeVec   // target

	// The daemon's own counters and what follows of them, by target.
	cached, waiting, idle, capacity *prometheus.GaugeVec
	received, files, values         *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	var m metrics
	var errs [15]error
	m.entries, errs[0] = gauge(r, "journal_entries", "Entries in the log, recorded ones that are kept for a replay included.", "shard")
	m.bytes, errs[1] = gauge(r, "journal_bytes", "Memory that the log takes in Redis.", "shard")
	m.lag, errs[2] = gauge(r, "journal_lag_seconds", "Age of the oldest entry that RRDCached has not acknowledged.", "shard", "target")
	m.cut, errs[3] = counter(r, "journal_cut_total", "Entries given up: lost and acked over the cap, or undecodable.", "shard", "kind")
	m.updates, errs[4] = counter(r, "rrd_updates_total", "Lines for RRDCached by what became of them.", "target", "result")
	m.up, errs[5] = gauge(r, "rrdcached_up", "Whether RRDCached answers this process.", "target")
	m.queue, errs[6] = gauge(r, "rrdcached_queue_length", "Files that RRDCached is about to write.", "target")
	m.cached, errs[7] = gauge(r, "rrdcached_files", "Files of which RRDCached holds something in memory.", "target")
	m.waiting, errs[8] = gauge(r, "rrdcached_waiting_seconds", "How long files have waited to be written without a moment at which none did.", "target")
	m.idle, errs[9] = gauge(r, "rrdcached_idle_ratio", "Share of the last 15 minutes in which no file waited to be written.", "target")
	m.capacity, errs[10] = gauge(r, "rrdcached_capacity_files", "Files written a second while files waited all the time; 0 while not known.", "target")
	m.received, errs[11] = counter(r, "rrdcached_updates_received_total", "UPDATE commands that RRDCached has got.", "target")
	m.files, errs[12] = counter(r, "rrdcached_files_written_total", "Files that RRDCached has written, each time counted.", "target")
	m.values, errs[13] = counter(r, "rrdcached_updates_written_total", "Updates that RRDCached has written into files.", "target")
	m.room, errs[14] = gauge(r, "journal_room_ratio", "How many windows the log has room for, as entries come now; 0 while not known.", "shard")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("register the journal's metrics: %w", err)
	}
	return &m, nil
}

// expose makes the series of a recorder visible before anything happens.
func (m *metrics) expose(shard, target string) {
	m.entries.WithLabelValues(shard)
	m.bytes.WithLabelValues(shard)
	m.room.WithLabelValues(shard)
	m.lag.WithLabelValues(shard, target)
	m.up.WithLabelValues(target)
	m.wrote(target, rrdcached.Stats{}, WriteOut{})
	for _, kind := range []string{cutLost, cutAcked, cutDamaged} {
		m.cut.WithLabelValues(shard, kind)
	}
	for _, result := range []string{lineAccepted, linePresent, lineRefused, lineRemoved} {
		m.updates.WithLabelValues(target, result)
	}
}

// wrote shows how the target keeps up with writing files.
func (m *metrics) wrote(target string, added rrdcached.Stats, w WriteOut) {
	m.queue.WithLabelValues(target).Set(float64(w.Queue))
	m.cached.WithLabelValues(target).Set(float64(w.Cached))
	m.waiting.WithLabelValues(target).Set(w.Waiting.Seconds())
	m.idle.WithLabelValues(target).Set(w.Idle)
	m.capacity.WithLabelValues(target).Set(w.Capacity)
	m.received.WithLabelValues(target).Add(float64(added.UpdatesReceived))
	m.files.WithLabelValues(target).Add(float64(added.UpdatesWritten))
	m.values.WithLabelValues(target).Add(float64(added.DataSetsWritten))
}

func gauge(r prometheus.Registerer, name, help string, labels ...string) (*prometheus.GaugeVec, error) {
	return register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pollux_" + name, Help: help}, labels))
}

func counter(r prometheus.Registerer, name, help string, labels ...string) (*prometheus.CounterVec, error) {
	return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pollux_" + name, Help: help}, labels))
}

// register returns the collector that another recorder of this process registered, if there is one.
func register[C prometheus.Collector](r prometheus.Registerer, collector C) (C, error) {
	err := r.Register(collector)
	var taken prometheus.AlreadyRegisteredError
	if errors.As(err, &taken) {
		if existing, ok := taken.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	return collector, err
}
