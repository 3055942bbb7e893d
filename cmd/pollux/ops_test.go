package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/ops"
	"pollux/polluxtest"
	"pollux/simulator"
)

// roleLimit is how long a role may take to change its mind; generous, since tests share few cores.
const roleLimit = 90 * time.Second

var listening = regexp.MustCompile(`"msg":"operators' listener is open","address":"([^"]+)"`)

// role is a running process whose operators' listener is open.
type role struct {
	*running
	address string
}

func (s *site) role(args ...string) *role {
	s.t.Helper()
	p := s.start(args...)
	var match []string
	polluxtest.Eventually(s.t, roleLimit, fmt.Sprintf("%q serves operators", args), func() bool {
		select {
		case <-p.exited:
			s.t.Fatalf("%q ended: %s", args, p.errout.String())
		default:
		}
		match = listening.FindStringSubmatch(p.errout.String())
		return match != nil
	})
	return &role{running: p, address: match[1]}
}

// get reads a path of the operators' listener; code 0 says that it did not answer.
func (r *role) get(path string) (code int, body string) {
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Get("http://" + r.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// metric waits until a series that begins with name has a value.
func (r *role) metric(name string, want float64) {
	r.t.Helper()
	r.series(name, fmt.Sprint(want), func(value float64) bool { return value == want })
}

// counts waits until a counter has counted.
func (r *role) counts(name string) {
	r.t.Helper()
	r.series(name, "1 or more", func(value float64) bool { return value >= 1 })
}

func (r *role) series(name, what string, fits func(float64) bool) {
	r.t.Helper()
	polluxtest.Eventually(r.t, roleLimit, name+" is "+what, func() bool {
		_, text := r.get("/metrics")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, name) {
				fields := strings.Fields(line)
				if value, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil && fits(value) {
					return true
				}
			}
		}
		return false
	})
}

// ready waits until /readyz answers with a code and a status, and returns its checks.
func (r *role) ready(code int, status string) map[string]ops.CheckResult {
	r.t.Helper()
	var found ops.Readiness
	var last string
	polluxtest.Eventually(r.t, roleLimit, fmt.Sprintf("/readyz answers %d %s", code, status), func() bool {
		var got int
		got, last = r.get("/readyz")
		found = ops.Readiness{}
		return got == code && json.Unmarshal([]byte(last), &found) == nil && found.Status == status
	})
	if code, body := r.get("/healthz"); code != http.StatusOK || body != "ok\n" {
		r.t.Errorf("/healthz answers %d %q while /readyz is %s", code, body, last)
	}
	return found.Checks
}

// The metrics that each role exports from its start, without the prefix
// pollux_. billing_samples_total belongs to a part that does not exist yet.
var (
	everyRole = []string{"build_info", "redis_up", "db_up", "clock_skew_seconds"}
	leading   = []string{"leader", "nodes", "group_nodes", "group_devices", "slots_missed_total", "queue_tasks", "queue_latency_seconds", "queue_paused", "devices_overdue", "coverage_alarms", "events_dropped_total"}
	consuming = []string{
		"polls_total", "task_repeats_total", "poll_lateness_seconds", "poll_duration_seconds", "polls_in_flight", "workers",
		"worker_seconds_total", "snmp_requests_total", "journal_entries", "journal_bytes", "journal_room_ratio", "journal_lag_seconds", "journal_cut_total",
		"rrd_updates_total", "rrdcached_up", "rrdcached_queue_length",
	}
)

func exported(text string) (names []string) {
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "{")
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if short, ours := strings.CutPrefix(name, "pollux_"); ours && !slices.Contains(names, short) {
			names = append(names, short)
		}
	}
	return names
}

// exports waits until all of the metrics are there, which needs the leader's first turn, and lets promtool judge them.
func (r *role) exports(names ...string) {
	r.t.Helper()
	var missing []string
	var text string
	defer func() {
		if len(missing) > 0 {
			r.t.Errorf("not exported: %q", missing)
		}
	}()
	polluxtest.Eventually(r.t, roleLimit, "every metric is exported", func() bool {
		_, text = r.get("/metrics")
		have := exported(text)
		missing = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(have, name) })
		return len(missing) == 0
	})
	promtool := exec.Command("promtool", "check", "metrics")
	promtool.Stdin = strings.NewReader(text)
	if out, err := promtool.CombinedOutput(); err != nil {
		r.t.Errorf("promtool check metrics: %v:\n%s", err, out)
	}
}

