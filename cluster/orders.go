package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pollux/device"
)

const (
	ordersEvery = 4 * time.Second // with the consumer's own look every 2 s, orders are in force well within 10 s
	ordersLimit = 3 * time.Second // of one reading of the orders
)

// Draining says that an operator wants the node to take nothing new.
func (m *Member) Draining() bool { return m.orders.Load().Draining }

// Workers is how many polls the node may run at the same time by an operator's order; 0 leaves it to the setting.
func (m *Member) Workers() int { return m.orders.Load().Workers }

// Groups are the poller groups that the node is to serve now: none while it
// drains, all while poller groups are off, else those of its row, else those
// of its .env, else group 0. Groups that do not exist are left out.
func (m *Member) Groups() []int64 {
	orders, known := m.orders.Load(), *m.known.Load()
	if orders.Draining {
		return nil
	}
	if !m.deps.Distributed() {
		return known
	}
	var groups []int64
	for _, group := range m.wanted(orders) {
		if slices.Contains(known, group) {
			groups = append(groups, group)
		}
	}
	return groups
}

func (m *Member) wanted(orders *device.Orders) []int64 {
	switch {
	case orders.Assigned:
		return orders.Groups
	case len(m.config.Own) > 0:
		return m.config.Own
	default:
		return []int64{device.GeneralGroup}
	}
}

// obey reads the orders every few seconds. While they cannot be read the last ones stay.
func (m *Member) obey(ctx context.Context) error {
	tick := time.NewTicker(m.pace.orders)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		limit, stop := context.WithTimeout(ctx, ordersLimit)
		if err := m.load(limit); err != nil && ctx.Err() == nil {
			m.log.Debug("the node's orders cannot be read; the last ones stay", "err", err)
		}
		stop()
	}
}

// load reads the orders, then the poller groups, so that a group which was made before it was assigned is known.
func (m *Member) load(ctx context.Context) error {
	orders, err := m.deps.Rows.NodeOrders(ctx, m.config.Info.Role, m.NodeID())
	if err != nil {
		return fmt.Errorf("read the orders of this node: %w", err)
	}
	if m.config.Serves {
		groups, err := m.deps.Groups(ctx)
		if err != nil {
			return fmt.Errorf("read the poller groups: %w", err)
		}
		ids := make([]int64, 0, len(groups))
		for _, group := range groups {
			ids = append(ids, group.ID)
		}
		m.known.Store(&ids)
	}
	old := m.orders.Swap(&orders)
	if old.Draining != orders.Draining || old.Assigned != orders.Assigned || old.Workers != orders.Workers || !slices.Equal(old.Groups, orders.Groups) {
		m.log.Info("orders for this node", "role", m.config.Info.Role, "drain", orders.Draining, "workers", orders.Workers, "assigned", orders.Assigned, "groups", orders.Groups)
		m.registry.Refresh()
	}
	m.warnUnknown(&orders)
	return nil
}

// warnUnknown warns once about poller groups of the .env that do not exist. Once they are made they are served.
func (m *Member) warnUnknown(orders *device.Orders) {
	if !m.config.Serves || orders.Assigned || !m.deps.Distributed() {
		return
	}
	for _, group := range m.config.Own {
		if !m.warned[group] && !slices.Contains(*m.known.Load(), group) {
			m.warned[group] = true
			m.log.Warn("DISTRIBUTED_POLLER_GROUP names a poller group that does not exist; it is served as soon as it does", "group", group)
		}
	}
}
