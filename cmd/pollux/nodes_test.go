package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/config"
	"pollux/device"
	"pollux/ops"
	"pollux/polluxtest"
	"pollux/store"
)

// inventory opens the site's database.
func (s *site) inventory() *store.Store {
	s.t.Helper()
	c, err := config.Load("", s.environ)
	if err != nil {
		s.t.Fatal(err)
	}
	opened, err := store.Open(s.t.Context(), c.Database, c.AppKey, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// known are three nodes that have lived, one of them in two roles and processes.
func (s *site) known() *store.Store {
	s.t.Helper()
	inventory := s.inventory()
	for _, n := range []device.Node{
		{Role: "consumer", NodeID: "both", Host: "h1", PID: 1, Own: []int64{0, 77}, Served: []int64{0}},
		{Role: "producer", NodeID: "both", Host: "h2", PID: 2},
		{Role: "consumer", NodeID: "c2", Host: "h3", PID: 3}, {Role: "producer", NodeID: "p3", Host: "h4", PID: 4},
	} {
		n.Version, n.State, n.LastSeen, n.Started = "v0", device.NodeActive, time.Now().Add(-time.Hour), time.Now().Add(-2*time.Hour)
		if err := inventory.SaveNode(s.t.Context(), n); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := inventory.AddGroup(s.t.Context(), device.Group{Name: "Zürich"}, "test"); err != nil {
		s.t.Fatal(err)
	}
	return inventory
}

// node is what node show says of a node.
func (s *site) node(name string) object {
	s.t.Helper()
	r := s.spawn("node", "show", name, "--json")
	r.errout = ""
	return decode[object](r)
}

func TestNodeListWithoutRedisShowsTheRows(t *testing.T) {
	t.Parallel()
	for what, redis := range map[string]string{"away": fmt.Sprintf("REDIS_PORT=%d", polluxtest.FreePort(t)), "not configured": "REDIS_PORT="} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := migrated(t, "REDIS_HOST=127.0.0.1", redis)
			if what != "away" {
				s = migrated(t)
			}
			s.known()
			r := s.spawn("node", "list", "--json")
			if r.code != exitOK || !regexp.MustCompile(`^pollux: only the rows .*REDIS_HOST[^\n]*\n$`).MatchString(r.errout) {
				t.Errorf("exit code %d, notes %q", r.code, r.errout)
			}
			r.errout = ""
			var got []string
			for _, item := range decode[list](r).Items {
				got = append(got, fmt.Sprintf("%v %v %v %v %v %v", item["node_id"], item["roles"], item["state"], item["host"], item["pid"], item["groups"]))
			}
			want := []string{"both [consumer] unknown h1 1 <nil>", "both [producer] unknown h2 2 <nil>", "c2 [consumer] unknown h3 3 <nil>", "p3 [producer] unknown h4 4 <nil>"}
			if !slices.Equal(got, want) {
				t.Errorf("listed %q", got)
			}
			if out := s.spawn("node", "list").out; !regexp.MustCompile(`(?m)^NODE +ROLES +STATE +LEADER +GROUPS +WORKERS +DONE +PENDING +WORKER SECONDS +LATENESS +ERRORS +VERSION +LAST SEEN$`).MatchString(out) ||
				!regexp.MustCompile(`(?m)^c2 +consumer +unknown +- +- +- +- +- +- +- +- +v0 +1h0m\ds ago$`).MatchString(out) || !strings.Contains(out, "more workers") {
				t.Errorf("the table:\n%s", out)
			}
			s.spawn("node", "remove", "c2").fails(exitOf(what), "whether the node lives is not known")
		})
	}
}

func exitOf(what string) int {
	if what == "away" {
		return exitUnreachable
	}
	return exitUsage
}

