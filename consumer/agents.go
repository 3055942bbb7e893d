package consumer

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pollux/device"
	"pollux/settings"
)

// agentsEvery is how often the inventory is asked which agents several devices share.
const agentsEvery = time.Minute

// Agents bounds how many polls of the cluster run against one SNMP agent.
// Enter does not wait: ok is false when as many run as may, or the last was
// less than gap ago. leave is never nil.
type Agents interface {
	Enter(ctx context.Context, agent string, limit int, gap, lasts time.Duration) (leave func(), ok bool, err error)
}

const (
	// agentSeen is how long a node remembers which address a device had when it
	// was polled: longer than any interval.
	agentSeen = 2 * time.Hour
	// maxAgentsSeen bounds for how many devices it does.
	maxAgentsSeen = 100_000
)

// shared knows the agents that more than one device asks. For all others the
// device's own lease is bound enough, and costs no further call.
//
// An agent is an address and a port. The database knows which devices have the
// same host and port in writing; that a name and an address, or two names, are
// one agent shows only when the names are resolved, as this node does when it polls.
type shared struct {
	agents atomic.Pointer[map[string]bool] // as the store names them, by host

	mu   sync.Mutex
	seen map[int64]seenAgent // by device
	uses map[string]int      // devices of seen, by agent
}

// seenAgent is the agent of a device when it was polled last.
type seenAgent struct {
	written string // what the device's row says
	agent   string // what that was resolved to
	at      time.Time
}

// note remembers which agent a device has.
func (s *shared) note(id int64, written, agent string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.seen[id]
	if !known && len(s.seen) >= maxAgentsSeen {
		return
	}
	if s.seen == nil {
		s.seen, s.uses = map[int64]seenAgent{}, map[string]int{}
	}
	s.drop(old.agent)
	s.seen[id] = seenAgent{written, agent, now}
	s.uses[agent]++
}

// drop takes a device from an agent. The caller holds mu.
func (s *shared) drop(agent string) {
	if s.uses[agent]--; s.uses[agent] <= 0 {
		delete(s.uses, agent)
	}
}

// forget drops the devices that were not polled since a moment.
func (s *shared) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, was := range s.seen {
		if was.at.Before(before) {
			s.drop(was.agent)
			delete(s.seen, id)
		}
	}
}

// of names the agent of a device: its address where that is known, else its
// host as it is written. many says whether several devices ask it.
func (s *shared) of(d device.Device, now time.Time) (agent string, many bool) {
	written := written(d)
	agent = written
	if address, err := netip.ParseAddr(d.Host()); err == nil {
		agent = addressed(address, d.Port)
		s.note(d.ID, written, agent, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, known := s.seen[d.ID]; known && was.written == written {
		agent = was.agent
	}
	agents := s.agents.Load()
	return agent, s.uses[agent] > 1 || agents != nil && (*agents)[written]
}

// written names the agent of a device as the store does.
func written(d device.Device) string {
	return strings.ToLower(net.JoinHostPort(d.Host(), strconv.Itoa(int(d.Port))))
}

func addressed(address netip.Addr, port uint16) string {
	return netip.AddrPortFrom(address.Unmap(), port).String()
}

// followAgents keeps the shared agents up to date until ctx ends. While the
// database is away the last ones stay.
func (c *Consumer) followAgents(ctx context.Context) {
	tick := time.NewTicker(agentsEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if list, err := c.deps.Store.SharedAgents(ctx); err == nil {
			agents := make(map[string]bool, len(list))
			for _, agent := range list {
				agents[agent] = true
			}
			c.shared.agents.Store(&agents)
		} else if ctx.Err() == nil {
			c.log.Debug("the agents that devices share cannot be listed; the last ones stay", "err", err)
		}
		c.shared.forget(time.Now().Add(-agentSeen))
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// enterAgent takes a place at the device's agent where it is shared. Without
// one the task goes back into its queue for a moment, so that it holds no
// worker. Without an answer of Redis the poll goes on: the bound only spares the agent.
func (c *Consumer) enterAgent(t *turn, d device.Device) (leave func(), err error) {
	return c.enterAgentOf(t.DeviceID, d, c.deps.Settings().Int(settings.KeyAddressInFlight), t.budget(c.deps.Clock.Now()))
}

// enterAgentOf does it for work on a device that lasts so long at most, where the agent has so many places.
func (c *Consumer) enterAgentOf(id int64, d device.Device, places int, lasts time.Duration) (leave func(), err error) {
	if d.PingOnly {
		return func() {}, nil
	}
	agent, many := c.shared.of(d, time.Now())
	if !many {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(c.reading, questionTimeout)
	defer cancel()
	values := c.deps.Settings()
	gap := time.Duration(values.Int(settings.KeyAddressGap)) * time.Millisecond
	leave, ok, err := c.deps.Agents.Enter(ctx, agent, places, gap, lasts)
	switch {
	case err != nil:
		c.log.Debug("polled without a place at the agent", "device", id, "err", err)
		return leave, nil
	case !ok:
		return nil, errAgentBusy
	default:
		return leave, nil
	}
}
