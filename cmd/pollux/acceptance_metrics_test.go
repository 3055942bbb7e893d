package main_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scrape reads the metrics of the process; nil when it does not answer.
func (p *process) scrape() metrics {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	return parseMetrics(string(text))
}

// metrics are the values by their names with labels, as they stand in the text format.
type metrics map[string]float64

func parseMetrics(text string) metrics {
	m := metrics{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		cut := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || cut < 0 {
			continue
		}
		if value, err := strconv.ParseFloat(line[cut+1:], 64); err == nil {
			m[line[:cut]] = value
		}
	}
	return m
}

// sum adds the series of a name that carry all of the labels, each as name="value".
func (m metrics) sum(name string, labels ...string) (sum float64) {
series:
	for series, value := range m {
		own, rest, _ := strings.Cut(series, "{")
		if own != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(rest, label) {
				continue series
			}
		}
		sum += value
	}
	return sum
}

// since is what the counters have grown by after an earlier reading.
func (m metrics) since(earlier metrics) metrics {
	grown := metrics{}
	for series, value := range m {
		grown[series] = value - earlier[series]
	}
	return grown
}

// work are the counters that must have moved when polls were done.
var work = []string{
	"pollux_polls_total", "pollux_worker_seconds_total", "pollux_snmp_requests_total", "pollux_rrd_updates_total",
	"pollux_poll_lateness_seconds_count", "pollux_poll_duration_seconds_count", "pollux_offers_total", "pollux_poll_targets_total", "pollux_poll_saves_total",
}

// checkQuiet fails the test when the metrics tell of anything but polls that
// went well since an earlier reading, or of a loss at any time.
func checkQuiet(t testing.TB, now, before metrics) {
	t.Helper()
	for _, name := range []string{"pollux_slots_missed_total", "pollux_journal_cut_total"} {
		if got := now.sum(name); got != 0 {
			t.Errorf("%s is %g", name, got)
		}
	}
	m := now.since(before)
	for _, name := range work {
		if m.sum(name) == 0 {
			t.Errorf("%s has not moved", name)
		}
	}
	if got := m.sum("pollux_polls_skipped_total"); got != 0 {
		t.Errorf("%g polls were skipped", got)
	}
	for _, result := range []string{"partial", "down", "auth", "expired", "skipped"} {
		if got := m.sum("pollux_polls_total", `result="`+result+`"`); got != 0 {
			t.Errorf("%g polls ended %s", got, result)
		}
	}
	for _, result := range []string{"refused", "removed"} {
		if got := m.sum("pollux_rrd_updates_total", `result="`+result+`"`); got != 0 {
			t.Errorf("%g lines for RRDCached were %s", got, result)
		}
	}
}

// logWork tells what a process did and what it cost.
func logWork(t testing.TB, name string, m metrics) {
	t.Helper()
	polls := m.sum("pollux_poll_lateness_seconds_count")
	t.Logf("%s: %.0f polls, lateness %.0f ms, %.2f ms of a worker each, %.2f requests each (%.0f timeouts), %.0f repeats, %.1f s of CPU, %.0f MB",
		name, polls, 1000*m.sum("pollux_poll_lateness_seconds_sum")/max(polls, 1), 1000*m.sum("pollux_worker_seconds_total")/max(polls, 1),
		m.sum("pollux_snmp_requests_total")/max(polls, 1), m.sum("pollux_snmp_requests_total", `result="timeout"`),
		m.sum("pollux_task_repeats_total"), m.sum("process_cpu_seconds_total"), m.sum("process_resident_memory_bytes")/1e6)
}
