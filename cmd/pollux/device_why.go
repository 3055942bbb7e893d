package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/journal"
	"pollux/producer"
	"pollux/settings"
	"pollux/store"
)

func (p *program) deviceWhyCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "why HOST", Short: "Explain why a device is or is not polled", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error { return p.deviceWhy(command.Context(), args[0]) }),
	})
}

// deviceWhy needs the inventory only: what else does not answer is part of the explanation.
func (p *program) deviceWhy(ctx context.Context, spec string) error {
	c, err := p.boot()
	if err != nil {
		return err
	}
	return p.withStore(ctx, func(s *store.Store, values settings.Values, log *slog.Logger) error {
		found, err := findDevice(ctx, s, spec)
		if err != nil {
			return err
		}
		id, err := s.ClusterID(ctx)
		if err != nil {
			return err
		}
		w := &witness{config: c, store: s, cluster: id, log: p.logger(orDefault(c.LogLevel, "error"))}
		defer w.close()
		deps := producer.DeskDeps{
			Store: s, Events: s, Distributed: values.Bool(settings.KeyDistributedPoller),
			Billed: s, DistributedBilling: values.Bool(settings.KeyDistributedBilling), CollectInterval: values.Int(settings.KeyBillingFrequency),
		}
		outside := w.ask(ctx, &deps, shardTargets(found.Shard, c, values))
		facts, err := producer.NewDesk(deps).Facts(ctx, found, outside)
		if err != nil {
			return err
		}
		verdict := producer.Explain(facts)
		if p.asJSON {
			return p.printJSON(shownWhy(facts, verdict))
		}
		return p.printWhy(facts, verdict)
	})
}

// witness looks which servers answer.
type witness struct {
	config  config.Config
	store   *store.Store
	cluster string
	log     *slog.Logger
	open    []cluster.Client
}

// ask connects to what answers and fills it in; the rest is in the answer.
func (w *witness) ask(ctx context.Context, deps *producer.DeskDeps, targets []string) producer.Outside {
	cluster.LibraryLog{Log: w.log}.Install()
	outside := producer.Outside{RRDCached: map[string]error{}}
	deps.Redis, outside.Redis = w.redis(ctx, w.config.Redis)
	kept := deps.Redis
	outside.Journal = outside.Redis
	if w.config.JournalOwn {
		kept, outside.Journal = w.redis(ctx, w.config.JournalRedis)
	}
	if outside.Journal == nil {
		deps.Journal = journal.New(kept, 0)
	}
	for _, target := range targets {
		outside.RRDCached[target] = pingRRDCached(ctx, target)
	}
	return outside
}

// shardTargets are the RRDCached of a shard.
func shardTargets(shard int, c config.Config, values settings.Values) []string {
	if shard == 0 {
		return c.RRDCached
	}
	for _, s := range values.Shards() {
		if s.Number == shard {
			return s.Targets
		}
	}
	return nil
}

// redis connects without waiting for one that does not answer, and without claiming one that is of no cluster yet.
func (w *witness) redis(ctx context.Context, c config.Redis) (cluster.Client, error) {
	if !configured(c) {
		return nil, fmt.Errorf("%w: REDIS_HOST, REDIS_SOCKET or REDIS_SENTINEL is missing", config.ErrInvalid)
	}
	c.Timeout = 0
	client, err := cluster.Connect(ctx, c, w.log)
	if err != nil {
		return nil, err
	}
	w.open = append(w.open, client)
	if err := knowRedis(ctx, w.store, client, w.cluster); err != nil {
		return nil, err
	}
	return client, nil
}

func (w *witness) close() {
	for _, client := range w.open {
		if err := client.Close(); err != nil {
			w.log.Debug("a connection to Redis cannot be closed", "err", err)
		}
	}
}

// printWhy prints the verdict in the first line and the facts below.
func (p *program) printWhy(f producer.Facts, v producer.Verdict) error {
	first := f.Device.Hostname + ": " + v.Text
	if v.Advice != "" {
		first += ". What to do: " + v.Advice
	}
	fmt.Fprintf(p.out, "%s\n\n", oneLine(first))
	for _, line := range slices.Concat(deviceLines(f), slotLines(f), clusterLines(f), billingLines(f)) {
		if line[1] != "" {
			fmt.Fprintf(p.out, "%-14s %s\n", line[0], oneLine(line[1]))
		}
	}
	if len(f.Events) == 0 {
		return nil
	}
	fmt.Fprintln(p.out)
	rows := make([][]string, 0, len(f.Events))
	for _, e := range f.Events {
		rows = append(rows, []string{e.Time.UTC().Format(time.DateTime), e.Type, string(e.Severity), oneLine(e.Message)})
	}
	return p.printTable([]string{"EVENT (UTC)", "TYPE", "SEVERITY", "MESSAGE"}, rows)
}

// oneLine makes a text fit for a line of a terminal, whatever a server put into it.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.Join(strings.Fields(text), " "))
}

