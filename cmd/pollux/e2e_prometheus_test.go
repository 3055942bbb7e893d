//go:build e2e && faults

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// alertLimit is within which an alert must fire after its cause began.
const alertLimit = 2 * time.Minute

// ask reads JSON from a port of this machine.
func (s *stack) ask(port, path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+s.env[port]+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// query is how many series an expression has, and the value of the first.
func (s *stack) query(expr string) (series int, first string, err error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := s.ask("PROMETHEUS_PORT", "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return 0, "", err
	}
	if series = len(answer.Data.Result); series > 0 {
		first = fmt.Sprint(answer.Data.Result[0].Value[1])
	}
	return series, first, nil
}

// holds waits until an expression has a value.
func (s *stack) holds(limit time.Duration, expr, want string) {
	s.t.Helper()
	var last string
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s is %s", expr, last)
		}
	}()
	untilEvery(s.t, time.Second, limit, expr+" is "+want, func() bool {
		var err error
		if _, last, err = s.query(expr); err != nil {
			last = err.Error()
		}
		return last == want
	})
}

// firing are the names of the alerts that fire.
func (s *stack) firing() (names []string) {
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string
				Labels map[string]string
			}
		}
	}
	if err := s.ask("PROMETHEUS_PORT", "/api/v1/alerts", &answer); err != nil {
		return nil // it is asked again
	}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" && !slices.Contains(names, a.Labels["alertname"]) {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return names
}

// fires waits for alerts whose cause began at a moment, before which they were
// silent, and tells how long each took.
func (s *stack) fires(since time.Time, wanted ...string) {
	s.t.Helper()
	missing := slices.Clone(wanted)
	for tick := time.NewTicker(time.Second); len(missing) > 0; <-tick.C {
		for _, name := range s.firing() {
			if i := slices.Index(missing, name); i >= 0 {
				s.t.Logf("%s: %s fires %v after its cause", clock(time.Now()), name, time.Since(since).Round(time.Second))
				missing = slices.Delete(missing, i, i+1)
			}
		}
		if time.Since(since) > alertLimit && len(missing) > 0 {
			s.t.Fatalf("%v after their cause these do not fire: %v", alertLimit, missing)
		}
	}
}

// silent waits until no alert fires any more.
func (s *stack) silent(limit time.Duration) {
	s.t.Helper()
	var last []string
	defer func() {
		if s.t.Failed() {
			s.t.Logf("firing: %v", last)
		}
	}()
	untilEvery(s.t, time.Second, limit, "no alert fires", func() bool { last = s.firing(); return len(last) == 0 })
}

// watched waits until Prometheus reaches every process, and has the rules.
func (s *stack) watched(limit time.Duration) {
	s.t.Helper()
	processes := len(s.running("producer")) + len(s.running("consumer"))
	s.holds(limit, `count(up{job=~"pollux-.*"} == 1)`, fmt.Sprint(processes))
	s.holds(limit, `count(up == 0) or vector(0)`, "0")
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health string }
			}
		}
	}
	if err := s.ask("PROMETHEUS_PORT", "/api/v1/rules", &rules); err != nil || len(rules.Data.Groups) != 1 {
		s.t.Fatalf("the rules of Prometheus: %+v, %v", rules, err)
	}
	if n := len(rules.Data.Groups[0].Rules); n != 8 {
		s.t.Errorf("Prometheus has %d rules, want 8", n)
	}
	for _, rule := range rules.Data.Groups[0].Rules {
		if rule.Health != "ok" {
			s.t.Errorf("the rule %s is %s", rule.Name, rule.Health)
		}
	}
}

// panels fails the test for each panel of a dashboard that shows nothing.
func (s *stack) panels() {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "dashboards/grafana/*.json"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no dashboards: %v", err)
	}
	for _, file := range files {
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &board)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				if n, first, err := s.query(target.Expr); err != nil || n == 0 || first == "NaN" {
					s.t.Errorf("the panel %q shows %d series, the first %s (%v): %s", panel.Title, n, first, err, target.Expr)
				}
			}
		}
	}
}

// monitored checks that asynqmon shows the queues, and each consumer under the host and pid that node show prints.
func (s *stack) monitored() {
	s.t.Helper()
	var queues struct {
		Queues []struct{ Queue string }
	}
	if err := s.ask("ASYNQMON_PORT", "/api/queues", &queues); err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, q := range queues.Queues {
		names = append(names, q.Queue)
	}
	for _, want := range []string{"poller:0", "poller:1", "poller:2"} {
		if !slices.Contains(names, want) {
			s.t.Errorf("asynqmon shows the queues %v, and not %s", names, want)
		}
	}
	var servers struct {
		Servers []struct {
			Host string
			PID  int
		}
	}
	if err := s.ask("ASYNQMON_PORT", "/api/servers", &servers); err != nil {
		s.t.Fatal(err)
	}
	for _, n := range s.nodes("consumer") {
		var shown struct {
			Host string `json:"host"`
			PID  int    `json:"pid"`
		}
		if err := json.Unmarshal([]byte(s.pollux("node", "show", n.NodeID, "--json")), &shown); err != nil {
			s.t.Fatal(err)
		}
		found := 0
		for _, server := range servers.Servers {
			if server.Host == shown.Host && server.PID == shown.PID {
				found++
			}
		}
		if found == 0 {
			s.t.Errorf("asynqmon does not show %s (%s, pid %d): %+v", n.NodeID, shown.Host, shown.PID, servers.Servers)
		}
	}
}

// nodeShown is what node list tells of a node.
type nodeShown struct {
	NodeID string   `json:"node_id"`
	Roles  []string `json:"roles"`
	State  string   `json:"state"`
	Leader bool     `json:"leader"`
	Host   string   `json:"host"`
}

// nodes are the nodes of a role that are active.
func (s *stack) nodes(role string) (all []nodeShown) {
	s.t.Helper()
	var list struct {
		Items []nodeShown `json:"items"`
	}
	out := s.pollux("node", "list", "--json")
	if err := json.Unmarshal([]byte(out[:strings.LastIndex(out, "}")+1]), &list); err != nil {
		s.t.Fatalf("node list: %v: %s", err, out)
	}
	return slices.DeleteFunc(list.Items, func(n nodeShown) bool { return !slices.Contains(n.Roles, role) || n.State != "active" })
}
