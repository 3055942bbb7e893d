package producer

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/cluster"
	"pollux/device"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestAlarms(t *testing.T) {
	t.Parallel()
	now := time.Unix(epoch, 0)
	consumer := func(id string, state device.NodeState, groups ...int64) cluster.Node {
		return cluster.Node{Role: cluster.RoleConsumer, NodeID: id, State: state, Groups: groups}
	}
	queue := func(name string, pending, active int) queueLook {
		return queueLook{QueueInfo: &asynq.QueueInfo{Queue: name, Pending: pending, Active: active, Completed: 9, Archived: 9}}
	}
	paused := func(name string, since time.Duration) queueLook {
		return queueLook{QueueInfo: &asynq.QueueInfo{Queue: name, Paused: true}, PausedSince: now.Add(-since)}
	}
	names := map[int64]string{0: "General", 3: "Berlin"}
	for _, c := range []struct {
		name     string
		devices  map[int64]int
		groups   map[int64]string
		nodes    []cluster.Node
		rows     []device.Node
		queues   []queueLook
		collects *collects
		want     []string // key, and a part of the text
	}{
		{name: "all well", devices: map[int64]int{0: 2, 3: 5}, nodes: []cluster.Node{consumer("c1", "", 0, 3)}, queues: []queueLook{queue("poller:0", 2, 1), queue("poller:3", 0, 5)}},
		{
			name: "no node", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "active", 0), {Role: "producer", NodeID: "p1", Groups: []int64{3}}},
			queues: []queueLook{queue("poller:3", 5, 0)}, want: []string{"unserved:3", "5 devices of poller group 3 (Berlin) are not polled: no live node serves the group"},
		},
		{
			name: "one device", devices: map[int64]int{0: 1}, want: []string{"unserved:0", "1 device of poller group 0 (General)"},
		},
		{
			name: "its nodes are drained", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "drained", 3), consumer("c2", "draining", 3)},
			want: []string{"unserved:3", "every node that serves the group is drained (c1, c2)"},
		},
		{
			name: "a drained node tells no groups", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "drained")},
			rows: []device.Node{{Role: cluster.RoleConsumer, NodeID: "c1", Groups: []int64{3}}}, want: []string{"unserved:3", "drained (c1)"},
		},
		{
			name: "its node's clock is skewed", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "skewed", 3)},
			want: []string{"unserved:3", "clock of every node"},
		},
		{name: "one of two nodes is drained", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "drained", 3), consumer("c2", "", 3)}},
		{
			name: "a queue without devices and nodes", nodes: []cluster.Node{consumer("c1", "", 0)}, queues: []queueLook{queue("poller:3", 4, 1)},
			want: []string{"orphaned:poller:3", "queue poller:3 holds 5 tasks and no live node serves it"},
		},
		{
			name: "a queue of no group", nodes: []cluster.Node{consumer("c1", "", 0)}, queues: []queueLook{queue("poller:9", 1, 0)},
			want: []string{"orphaned:poller:9", "holds 1 task of a poller group that does not exist"},
		},
		{name: "a queue of no group, empty", queues: []queueLook{queue("poller:9", 0, 0)}},
		{
			name: "groups that are not known", groups: map[int64]string{}, nodes: []cluster.Node{consumer("c1", "", 9)}, queues: []queueLook{queue("poller:9", 1, 0)},
		},
		{
			name: "readings that nobody takes", nodes: []cluster.Node{consumer("c1", "", 0)}, queues: []queueLook{queue("billing:0", 1, 0), queue("billing:3", 1, 0), queue("billing", 1, 0)},
			want: []string{"orphaned:billing:3", "no live node serves it"},
		},
		{
			name: "no node for billing", nodes: []cluster.Node{consumer("c1", "drained", 0)}, queues: []queueLook{queue("billing", 1, 0)},
			want: []string{"orphaned:billing", "no live node serves it"},
		},
		{
			name: "billing is paused", nodes: []cluster.Node{consumer("c1", "", 3)}, queues: []queueLook{paused("billing", 601*time.Second), paused("billing:3", time.Hour)},
			collects: newCollects(billed(4), 300, false), want: []string{"paused:billing", "4 devices of all poller groups are not read for billing"},
		},
		{
			name: "distributed billing is paused", nodes: []cluster.Node{consumer("c1", "", 0, 1)}, queues: []queueLook{paused("billing", time.Hour), paused("billing:0", 601*time.Second)},
			collects: newCollects(billed(4), 300, true), want: []string{"paused:billing:0", "2 devices of poller group 0 (General) are not read for billing"},
		},
		{
			name: "billing is paused for a moment", nodes: []cluster.Node{consumer("c1", "", 0)}, queues: []queueLook{paused("billing", 599*time.Second)}, collects: newCollects(billed(4), 300, false),
		},
		{
			name: "paused", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "", 3)}, queues: []queueLook{paused("poller:3", 21*time.Second)},
			want: []string{"paused:poller:3", "5 devices of poller group 3 (Berlin) are not polled"},
		},
		{name: "paused for a moment", devices: map[int64]int{3: 5}, nodes: []cluster.Node{consumer("c1", "", 3)}, queues: []queueLook{paused("poller:3", 20*time.Second)}},
		{name: "paused without devices", nodes: []cluster.Node{consumer("c1", "", 3)}, queues: []queueLook{paused("poller:3", time.Hour)}},
		{
			name: "two at once", devices: map[int64]int{0: 1, 3: 5}, nodes: nil, queues: []queueLook{paused("poller:3", time.Hour)},
			want: []string{"paused:poller:3", "", "unserved:0", "", "unserved:3", ""},
		},
	} {
		known := names
		if c.groups != nil {
			known = nil
		}
		s := scene{
			now: now, devices: c.devices, shortest: map[int64]int{0: 300, 3: 10}, groups: known, service: serviceOf(c.nodes, c.rows, nil), queues: c.queues, collects: c.collects,
		}
		found := s.alarms()
		if len(found) != len(c.want)/2 {
			t.Errorf("%s: %+v", c.name, found)
			continue
		}
		for i, a := range found {
			if a.key() != c.want[2*i] || !strings.Contains(a.text, c.want[2*i+1]) {
				t.Errorf("%s: %s %q, want %s %q", c.name, a.key(), a.text, c.want[2*i], c.want[2*i+1])
			}
		}
	}
}

func TestServiceOfNodesThatTakeNothing(t *testing.T) {
	t.Parallel()
	drained := []cluster.Node{{Role: cluster.RoleConsumer, NodeID: "c1", State: "drained"}}
	if s := serviceOf(drained, nil, []int64{0, 5}); !slices.Equal(s.drained[5], []string{"c1"}) {
		t.Errorf("while poller groups are off it would serve all: %v", s.drained)
	}
	if s := serviceOf(drained, nil, nil); !slices.Equal(s.drained[0], []string{"c1"}) || len(s.drained) != 1 {
		t.Errorf("without an assignment it would serve group 0: %v", s.drained)
	}
	rows := []device.Node{{Role: "producer", NodeID: "c1", Groups: []int64{7}}, {Role: cluster.RoleConsumer, NodeID: "c1", Groups: []int64{}}}
	if s := serviceOf(drained, rows, nil); len(s.drained) != 0 {
		t.Errorf("assigned to no group: %v", s.drained)
	}
}