func deviceLines(f producer.Facts) [][2]string {
	d := f.Device
	state := string(status(d))
	if d.Disabled {
		state += " (not polled, by choice)"
	}
	interval := fmt.Sprintf("%d s", d.Interval)
	if d.SlotFrom > f.Now.Unix() {
		interval += ", since a change just now; its slots begin from " + timeOfDay(d.SlotFrom) + " on"
	}
	lines := [][2]string{
		{"device", fmt.Sprintf("%s, id %d, at %s", d.Hostname, d.ID, d.Host())}, {"status", state}, {"last error", d.StatusReason}, {"interval", interval},
	}
	if d.PollDuration > 0 {
		lines = append(lines, [2]string{"last poll took", d.PollDuration.String()})
	}
	if f.Last.Outcome == device.OutcomeDown || d.Status == device.StatusDown {
		since := "a time that the eventlog does not go back to"
		if !f.DownSince.IsZero() {
			since = f.DownSince.UTC().Format(time.DateTime) + " UTC"
		}
		lines = append(lines, [2]string{"backoff", "one probe per slot, because it is down since " + since})
	}
	return lines
}

func slotLines(f producer.Facts) [][2]string {
	var lines [][2]string
	if f.Slot > 0 {
		lines = append(lines, [2]string{"slot", fmt.Sprintf("%s to %s", timeOfDay(f.Slot), timeOfDay(f.SlotEnd()))})
	}
	lines = append(lines, [2]string{"next slot", timeOfDay(f.Next)}, [2]string{"last finished", lastText(f)})
	if !f.Device.Disabled {
		text := fmt.Sprintf("%s, %.1f intervals", f.Unpolled.For, f.Unpolled.Intervals())
		switch {
		case f.Unpolled.Overdue():
			text += ": overdue"
		case f.Unpolled.Late():
			text += ": late"
		}
		lines = append(lines, [2]string{"not polled for", text})
	}
	if f.Redis == nil {
		lines = append(lines, [2]string{"task", taskText(f.Task)}, [2]string{"lease holder", leaseText(f)})
	}
	return lines
}

func lastText(f producer.Facts) string {
	text := "none"
	if f.Last.Slot > 0 {
		text = fmt.Sprintf("%s, %s", timeOfDay(f.Last.Slot), f.Last.Outcome)
		if f.Last.Before[0] > 0 {
			text += "; before it " + timeOfDay(f.Last.Before[0])
		}
	}
	if f.Journal != nil {
		text += " (by the database; the journal does not answer)"
	}
	return text
}

func taskText(t producer.TaskFacts) string {
	text := orDefault(t.State, "none")
	if t.Place != "" {
		text += " on " + t.Place
	}
	if t.Retried > 0 {
		text += fmt.Sprintf(", retried %d times", t.Retried)
	}
	if t.LastError != "" {
		text += ", last error: " + t.LastError
	}
	return text
}

func leaseText(f producer.Facts) string {
	if f.Lease.Token == "" {
		return "nobody"
	}
	return fmt.Sprintf("%s (%s), lapses in %s unless it is renewed", f.Lease.Name, orDefault(f.Lease.Place, "unknown place"), f.Lapse.Round(time.Millisecond))
}

func clusterLines(f producer.Facts) [][2]string {
	group := fmt.Sprintf("%d %s", f.Device.Group, f.GroupName)
	if !f.GroupExists {
		group += "(does not exist)"
	}
	if !f.Distributed {
		group += " (distributed_poller is off: every node serves all groups)"
	}
	lines := [][2]string{{"group", group}}
	if f.Redis == nil {
		lines = append(lines, [2]string{"nodes", nodesText(f.Queue)}, [2]string{"leader", leaderText(f)}, [2]string{"queue", queueText(f.Queue)})
	}
	missing := outsideErrors(f)
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		lines = append(lines, [2]string{name, missing[name].Error()})
	}
	return lines
}

func nodesText(q producer.QueueState) string {
	text := orDefault(strings.Join(q.Nodes, ", "), "none")
	if len(q.Drained) > 0 {
		text += "; drained: " + strings.Join(q.Drained, ", ")
	}
	if len(q.Skewed) > 0 {
		text += "; skewed: " + strings.Join(q.Skewed, ", ")
	}
	return text
}

func leaderText(f producer.Facts) string {
	if f.Leader.Token == "" {
		return "none"
	}
	text := fmt.Sprintf("%s (%s)", f.Leader.Name, f.Leader.Place)
	if !f.LeaderSince.IsZero() {
		text += ", since " + f.LeaderSince.UTC().Format(time.DateTime) + " UTC"
	}
	return text
}

func queueText(q producer.QueueState) string {
	text := fmt.Sprintf("%s: %d pending, %d active, %d retry, %d scheduled, %d archived; %d devices", q.Name, q.Pending, q.Active, q.Retry, q.Scheduled, q.Archived, q.Devices)
	if q.Paused {
		text += "; paused"
	}
	return text
}

// timeOfDay is a Unix second as a time of the day.
func timeOfDay(second int64) string { return time.Unix(second, 0).UTC().Format(time.DateTime) + " UTC" }