func TestNodeSetAssigns(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket)
	s.claimOwn(redis)
	inventory := s.known()
	s.spawn("node", "set", "c2", "--groups", "0").fails(exitUsage, "poller groups are off")
	s.turnOnGroups()
	if shown := s.node("consumer:both"); shown["groups_from"] != "env" || fmt.Sprint(shown["unknown_groups"]) != "[77]" || fmt.Sprint(shown["own_groups"]) != "[0 77]" || shown["assigned_groups"] != nil {
		t.Errorf("shown %v", shown)
	}
	for _, c := range []struct {
		args        []string
		says        string
		from        string
		groups      any
		workersFrom string
		workers     float64
	}{
		{[]string{"both", "--groups", "Zürich, 0,1"}, "poller groups 0,1, workers by the setting", "assignment", []any{0.0, 1.0}, "setting", 100},
		{[]string{"consumer:both", "--workers", "7"}, "poller groups 0,1, 7 workers", "assignment", []any{0.0, 1.0}, "node", 7},
		{[]string{"both", "--groups", ""}, "poller groups none, 7 workers", "assignment", []any{}, "node", 7},
		{[]string{"both", "--groups-from-env", "--workers", "default"}, "poller groups of its own .env, workers by the setting", "env", nil, "setting", 100},
	} {
		out := s.spawn(append([]string{"node", "set"}, c.args...)...).works()
		if want := "consumer both: " + c.says + "; in effect within 10 s\n"; out != want {
			t.Errorf("%q says %q, want %q", c.args, out, want)
		}
		shown := s.node("consumer:both")
		if shown["groups_from"] != c.from || fmt.Sprint(shown["assigned_groups"]) != fmt.Sprint(c.groups) || shown["workers_from"] != c.workersFrom || shown["workers_wanted"] != c.workers {
			t.Errorf("after %q: %v", c.args, shown)
		}
	}
	if out := s.spawn("node", "show", "consumer:both").works(); !strings.Contains(out, "its .env (DISTRIBUTED_POLLER_GROUP): 0,77; its .env names groups that do not exist: 77") {
		t.Errorf("shown:\n%s", out)
	}
	events, err := inventory.Events(t.Context(), store.EventFilter{Type: "node"})
	if err != nil || len(events) != 4 || events[3].Actor != actor() || events[3].Message != "consumer both: poller groups of its .env -> 0,1" {
		t.Errorf("events %+v, %v", events, err)
	}
}

func TestMistakesAboutNodesChangeNothing(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket)
	s.claimOwn(redis)
	s.known()
	s.turnOnGroups()
	before := dump(t, s.database())
	for _, m := range []mistake{
		{args: []string{"node", "show", "nobody"}, code: exitNotFound, says: []string{`no node "nobody"`, "pollux node list"}},
		{args: []string{"node", "show", "web:both"}, code: exitNotFound, says: []string{"pollux node list"}},
		{args: []string{"node", "show", "both"}, code: exitUsage, says: []string{"consumer:both or producer:both"}},
		{args: []string{"node", "show", "c2", "--history", "0"}, code: exitUsage, says: []string{"1 to 10000"}},
		{args: []string{"node", "set", "c2"}, code: exitUsage, says: []string{"say what to change"}},
		{args: []string{"node", "set", "c2", "--groups", "1", "--groups-from-env"}, code: exitUsage, says: []string{"one of"}},
		{args: []string{"node", "set", "c2", "--groups", "0,9"}, code: exitNotFound, says: []string{`no poller group "9"`}},
		{args: []string{"node", "set", "c2", "--groups", "0,,1"}, code: exitNotFound, says: []string{`no poller group ""`}},
		{args: []string{"node", "set", "c2", "--groups", "zürich"}, code: exitNotFound, says: []string{"no poller group"}},
		{args: []string{"node", "set", "c2", "--workers", "0"}, code: exitUsage, says: []string{"1 to 10000"}},
		{args: []string{"node", "set", "c2", "--workers", ""}, code: exitUsage, says: []string{"1 to 10000"}},
		{args: []string{"node", "set", "c2", "--workers", "10001", "--groups", ""}, code: exitUsage, says: []string{"1 to 10000"}},
		{args: []string{"node", "set", "p3", "--groups", "0"}, code: exitUsage, says: []string{"only consumers", "producer"}},
		{args: []string{"node", "set", "nobody", "--workers", "5"}, code: exitNotFound, says: []string{"pollux node list"}},
		{args: []string{"node", "drain", "nobody"}, code: exitNotFound, says: []string{"pollux node list"}},
		{args: []string{"node", "undrain", "consumer:p3"}, code: exitNotFound, says: []string{"pollux node list"}},
		{args: []string{"node", "remove", ""}, code: exitNotFound, says: []string{"pollux node list"}},
		{args: []string{"node", "drain"}, code: exitUsage, says: []string{"pollux node drain NODE"}},
	} {
		t.Run(strings.Join(m.args, " "), func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			r := s.spawn(m.args...)
			r.fails(m.code, m.says...)
			if r.out != "" {
				t.Errorf("the standard output is not empty: %s", r.out)
			}
			s.unchanged(before)
		})
	}
}

func TestForeignRedisShowsNoNodes(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket)
	claim(t, redis)
	s.known()
	if r := s.spawn("node", "list"); r.code != exitOK || !strings.Contains(r.errout, "two clusters") || !strings.Contains(r.out, "unknown") {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.errout)
	}
}

