package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/settings"
)

const (
	// reportKey holds what the eventlog was told about coverage and is still so.
	reportKey = "pollux:coverage"
	reportTTL = 7 * 24 * time.Hour // renewed at each look
	maxReport = 1 << 20            // bytes; a longer one is not ours
	// sinceKey holds when the leader began to lead: "<Unix second> <token of its lease>".
	sinceKey = "pollux:leader:since"
	sinceTTL = 4 * observeEvery
)

// observe looks at nodes, queues and devices every 15 s: it exports what it
// sees and tells the eventlog what begins and ends.
func (t *term) observe(ctx context.Context) {
	every(ctx, observeEvery, func() {
		t.noteTerm(ctx)
		looks, queuesKnown := t.queues.observe(ctx)
		nodes, nodesKnown := t.listNodes(ctx)
		s := t.schedule.Load()
		if !queuesKnown || !nodesKnown || s == nil || ctx.Err() != nil {
			return // half a view is no ground for an alarm
		}
		t.cover(ctx, s, nodes, looks)
		t.removeGone(ctx, s, looks)
		t.removeVoid(s, t.serviceOf(ctx, nodes), looks)
		t.saveReport(ctx)
	})
}

// noteTerm writes down since when this producer leads, for people.
func (t *term) noteTerm(ctx context.Context) {
	text := strconv.FormatInt(t.began, 10) + " " + t.deps.Lease.Token()
	if err := t.deps.Redis.Set(ctx, sinceKey, text, sinceTTL).Err(); err != nil {
		t.log.Debug("the beginning of the term is not written down", "err", err)
	}
}

// cover judges how well the cluster is covered, exports it, and tells of what
// began and ended. It takes a twentieth of the time at most: a look at 100,000
// devices costs a few tenths of a second.
func (t *term) cover(ctx context.Context, s *Schedule, nodes []cluster.Node, looks []queueLook) {
	began := time.Now()
	if began.Before(t.nextLook) {
		return
	}
	now := t.deps.Clock.Now()
	late, err := lateDevices(ctx, t.deps.Journal, s, t.began, now.Unix())
	if err != nil {
		if ctx.Err() == nil {
			t.log.Warn("it cannot be told which devices are overdue; the next look tries again", "err", err)
		}
		return
	}
	t.nextLook = began.Add(min(restFactor*time.Since(began), longestRest))
	t.metrics.showOverdue(s.Groups(), tallyOf(late))
	if !t.loadReport(ctx) {
		return
	}
	seen := scene{now: now, devices: s.Groups(), shortest: s.Shortest(), groups: t.groupNames(), service: t.serviceOf(ctx, nodes), queues: looks, collects: t.collects()}
	events := t.memory.compare(look{now: now, alarms: append(seen.alarms(), lateAlarms(late, seen.name)...), late: late, held: s.holds, name: seen.name})
	t.metrics.showAlarms(t.memory.report)
	for _, e := range events {
		e.Node = t.config.NodeID
		t.chronicle.add(e)
		if e.DeviceID == 0 {
			level := slog.LevelWarn
			if e.Severity == device.SeverityOK {
				level = slog.LevelInfo
			}
			t.log.Log(ctx, level, "coverage changed", "what", e.Message)
		}
	}
}

// serviceOf asks the inventory only when a node takes nothing. Without an
// answer the groups of such a node are not known, and its alarms say "no node".
func (t *term) serviceOf(ctx context.Context, nodes []cluster.Node) service {
	if !slices.ContainsFunc(nodes, idle) {
		return serviceOf(nodes, nil, nil)
	}
	rows, err := t.deps.Store.Nodes(ctx)
	if err != nil {
		t.log.Debug("the rows of the nodes cannot be read", "err", err)
	}
	var all []int64
	if !t.deps.Settings().Bool(settings.KeyDistributedPoller) {
		all = slices.Collect(maps.Keys(t.groupNames()))
	}
	return serviceOf(nodes, rows, all)
}

// loadReport reads, once in a term, what was told before it.
func (t *term) loadReport(ctx context.Context) bool {
	if t.reportKnown {
		return true
	}
	text, err := t.deps.Redis.GetRange(ctx, reportKey, 0, maxReport).Bytes()
	if err == nil && len(text) > 0 {
		if wrong := json.Unmarshal(text, &t.memory.report); wrong != nil {
			t.memory.report = report{} // not ours: some events come twice
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		t.log.Debug("what was told of coverage cannot be read", "err", err)
		return false
	}
	t.memory.report.ready()
	t.reportKnown = true
	return true
}

// saveReport writes down what was told. It does so at each look, so that a Redis that lost it has it again.
func (t *term) saveReport(ctx context.Context) {
	if !t.reportKnown || !t.mayOffer() {
		return
	}
	text, err := json.Marshal(t.memory.report)
	if err == nil {
		err = t.deps.Redis.Set(ctx, reportKey, text, reportTTL).Err()
	}
	if err != nil && ctx.Err() == nil {
		t.log.Debug("what was told of coverage is not written down", "err", err)
	}
}

// leaderSince says who leads and since when; the time is zero when it is not known.
func leaderSince(ctx context.Context, client redis.UniversalClient) (holder string, since time.Time, err error) {
	holder, err = cluster.NewLease(client, cluster.LeaderKey, "", LeaderTTL).Holder(ctx)
	if err != nil || holder == "" {
		return "", time.Time{}, err
	}
	text, err := client.GetRange(ctx, sinceKey, 0, 1023).Result()
	if err != nil {
		return holder, time.Time{}, fmt.Errorf("read %s: %w", sinceKey, err)
	}
	var second int64
	var token string
	if n, _ := fmt.Sscanf(text, "%d %s", &second, &token); n == 2 && token == holder && second > 0 {
		since = time.Unix(second, 0)
	}
	return holder, since, nil
}