// An agent that is not there leaves every other metric as it begins.
func TestEveryMetricIsExportedFromTheStart(t *testing.T) {
	t.Parallel()
	rrd := polluxtest.RRDCached(t)
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+rrd.Address)
	s.ok("device", "add", "known", "-f", "--address", "127.0.0.1", "-r", freeUDP(t))
	consumer := s.role("consumer")
	consumer.exports(append(slices.Clone(everyRole), consuming...)...)
	producer := s.role("producer")
	producer.exports(append(slices.Clone(everyRole), leading...)...)
	producer.metric("pollux_leader", 1)
	if code, _ := producer.get("/asynqmon/"); code != http.StatusOK {
		t.Errorf("/asynqmon/ of the producer answers %d", code)
	}
	if code, _ := consumer.get("/asynqmon/"); code != http.StatusNotFound {
		t.Errorf("/asynqmon/ of the consumer answers %d", code)
	}
	producer.ready(http.StatusOK, ops.StateOK)
	producer.end()
	consumer.end()
}

func TestStandaloneExportsEveryMetric(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{})
	s := newSite(t, "APP_KEY=", "NODE_ID=", "DB_DATABASE=")
	s.environ = append(s.environ, "POLLUX_DATA_DIR="+s.dir+"/data")
	process := s.role("standalone")
	s.ok("config", "set", "nets.allow", "127.0.0.0/8")
	s.ok("device", "add", "known", "--address", "127.0.0.1", "-r", port, "-2", "-c", canaryCommunity, "--interval", "10")
	process.exports(slices.Concat(everyRole, leading, consuming)...)
	checks := process.ready(http.StatusOK, ops.StateOK)
	for _, name := range []string{"db", "schema", "redis", "clock", "rrdcached"} {
		if checks[name].Status != ops.StateOK {
			t.Errorf("check %s: %+v", name, checks[name])
		}
	}
	process.counts(`pollux_polls_total{group="0",result="up"}`)
	process.showsDashboards()
	s.ok("device", "list")
	s.spawn("device", "poll", "known", "--json").works()
	s.spawn("standalone").fails(exitFailure, "another standalone process uses the data directory")
	process.end()
}

// Redis is what no role can do without; a database that is away costs a consumer nothing.
func TestReadinessFollowsTheServers(t *testing.T) {
	t.Parallel()
	redis, rrd, database := polluxtest.Redis(t), polluxtest.RRDCached(t), polluxtest.MariaDB(t)
	door := newDoor(t, fmt.Sprintf("127.0.0.1:%d", database.Port))
	database.Port = door.port()
	s := newSite(t, append(databaseVariables(database), "REDIS_SOCKET="+redis.Socket, "RRDCACHED="+rrd.Address)...)
	s.ok("migrate", "up")
	consumer, producer := s.role("consumer"), s.role("producer")
	for _, r := range []*role{consumer, producer} {
		r.ready(http.StatusOK, ops.StateOK)
		if out := s.ok("healthcheck", "--address", r.address); out != "ok\n" {
			t.Errorf("healthcheck says %q", out)
		}
	}
	door.close()
	checks := consumer.ready(http.StatusOK, ops.StateDegraded)
	if checks["db"].Status != ops.StateDegraded || checks["db"].Error == "" || checks["redis"].Status != ops.StateOK {
		t.Errorf("without the database: %+v", checks)
	}
	if out := s.ok("healthcheck", "--address", consumer.address); !strings.HasPrefix(out, "degraded: db: ") {
		t.Errorf("healthcheck says %q", out)
	}
	consumer.metric("pollux_db_up", 0)
	door.open()
	consumer.ready(http.StatusOK, ops.StateOK)
	consumer.metric("pollux_db_up", 1)
	redis.Stop()
	for _, r := range []*role{consumer, producer} {
		if checks := r.ready(http.StatusServiceUnavailable, ops.StateFailing); checks["redis"].Status != ops.StateFailing {
			t.Errorf("without Redis: %+v", checks)
		}
		s.call("healthcheck", "--address", r.address).fails(exitFailure, "not ready", "redis: ")
		r.metric("pollux_redis_up", 0)
	}
	redis.Start()
	rrd.Stop()
	if checks := consumer.ready(http.StatusOK, ops.StateDegraded); checks["rrdcached"].Status != ops.StateDegraded {
		t.Errorf("without RRDCached: %+v", checks)
	}
	consumer.end()
	producer.end()
}
