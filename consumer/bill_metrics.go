package consumer

import (
	"github.com/prometheus/client_golang/prometheus"

	"pollux/billing"
	"pollux/poller"
)

// addBilling makes the metrics of billing.
func (m *metrics) addBilling(counter func(name, help string, labels ...string) *prometheus.CounterVec) {
	m.collects = counter("billing_collects_total", "Readings of a device's billed ports that ended on this node, by result.", "result")
	m.samples = counter("billing_samples_total", "Samples of billed ports that this node kept, by their most serious flag; refused are readings whose slot had a sample already.", "result")
	m.missing = counter("billing_missing_total", "Billed ports that were asked for on this node and gave no reading, by reason.", "reason")
	m.collectLateness = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "pollux", Name: "billing_collect_lateness_seconds", Help: "First request of a reading of billed ports minus its moment in the collect slot.",
		Buckets: []float64{0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300},
	})
	m.collectSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "pollux", Name: "billing_collect_seconds", Help: "How long a device was asked for the counters of its billed ports.",
		Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120},
	})
	m.billingHolder = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "pollux", Name: "billing_holder", Help: "1 on the node that serves the queue billing, else 0.",
	})
	m.calculations = counter("billing_calculations_total", "Calculations of all bills that ended on this node, by result.", "result")
	m.calculation = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "pollux", Name: "billing_calculation_seconds", Help: "How long a calculation of all bills took.",
		Buckets: []float64{0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600},
	})
}

// exposeBilling makes every counter of billing visible before anything is counted.
func (m *metrics) exposeBilling() {
	m.workerSeconds.WithLabelValues(kindBilling).Add(0)
	for _, result := range collectResults {
		m.collects.WithLabelValues(result).Add(0)
	}
	for _, result := range append(billing.FlagNames(), sampleRefused) {
		m.samples.WithLabelValues(result).Add(0)
	}
	for _, reason := range poller.BillMisses() {
		m.missing.WithLabelValues(string(reason)).Add(0)
	}
	for _, result := range calculateResults {
		m.calculations.WithLabelValues(result).Add(0)
	}
}
