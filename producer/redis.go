package producer

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"pollux/cluster"
)

// fullShare of Redis' memory may be used before offering stops: above it,
// Redis would soon refuse leases too. In percent.
const fullShare = 80

// watchRedis looks every few seconds at Redis' memory and at who it is.
func (t *term) watchRedis(ctx context.Context) {
	every(ctx, healthEvery, func() {
		t.lookAtIdentity(ctx)
		t.lookAtMemory(ctx)
	})
}

// lookAtIdentity has all current slots offered again when Redis was restarted
// or another server is the master now: it may have lost the last ones. What
// cannot be asked stays as it was; offering fails by itself.
func (t *term) lookAtIdentity(ctx context.Context) {
	id, err := cluster.RunID(ctx, t.deps.Redis)
	if err != nil {
		return
	}
	if t.runID != "" && id != t.runID {
		t.log.Info("Redis was restarted or its master changed: all current slots are offered again")
		t.restart.Store(t.deps.Clock.Now().Add(resendAfter).Unix())
	}
	t.runID = id
}

// lookAtMemory stops offering while less than a fifth of Redis' memory is left.
func (t *term) lookAtMemory(ctx context.Context) {
	memory, err := readMemory(ctx, t.deps.Redis)
	if err != nil {
		return
	}
	full := memory.Full()
	if t.full.Swap(full) == full {
		return
	}
	if full {
		t.log.Error("Redis has less than a fifth of its memory left: no slots are offered", "used_bytes", memory.Used, "maxmemory_bytes", memory.Limit)
		return
	}
	t.log.Info("Redis has memory again: slots are offered", "used_bytes", memory.Used, "maxmemory_bytes", memory.Limit)
}

// Memory is that of Redis, in bytes.
type Memory struct {
	Used  int64
	Limit int64 // maxmemory; 0 for none
}

// Full says that a fifth or less of the memory is left, so that no slots are offered.
func (m Memory) Full() bool { return m.Limit > 0 && m.Used >= m.Limit/100*fullShare }

func readMemory(ctx context.Context, client redis.UniversalClient) (Memory, error) {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return Memory{}, fmt.Errorf("ask Redis about its memory: %w", err)
	}
	return Memory{Used: infoNumber(info, "used_memory"), Limit: infoNumber(info, "maxmemory")}, nil
}

// infoField returns a field of Redis' INFO answer, "" when it is not there.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// infoNumber returns a field as a number, 0 when it is none.
func infoNumber(info, name string) int64 {
	n, err := strconv.ParseInt(infoField(info, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
