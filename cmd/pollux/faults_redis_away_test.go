//go:build faults

package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/polluxtest"
)

const (
	// redisAway is how long TestFaultRedisAway keeps Redis down.
	redisAway = 10 * time.Minute
	// backAfter is how long the nodes may take until they work again.
	backAfter = 10 * time.Second
	// idleShare of a core is what a process may use while it waits for Redis.
	idleShare = 0.05
	// lineEvery is the least time between two lines of a log that say the same while Redis is away.
	lineEvery = 10 * time.Second
)

// nodes are all processes of the cluster.
func (x *redisFault) all() []*process { return slices.Concat(x.producers, x.consumers.nodes) }

// TestFaultRedisAway kills Redis and starts it again ten minutes later. The
// nodes wait meanwhile, without work and without words, and go on by themselves.
func TestFaultRedisAway(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	x := beforeTheFault(t, polluxtest.MariaDB(t), redisAt(t, server), server)
	faulted := time.Now()
	server.Kill()
	pass(t, "Redis is away", faulted.Add(5*time.Second))
	waiting := x.startWaiting()
	pass(t, "Redis was away for long enough", faulted.Add(redisAway))
	waiting.judge()
	server.Start()
	back := time.Now()
	x.works(back)
	x.late = append(x.late, span{faulted, back.Add(2 * redisInterval * time.Second)})
	x.polledAgain(5) // rates across ten minutes cannot be compared: enough slots after it
	x.checkLog(faulted, back)
	x.after(back, backAfter, int(redisAway/time.Second)/redisInterval+2)
}

// waiting is what the processes had used when it began.
type waiting struct {
	x     *redisFault
	began time.Time
	used  map[string]time.Duration
}

func (x *redisFault) startWaiting() *waiting {
	w := &waiting{x: x, began: time.Now(), used: map[string]time.Duration{}}
	for _, p := range x.all() {
		w.used[p.name] = p.cpu()
	}
	return w
}

// judge fails the test when a process has ended, or used more than it may.
func (w *waiting) judge() {
	w.x.t.Helper()
	for _, p := range w.x.all() {
		if !p.alive() {
			w.x.t.Fatalf("%s ended: %v", p.name, p.command.ProcessState)
		}
		share := (p.cpu() - w.used[p.name]).Seconds() / time.Since(w.began).Seconds()
		w.x.t.Logf("%s used %.2f %% of a core for %v", p.name, 100*share, time.Since(w.began).Round(time.Second))
		if share > idleShare {
			w.x.t.Errorf("%s used %.1f %% of a core while it could do nothing", p.name, 100*share)
		}
	}
}

// cpu is the processor time that the process has used (proc(5), /proc/PID/stat, in ticks of 10 ms).
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // the first is the third of the line
	if len(fields) < 13 {
		p.t.Fatalf("/proc/PID/stat: %q", text)
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		p.t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// works fails the test unless every node works again soon enough after a
// moment: one producer leads, each consumer polls, all are registered and ready.
func (x *redisFault) works(back time.Time) {
	x.t.Helper()
	client := x.client()
	missing := map[string]func() bool{
		"one producer leads": func() bool { return leads(x.producers[0]) != leads(x.producers[1]) },
		"every node is registered": func() bool {
			nodes, err := cluster.List(x.t.Context(), client)
			return err == nil && len(nodes) == len(x.all())
		},
	}
	for _, p := range x.consumers.nodes {
		before := p.scrape().sum("pollux_polls_total", `result="up"`)
		missing[p.name+" polls"] = func() bool { return p.scrape().sum("pollux_polls_total", `result="up"`) > before }
	}
	for _, p := range x.all() {
		missing[p.name+" is ready"] = func() bool { return p.isReady() }
	}
	for len(missing) > 0 && time.Since(back) < backAfter+startLimit {
		for what, happened := range missing {
			if happened() {
				x.t.Logf("%s %v after Redis came back", what, time.Since(back).Round(10*time.Millisecond))
				delete(missing, what)
				if time.Since(back) > backAfter {
					x.t.Errorf("%s only %v after Redis came back", what, time.Since(back).Round(10*time.Millisecond))
				}
			}
		}
		until(x.t, time.Second, "the next look", func() bool { return true })
	}
	for what := range missing {
		x.t.Errorf("not even after %v: %s", time.Since(back), what)
	}
}

// isReady says whether /readyz says so.
func (p *process) isReady() bool {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + p.address + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// checkLog fails the test when a process said the same more than once in ten seconds of a stretch of time,
// but for what it says of single slots, which nobody reads who does not ask for it (debug).
func (x *redisFault) checkLog(from, to time.Time) {
	x.t.Helper()
	for _, p := range x.all() {
		said := map[string][]time.Time{}
		for _, line := range p.lines() {
			if line.Level != slog.LevelDebug.String() && line.Time.After(from) && line.Time.Before(to) {
				said[line.Level+" "+line.Message] = append(said[line.Level+" "+line.Message], line.Time)
			}
		}
		for message, times := range said {
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap < lineEvery {
					x.t.Errorf("%s says %q %d times, twice within %v", p.name, message, len(times), gap)
					break
				}
			}
		}
	}
}

// logLine is one line of a log.
type logLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"msg"`
}

// lines are the lines of the process' log.
func (p *process) lines() (all []logLine) {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var l logLine
		if err := json.Unmarshal(line, &l); err != nil || l.Time.IsZero() || l.Level == "" {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // it is being written
			}
			p.t.Errorf("%s says a line that is none of its log: %.300q", p.name, line)
			continue
		}
		all = append(all, l)
	}
	return all
}
