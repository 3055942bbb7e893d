package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/journal"
	"pollux/settings"
	"pollux/store"
)

// journalRedis is the name of the findings about a Redis that the journal has for itself.
const journalRedis = "journal_redis"

// redis looks at one of the two Redis servers that a cluster may have.
func (x *examination) redis(ctx context.Context, name string, c config.Redis) {
	c.Timeout = 0 // the doctor says what is, and does not wait for what may come
	if len(c.Sentinels) > 0 {
		x.sentinels(ctx, name, c)
	}
	client, err := cluster.Connect(ctx, c, x.program.logger("error"))
	if err != nil {
		x.fail(name, err)
		return
	}
	defer client.Close()
	if x.cluster != "" {
		if err := x.sameCluster(ctx, client); err != nil {
			x.fail(name, err)
			return
		}
	}
	info, err := client.Info(ctx).Result() // without a section: Redis 6.2 takes one only
	if err != nil {
		x.fail(name, fmt.Errorf("ask Redis about itself: %w; its user needs the command INFO", err))
		return
	}
	fields := infoFields(info)
	x.fine(name, "version %s, %s", fields["redis_version"], reached(c))
	x.memory(name, fields)
	if len(c.Sentinels) > 0 {
		x.replicas(name, fields)
	}
	if c.Password.IsEmpty() && (c.Socket == "" || len(c.Sentinels) > 0) {
		x.warn(name, "it asks for no password: whoever reaches it can change what is polled and measured; use the ACL user of docs/how-to/redis.md")
	}
	x.clock(ctx, client)
	if name != journalRedis {
		x.billing(ctx, client)
	}
	if (name == journalRedis) == x.config.JournalOwn {
		x.journal(ctx, client)
	}
}

// billing looks whether somebody reads and calculates what is billed.
func (x *examination) billing(ctx context.Context, client cluster.Client) {
	if x.bills == 0 {
		return
	}
	holder, err := cluster.NewLease(client, cluster.BillingKey, "", 0).Holder(ctx)
	switch {
	case err != nil:
		x.fail("billing", err)
	case holder == "":
		x.warn("billing", "%d bills, and no consumer serves the queue billing: start: pollux consumer; one that runs says in its log why it does not", x.bills)
	default:
		x.fine("billing", "%d bills, the queue billing is served by %s", x.bills, cluster.ParseHolder(holder).Name)
	}
}

// journal looks whether the logs keep what a replay may need.
func (x *examination) journal(ctx context.Context, client cluster.Client) {
	logs, inForce := journal.NewShards(client), store.ShardNumbers(x.values.Shards())
	window := x.values.Seconds(settings.KeyRRDFlushWindow) + time.Minute
	for _, number := range inForce {
		status, err := logs.Shard(number).Status(ctx)
		if err != nil {
			x.fail("journal", err)
			return
		}
		room := journal.Room(status.Oldest, status.Bytes, status.Limit/int64(len(inForce)))
		switch {
		case journal.Tight(room, window):
			x.warn("journal", "shard %d has room for %s as entries come now, and should have it for 1.5 times %s: a kill of RRDCached could lose measurements; give Redis more memory",
				number, room.Round(time.Second), window)
		case room == 0:
			x.fine("journal", "shard %d: %d entries, too young to tell whether there is room", number, status.Entries)
		default:
			x.fine("journal", "shard %d: %d entries, room for %s as they come now", number, status.Entries, room.Round(time.Second))
		}
	}
}

// memory looks at what would lose queues or measurements.
func (x *examination) memory(name string, fields map[string]string) {
	if policy := fields["maxmemory_policy"]; policy != "noeviction" {
		x.fail(name, fmt.Errorf("maxmemory-policy is %.40s; Redis would throw away queues and measurements: set it to noeviction", policy))
	}
	if fields["aof_enabled"] != "1" {
		x.warn(name, "appendonly is off: a restart of Redis loses the measurements that are not in RRD files yet; set appendonly yes")
	}
	if fields["maxmemory"] == "0" {
		x.warn(name, "maxmemory is not set: the journal keeps at most 256 MiB")
	}
}

// reached says how a Redis is reached, without a secret.
func reached(c config.Redis) string {
	words := []string{"user " + orDefault(c.Username, "default")}
	switch {
	case len(c.Sentinels) > 0:
		words = append(words, "by Sentinels")
	case c.Socket != "":
		words = append(words, "by a unix socket")
	}
	if c.Scheme == "tls" && (c.Socket == "" || len(c.Sentinels) > 0) {
		words = append(words, "TLS")
	}
	return strings.Join(append(words, "database "+strconv.Itoa(c.DB)), ", ")
}

// sentinels asks each of them: a client is content when most agree.
func (x *examination) sentinels(ctx context.Context, name string, c config.Redis) {
	if c.Host != "" || c.Socket != "" {
		x.warn(name, "both Sentinels and a host or a socket are set; the Sentinels win")
	}
	views, err := cluster.AskSentinels(ctx, c)
	if err != nil {
		return // Connect says it too
	}
	master, agreed := cluster.Majority(views)
	answering := 0
	for _, view := range views {
		switch {
		case view.Err != nil:
			x.warn(name, "the Sentinel %s: %v", view.Address, view.Err)
			continue
		case !agreed:
			x.warn(name, "the Sentinel %s says that the master of %s is %s", view.Address, c.SentinelService, view.Master)
		case view.Master != master:
			x.warn(name, "the Sentinel %s disagrees with the others: it says that the master of %s is %s. Unless that passes within a minute, "+
				"it is cut off from them or watches another Redis: look at its network and its log", view.Address, c.SentinelService, view.Master)
		}
		answering++
	}
	if agreed { // else Connect fails, and says why
		x.fine(name, "%d of %d Sentinels answer; the master of %s is %s", answering, len(views), c.SentinelService, master)
	}
	if len(views) < 3 {
		x.warn(name, "REDIS_SENTINEL names fewer than three (%d); three on three machines can outvote a lost one", len(views))
	}
}

// replicas looks whether a failover could work, and whether a master that is cut off would notice.
func (x *examination) replicas(name string, fields map[string]string) {
	following, err := strconv.Atoi(fields["connected_slaves"])
	if err != nil {
		return
	}
	_, bound := fields["min_slaves_good_slaves"] // there only when min-replicas-to-write is set
	switch {
	case !bound:
		x.warn(name, "min-replicas-to-write is 0: a master that is cut off takes writes that are lost when it comes back; set it to 1")
	case following < 2:
		x.warn(name, "two replicas should follow the master, there are %d: with min-replicas-to-write a promoted master that nobody follows refuses writes", following)
	}
}

// sameCluster compares without claiming: a doctor changes nothing.
func (x *examination) sameCluster(ctx context.Context, client cluster.Client) error {
	err := cluster.SameID(ctx, client, x.cluster)
	if errors.Is(err, cluster.ErrUnclaimed) && !x.lived {
		return nil
	}
	return err
}

func (x *examination) clock(ctx context.Context, client cluster.Client) {
	now, err := client.Time(ctx).Result()
	if err != nil {
		x.fail("clock", fmt.Errorf("ask Redis for its time: %w", err))
		return
	}
	if skew := time.Since(now); skew.Abs() > 5*time.Second {
		x.fail("clock", fmt.Errorf("this machine's clock differs from that of Redis by %s; check its time synchronisation", skew.Round(time.Millisecond)))
		return
	}
	x.fine("clock", "agrees with Redis")
}

// infoFields reads the lines "name:value" of Redis' INFO.
func infoFields(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			fields[name] = value
		}
	}
	return fields
}
