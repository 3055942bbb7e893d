package cluster

import (
	"cmp"
	"slices"
	"time"

	"pollux/device"
)

// The roles of processes.
const (
	RoleProducer = "producer"
	RoleConsumer = "consumer"
)

// Standing is one role of a node as operators see it: its row, and what its process tells while it lives.
type Standing struct {
	Row  device.Node // where there is none (it was removed, or not written yet) it is made of Live
	Live *Node       // nil when there is no live process
}

// State is how the node works: as the process tells, inactive without one.
func (s Standing) State() device.NodeState {
	if s.Live == nil {
		return device.NodeInactive
	}
	return s.Live.State
}

// Process is a node as one process: most have one role, standalone has several.
type Process struct {
	NodeID   string
	Host     string
	PID      int
	Version  string
	Started  time.Time
	LastSeen time.Time
	Roles    []Standing // at least one, ordered by role
}

// Live says whether the process is there.
func (p Process) Live() bool { return p.Roles[0].Live != nil }

// Roster brings together the rows of all nodes and the processes that live,
// ordered by NODE_ID and role. Two processes that share a NODE_ID in different roles stay apart.
func Roster(rows []device.Node, live []Node) []Process {
	standings := make([]Standing, 0, len(rows)+len(live))
	used := make([]bool, len(live))
	for _, row := range rows {
		s := Standing{Row: row}
		if i := slices.IndexFunc(live, func(n Node) bool { return n.Role == row.Role && n.NodeID == row.NodeID }); i >= 0 {
			s.Live, used[i] = &live[i], true
		}
		standings = append(standings, s)
	}
	for i := range live {
		if n := &live[i]; !used[i] {
			row := device.Node{NodeID: n.NodeID, Role: n.Role, Host: n.Host, PID: n.PID, Version: n.Version, Served: n.Groups, State: n.State, LastSeen: n.Seen, Started: n.Started}
			standings = append(standings, Standing{Row: row, Live: n})
		}
	}
	slices.SortStableFunc(standings, func(a, b Standing) int {
		return cmp.Or(cmp.Compare(a.Row.NodeID, b.Row.NodeID), cmp.Compare(a.Row.Role, b.Row.Role))
	})
	var processes []Process
	for _, s := range standings {
		p := s.process()
		i := slices.IndexFunc(processes, func(other Process) bool {
			return other.NodeID == p.NodeID && other.Host == p.Host && other.PID == p.PID && other.Live() == p.Live()
		})
		if i < 0 {
			processes = append(processes, p)
			continue
		}
		processes[i].Roles = append(processes[i].Roles, s)
		if p.LastSeen.After(processes[i].LastSeen) {
			processes[i].LastSeen = p.LastSeen
		}
	}
	return processes
}

// process is the process of one standing alone.
func (s Standing) process() Process {
	if n := s.Live; n != nil {
		return Process{NodeID: n.NodeID, Host: n.Host, PID: n.PID, Version: n.Version, Started: n.Started, LastSeen: n.Seen, Roles: []Standing{s}}
	}
	r := s.Row
	return Process{NodeID: r.NodeID, Host: r.Host, PID: r.PID, Version: r.Version, Started: r.Started, LastSeen: r.LastSeen, Roles: []Standing{s}}
}

// LeftAlone says what nobody does when a live node is drained: the poller
// groups that no other active consumer serves, and whether no other active producer could lead.
func LeftAlone(processes []Process, drained Standing) (groups []int64, lead bool) {
	if drained.Live == nil {
		return nil, false
	}
	served := map[int64]bool{}
	lead = drained.Row.Role == RoleProducer
	for _, process := range processes {
		for _, s := range process.Roles {
			itself := s.Row.Role == drained.Row.Role && s.Row.NodeID == drained.Row.NodeID
			if itself || s.State() != device.NodeActive || s.Row.Draining {
				continue
			}
			lead = lead && s.Row.Role != RoleProducer
			for _, group := range s.Live.Groups {
				served[group] = true
			}
		}
	}
	for _, group := range drained.Live.Groups {
		if !served[group] {
			groups = append(groups, group)
		}
	}
	return groups, lead
}