// A node lives through all that operators and accidents do to it: two processes with one NODE_ID in two roles.
func TestNodeFromStartToRemoval(t *testing.T) {
	t.Parallel()
	s := migrated(t, "REDIS_SOCKET="+polluxtest.Redis(t).Socket, "RRDCACHED="+polluxtest.RRDCached(t).Address)
	consumer, producer := s.role("consumer"), s.role("producer")
	is := func(name, state string) func() bool {
		return func() bool { return s.node(name)["state"] == state }
	}
	eventually := func(what string, happened func() bool) {
		t.Helper()
		polluxtest.Eventually(t, roleLimit, what, happened)
	}
	eventually("the producer leads", func() bool { return s.node("producer:node-1")["leader"] == true })
	eventually("the consumer serves", func() bool { return fmt.Sprint(s.node("consumer:node-1")["groups"]) == "[0]" })
	shown := s.node("consumer:node-1")
	host, err := os.Hostname()
	if err != nil || shown["host"] != host || shown["pid"] != float64(consumer.command.Process.Pid) || shown["state"] != "active" || shown["version"] != currentVersion() {
		t.Errorf("shown %v (%v)", shown, err)
	}
	kinds, _ := shown["kinds"].([]any)
	if len(kinds) != 2 || kinds[0].(object)["kind"] != "poller" || kinds[0].(object)["workers"] != 100.0 || kinds[0].(object)["pending"] != 0.0 ||
		kinds[1].(object)["kind"] != "discovery" || kinds[1].(object)["workers"] != 16.0 || kinds[1].(object)["pending"] != 0.0 {
		t.Errorf("kinds %v", kinds)
	}
	for _, name := range []string{"started", "last_seen"} {
		if at, _ := shown[name].(string); !jsonTime.MatchString(at) {
			t.Errorf("%s is %v", name, shown[name])
		}
	}
	if text := s.spawn("node", "show", "consumer:node-1").works(); !regexp.MustCompile(fmt.Sprintf(`(?m)^pid +%d$`, consumer.command.Process.Pid)).MatchString(text) ||
		!strings.Contains(text, "poller groups are off: every node serves all") || !strings.Contains(text, "0 done, 0 errors, 0 pending") {
		t.Errorf("shown:\n%s", text)
	}
	s.spawn("node", "remove", "consumer:node-1").fails(exitFailure, "consumer:node-1 lives", fmt.Sprintf("pid %d", consumer.command.Process.Pid), "stop that process", "pollux node drain")

	drained := s.spawn("node", "drain", "node-1")
	if drained.code != exitOK || strings.Count(drained.out, "takes nothing new") != 2 || !strings.Contains(drained.errout, "no other producer is active") || !strings.Contains(drained.errout, "no other active consumer serves poller groups 0") {
		t.Errorf("drain says %q and notes %q", drained.out, drained.errout)
	}
	eventually("both are drained", func() bool { return is("consumer:node-1", "drained")() && is("producer:node-1", "drained")() })
	if checks := consumer.ready(http.StatusOK, ops.StateDegraded); !strings.Contains(checks["drain_consumer"].Error, "pollux node undrain consumer:node-1") {
		t.Errorf("checks %+v", checks)
	}
	producer.metric("pollux_leader", 0)
	if !strings.Contains(consumer.errout.String(), "this node is drained") {
		t.Error("the log does not say that it is drained")
	}

	if err := consumer.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-consumer.exited
	consumer = s.role("consumer") // at once: it waits for the entry of the killed one to lapse
	eventually("it is drained after a restart", func() bool {
		shown := s.node("consumer:node-1")
		return shown["state"] == "drained" && shown["pid"] == float64(consumer.command.Process.Pid)
	})
	if out := s.spawn("node", "undrain", "node-1").works(); strings.Count(out, "works again") != 2 {
		t.Errorf("undrain says %q", out)
	}
	eventually("both work", func() bool { return is("consumer:node-1", "active")() && is("producer:node-1", "active")() })
	producer.metric("pollux_leader", 1)
	producer.metric(`pollux_nodes{role="consumer",state="active"}`, 1)
	consumer.ready(http.StatusOK, ops.StateOK)
	second := s.start("consumer")
	if code := second.wait(cliLimit); code != exitUsage || !strings.Contains(second.errout.String(), fmt.Sprintf("in use by host %s, pid %d", host, consumer.command.Process.Pid)) {
		t.Errorf("a second process with the same NODE_ID: exit code %d: %s", code, second.errout.String())
	}

	consumer.end()
	eventually("it is inactive", is("consumer:node-1", "inactive"))
	producer.metric(`pollux_nodes{role="consumer",state="stopped"}`, 1)
	if out := s.spawn("node", "remove", "consumer:node-1").works(); out != "removed consumer node-1\n" {
		t.Errorf("remove says %q", out)
	}
	s.spawn("node", "show", "consumer:node-1").fails(exitNotFound, "pollux node list")
	producer.end()
	var told []string
	events, err := s.inventory().Events(t.Context(), store.EventFilter{Type: "node"})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range slices.Backward(events) {
		message, _, _ := strings.Cut(event.Message, " (")
		if strings.HasPrefix(message, "consumer") {
			told = append(told, message)
		}
	}
	want := []string{
		"consumer node-1 is there", "consumer node-1: drained: it takes nothing new", "consumer node-1: undrained",
		"consumer node-1 stopped", "consumer node-1 removed",
	}
	if !slices.Equal(told, want) {
		t.Errorf("events %q, want %q", told, want)
	}
}
