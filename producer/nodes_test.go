package producer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/polluxtest"
)

// fakeNodes are the rows of nodes and the events about them.
type fakeNodes struct {
	mu     sync.Mutex
	rows   []device.Node
	events []device.Event
}

func (n *fakeNodes) Nodes(context.Context) ([]device.Node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.rows), nil
}

func (n *fakeNodes) NoteNode(_ context.Context, row device.Node, to device.Presence, event device.Event) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.rows {
		if r := &n.rows[i]; r.Role == row.Role && r.NodeID == row.NodeID && r.Presence == row.Presence {
			r.Presence = to
			n.events = append(n.events, event)
			return true, nil
		}
	}
	return false, nil
}

// told are the events so far, without their places.
func (n *fakeNodes) told() (list []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, event := range n.events {
		message, _, _ := strings.Cut(event.Message, " (")
		list = append(list, fmt.Sprintf("%s %s", event.Severity, message))
	}
	return list
}

// enter writes the entry of a live node, as its heartbeat does.
func enter(t *testing.T, client redis.UniversalClient, role, id string, state device.NodeState, groups ...int64) {
	t.Helper()
	registry, err := cluster.NewRegistry(client, cluster.NodeInfo{
		Role: role, NodeID: id, Host: "h", PID: 7, Groups: func() []int64 { return groups },
		Status: func() cluster.Status { return cluster.Status{State: state} },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func leave(t *testing.T, client redis.UniversalClient, role, id string) {
	t.Helper()
	if err := client.Del(t.Context(), "pollux:node:"+role+":"+id).Err(); err != nil {
		t.Fatal(err)
	}
}

// later lets a leader believe that it has waited for that long.
func (t *term) later(d time.Duration) {
	for key, since := range t.census.since {
		t.census.since[key] = since.Add(-d)
	}
}

// Two leaders at once, each for itself, see a node come, go, come and go again.
func TestComingAndGoingOfNodesIsNotedOnce(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	rows := &fakeNodes{rows: []device.Node{
		{Role: "consumer", NodeID: "c1", Host: "h", PID: 7}, {Role: "consumer", NodeID: "old", Host: "h", PID: 6},
		{Role: "consumer", NodeID: "stopped", Presence: device.PresenceStopped},
	}}
	var leaders []*term
	for _, name := range []string{"a", "b"} {
		r := newRig(t, server, name)
		r.deps.Nodes = rows
		if err := r.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		leaders = append(leaders, newTerm(r.Producer))
	}
	client := leaders[0].deps.Redis
	look := func(waited time.Duration, want ...string) {
		t.Helper()
		for range 2 {
			for _, leader := range leaders {
				leader.observeNodes(t.Context())
			}
		}
		for _, leader := range leaders {
			leader.later(waited)
			leader.observeNodes(t.Context())
		}
		if got := rows.told(); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	}
	look(time.Hour)
	enter(t, client, "consumer", "c1", device.NodeActive)
	enter(t, client, "consumer", "rowless", device.NodeActive)
	told := []string{"info consumer c1 is there"}
	look(0, told...)
	leave(t, client, "consumer", "c1")
	look(missingAfter-time.Second, told...)
	enter(t, client, "consumer", "c1", device.NodeActive)
	look(time.Hour, told...) // it was away for a moment
	leave(t, client, "consumer", "c1")
	told = append(told, "warning consumer c1 is gone without having stopped")
	look(missingAfter+time.Second, told...)
	for range 3 { // it comes and goes, and never stays
		enter(t, client, "consumer", "c1", device.NodeActive)
		look(steadyAfter-time.Second, told...)
		leave(t, client, "consumer", "c1")
		look(time.Hour, told...)
	}
	enter(t, client, "consumer", "c1", device.NodeActive)
	told = append(told, "info consumer c1 is back")
	look(steadyAfter+time.Second, told...)
	look(time.Hour, told...)
	for _, leader := range leaders {
		if len(leader.census.since) != 0 {
			t.Errorf("the leader keeps %v", leader.census.since)
		}
	}
}

// While Redis does not answer nobody is missing.
func TestOutageOfRedisMakesNobodyMissing(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	r := newRig(t, server, "a")
	rows := &fakeNodes{rows: []device.Node{{Role: "consumer", NodeID: "c1", Presence: device.PresencePresent}}}
	r.deps.Nodes = rows
	leader := newTerm(r.Producer)
	leader.observeNodes(t.Context())
	if len(leader.census.since) != 1 {
		t.Fatalf("the leader keeps %v", leader.census.since)
	}
	server.Kill()
	leader.later(time.Hour)
	leader.observeNodes(t.Context())
	server.Start()
	leader.observeNodes(t.Context())
	if got := rows.told(); len(got) != 0 {
		t.Errorf("events %q", got)
	}
	leader.later(missingAfter)
	leader.observeNodes(t.Context())
	if got := rows.told(); len(got) != 1 {
		t.Errorf("events %q", got)
	}
}

func TestNodesAreShownByState(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1", device.Scheduled{ID: 1, Interval: 300}, device.Scheduled{ID: 2, Group: 4, Interval: 300})
	r.deps.Nodes = &fakeNodes{rows: []device.Node{{Role: "consumer", NodeID: "c1"}, {Role: "consumer", NodeID: "dead"}, {Role: "producer", NodeID: "dead"},
		{Role: "consumer", NodeID: "ended", State: device.NodeStopped}, {Role: "consumer", NodeID: "c2", State: device.NodeStopped}}}
	term := r.leads(t)
	enter(t, r.client, "consumer", "c1", device.NodeActive, 0)
	enter(t, r.client, "consumer", "c2", device.NodeDraining, 0, 4)
	enter(t, r.client, "consumer", "c3", device.NodeDrained, 4)
	enter(t, r.client, "consumer", "c4", device.NodeSkewed, 4)
	enter(t, r.client, "producer", "p1", device.NodeActive)
	term.observeNodes(t.Context())
	for labels, want := range map[[2]string]float64{
		{"consumer", "active"}: 1, {"consumer", "draining"}: 1, {"consumer", "drained"}: 1, {"consumer", "skewed"}: 1, {"consumer", "inactive"}: 1,
		{"consumer", "stopped"}: 1, {"producer", "stopped"}: 0, {"producer", "active"}: 1, {"producer", "drained"}: 0, {"producer", "inactive"}: 1,
	} {
		if got := r.metric(t, "pollux_nodes", "role="+labels[0], "state="+labels[1]); got != want {
			t.Errorf("%v are %v, want %v", labels, got, want)
		}
	}
	if served, alone := r.metric(t, "pollux_group_nodes", "group=0"), r.metric(t, "pollux_group_nodes", "group=4"); served != 1 || alone != 0 {
		t.Errorf("group 0 has %v nodes, group 4 %v", served, alone)
	}
}

func TestDrainedProducerLeavesTheLeadToAnother(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	first, second := newRig(t, server, "a", thirty(0, 300)...), newRig(t, server, "b", thirty(0, 300)...)
	var draining atomic.Bool
	first.deps.Draining = draining.Load
	first.start(t)
	polluxtest.Eventually(t, time.Minute, "the first leads", first.Leading)
	second.start(t)
	draining.Store(true)
	polluxtest.Eventually(t, time.Minute, "the second leads", func() bool { return second.Leading() && !first.Leading() })
	polluxtest.Eventually(t, time.Minute, "every device's slot is offered", func() bool { return len(first.pending(t, 0)) >= 30 })
}
