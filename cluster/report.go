package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"pollux/device"
)

const (
	rowEvery     = time.Minute
	historyEvery = 5 * time.Minute // windows end at multiples of it
	maxHistory   = 48              // windows that wait for the database: 4 hours of one kind, 2 of two
	saveLimit    = 30 * time.Second
	lookAgain    = 30 * time.Second // at most: the clock may have been set
)

// report writes the node's row every minute, and its history at the end of every window.
func (m *Member) report(ctx context.Context) error {
	row, end := m.nextRow(), m.nextWindow(m.deps.Clock.Now())
	for {
		wait := min(time.Until(row), end.Sub(m.deps.Clock.Now()), lookAgain)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(wait, 0)):
		}
		now := m.deps.Clock.Now()
		if !now.Before(end) {
			m.closeWindow(ctx, end)
			end = end.Add(m.pace.window)
		}
		if end.Sub(now).Abs() > m.pace.window { // the clock was set, or this process stood still
			end = m.nextWindow(now)
		}
		if !time.Now().Before(row) {
			m.save(ctx)
			row = m.nextRow()
		}
	}
}

func (m *Member) nextRow() time.Time {
	jitter := m.pace.row / 6
	return time.Now().Add(m.pace.row - jitter + rand.N(2*jitter))
}

// nextWindow is the end of the window that a time lies in.
func (m *Member) nextWindow(now time.Time) time.Time {
	return now.Truncate(m.pace.window).Add(m.pace.window)
}

// row is what the process says of itself now.
func (m *Member) row() device.Node {
	info := m.config.Info
	n := device.Node{
		NodeID: m.NodeID(), Role: info.Role, Host: info.Host, PID: info.PID, Version: info.Version, Started: info.Started,
		Own: m.config.Own, State: m.State(), LastSeen: m.deps.Clock.Now(),
	}
	if m.config.Serves {
		n.Served = m.served()
	}
	return n
}

// save writes the row and the windows that wait, and logs when that begins and ends to fail.
func (m *Member) save(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	err := m.deps.Rows.SaveNode(ctx, m.row())
	if err == nil && len(m.history) > 0 {
		if err = m.deps.Rows.AddNodeHistory(ctx, m.history); err == nil {
			m.history = nil
		}
	}
	switch {
	case errors.Is(err, context.Canceled): // the process ends
	case err != nil && !m.failing:
		m.log.Warn("the node's row cannot be written; trying on", "node_id", m.NodeID(), "err", err)
	case err == nil && m.failing:
		m.log.Info("the node's row is written again", "node_id", m.NodeID())
	}
	m.failing = err != nil
}

// closeWindow adds the window that has ended to those that the next save writes, and saves. The oldest are given up when too many wait.
func (m *Member) closeWindow(ctx context.Context, end time.Time) {
	a := m.activity.Load()
	if a.Work == nil {
		return
	}
	groups := m.served()
	for _, work := range a.Work(end) {
		work.Workers = work.MeanWorkers()
		work.Capacity = time.Duration(work.Workers) * work.Window
		m.history = append(m.history, device.NodeHistory{
			NodeID: m.NodeID(), Role: m.config.Info.Role, At: end, Work: work, Groups: groups, Pending: m.pending(ctx, work.Kind, groups),
		})
	}
	m.history = m.history[max(len(m.history)-maxHistory, 0):]
	m.save(ctx)
}

// pending counts the tasks of a kind that wait in the queues of poller groups; -1 when Redis does not tell.
func (m *Member) pending(ctx context.Context, kind string, groups []int64) (sum int64) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	waiting, err := Pending(ctx, m.deps.Client, kind, groups)
	if err != nil {
		return -1
	}
	for _, n := range waiting {
		sum += n
	}
	return sum
}
