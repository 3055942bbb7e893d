package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const agentKeys = "pollux:agent:"

// maxAgentHold bounds how long a node that died in a poll counts against an agent.
const maxAgentHold = time.Minute

// enterAgentScript lets one more poll of an agent begin, unless as many run as
// may, or the last began or ended less than the gap ago.
// KEYS: running polls (sorted by when they lapse), the gap.
// ARGV: token, how long the place lasts in ms, polls at most, gap in ms.
var enterAgentScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
	return 1
end
if redis.call('EXISTS', KEYS[2]) == 1 or redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
	return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.max(ARGV[2], redis.call('PTTL', KEYS[1])))
if tonumber(ARGV[4]) > 0 then
	redis.call('SET', KEYS[2], '1', 'PX', ARGV[4])
end
return 1`)

// leaveAgentScript ends a poll of an agent; the gap begins anew.
// KEYS as above. ARGV: token, gap in ms.
var leaveAgentScript = redis.NewScript(`
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 and tonumber(ARGV[2]) > 0 then
	redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
end
return 1`)

// Agents bounds how many polls of the cluster run against one SNMP agent
// (pollux:agent:<host>:<port>), for agents that several devices share, such as
// the contexts of one chassis. It spares the agent and is no proof of
// exclusiveness: a poll of more than a minute stops counting.
type Agents struct {
	client redis.UniversalClient
	prefix string
	log    *slog.Logger
	taken  atomic.Uint64
}

// NewAgents prepares the bounds of one process. holder names it for people, such as its NODE_ID.
func NewAgents(client redis.UniversalClient, holder string, log *slog.Logger) *Agents {
	return &Agents{client: client, prefix: holder + "/" + place() + "/" + random() + "-", log: log}
}

// Enter asks for a place among at most limit polls of an agent, for at most
// the time lasts, gap after the last one began or ended. It does not wait; ok is false
// when there is none. leave gives the place back and may be called after the
// end of ctx; it is never nil. An error means that Redis did not answer.
func (a *Agents) Enter(ctx context.Context, agent string, limit int, gap, lasts time.Duration) (leave func(), ok bool, err error) {
	keys := []string{agentKeys + agent, agentKeys + agent + ":gap"}
	token := a.prefix + strconv.FormatUint(a.taken.Add(1), 10)
	lasts = max(min(lasts, maxAgentHold), time.Second)
	ok, err = enterAgentScript.Run(ctx, a.client, keys, token, lasts.Milliseconds(), limit, gap.Milliseconds()).Bool()
	if err != nil {
		return func() {}, false, fmt.Errorf("ask for a place at the agent %s: %w", printable(agent), err)
	}
	if !ok {
		return func() {}, false, nil
	}
	return func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), deviceRelease)
		defer stop()
		if err := leaveAgentScript.Run(ctx, a.client, keys, token, gap.Milliseconds()).Err(); err != nil {
			a.log.Debug("a place at an agent is left to lapse", "agent", agent, "error", err)
		}
	}, true, nil
}
