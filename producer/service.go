package producer

import (
	"slices"

	"pollux/cluster"
	"pollux/device"
	"pollux/tasks"
)

// service says which live consumers take the tasks of each poller group, and
// which would but do not. The names are NODE_IDs, in order.
type service struct {
	live    map[int64][]string
	drained map[int64][]string
	skewed  map[int64][]string
}

// serviceOf judges the live nodes. A node that takes nothing may tell no groups;
// then its row says which ones it would serve, or all, while poller groups are off.
func serviceOf(nodes []cluster.Node, rows []device.Node, all []int64) service {
	s := service{live: map[int64][]string{}, drained: map[int64][]string{}, skewed: map[int64][]string{}}
	for _, node := range nodes {
		if node.Role != cluster.RoleConsumer {
			continue
		}
		names, groups := s.live, node.Groups
		switch node.State {
		case "", device.NodeActive:
		case device.NodeSkewed:
			names, groups = s.skewed, wouldServe(node, rows, all)
		default:
			names, groups = s.drained, wouldServe(node, rows, all)
		}
		for _, group := range groups {
			names[group] = append(names[group], node.NodeID)
		}
	}
	return s
}

// wouldServe is which groups a node served before it took nothing any more. all is nil while poller groups are on.
func wouldServe(node cluster.Node, rows []device.Node, all []int64) []int64 {
	if len(node.Groups) > 0 {
		return node.Groups
	}
	if all != nil {
		return all
	}
	at := slices.IndexFunc(rows, func(row device.Node) bool { return row.Role == node.Role && row.NodeID == node.NodeID })
	if at < 0 || rows[at].Groups == nil {
		return []int64{device.GeneralGroup}
	}
	return rows[at].Groups
}

// of is who takes the tasks of a queue, or of the queue billing: who would.
// Of those one at a time does; it takes no more than a few seconds until there is another one.
func (s service) of(queue string) []string {
	if queue == tasks.BillingQueue {
		return s.any()
	}
	_, group := tasks.SplitQueue(queue)
	return s.live[group]
}

// any are the live nodes that serve any poller group.
func (s service) any() []string {
	var names []string
	for _, live := range s.live {
		names = append(names, live...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// idle says whether a live consumer takes no tasks, so that rows are needed to say which it would.
func idle(node cluster.Node) bool {
	return node.Role == cluster.RoleConsumer && node.State != "" && node.State != device.NodeActive
}
