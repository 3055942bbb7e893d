package consumer

import (
	"context"
	"net"
	"strconv"
	"strings"
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

// shared knows the agents that more than one device asks. For all others the
// device's own lease is bound enough, and costs no further call.
type shared struct {
	agents atomic.Pointer[map[string]bool]
}

func (s *shared) has(agent string) bool {
	agents := s.agents.Load()
	return agents != nil && (*agents)[agent]
}

// agentOf names the SNMP agent of a device as the store does.
func agentOf(d device.Device) string {
	return strings.ToLower(net.JoinHostPort(d.Host(), strconv.Itoa(int(d.Port))))
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
	agent := agentOf(d)
	if d.PingOnly || !c.shared.has(agent) {
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
