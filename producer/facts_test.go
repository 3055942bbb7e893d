package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/cluster"
	"pollux/config"
	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/snmp"
	"pollux/store"
	"pollux/tasks"
)

// stage is a cluster with a real Redis, a real inventory and a real journal,
// whose leader and nodes are there by their entries in Redis only.
type stage struct {
	t     *testing.T
	rig   *rig
	store *store.Store
	log   *journal.Journal
	desk  *Desk
}

func newStage(t *testing.T) *stage {
	t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	database := config.Database{Connection: config.SQLite, Name: filepath.Join(t.TempDir(), "pollux.db")}
	migrator, err := store.OpenMigrator(t.Context(), database, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = migrator.Close()
	s, err := store.Open(t.Context(), database, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r := newRig(t, polluxtest.Redis(t), "p1")
	log := journal.New(r.client, 0)
	st := &stage{t: t, rig: r, store: s, log: log}
	st.desk = NewDesk(DeskDeps{Store: s, Events: s, Journal: log, Redis: r.client, Distributed: true})
	r.leads(t).noteTerm(t.Context())
	return st
}

// add adds a device of 10 s in a group.
func (s *stage) add(name string, group int64) device.Device {
	s.t.Helper()
	d, err := s.store.AddDevice(s.t.Context(), device.Device{
		Hostname: name, Address: "127.0.0.1", Port: 161, Transport: "udp", Group: group, Interval: 10, Retries: -1,
		Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("x")},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// finish has the device's slot of some time ago finished.
func (s *stage) finish(d device.Device, ago time.Duration, outcome device.Outcome) {
	s.t.Helper()
	slot := device.SlotAt(d.ID, d.Interval, time.Now().Add(-ago).Unix())
	result, err := s.log.Append(s.t.Context(), journal.Entry{DeviceID: d.ID, Slot: slot, Outcome: outcome})
	if err != nil || result != journal.Accepted {
		s.t.Fatal(result, err)
	}
}

// offer puts the tasks of the present and the next slots of a device into a queue.
func (s *stage) offer(d device.Device, group int64) {
	s.t.Helper()
	client := asynq.NewClientFromRedisClient(s.rig.client)
	slot := device.SlotAt(d.ID, d.Interval, time.Now().Unix())
	for range 6 {
		task, err := tasks.Poll{DeviceID: d.ID, Slot: slot, Interval: d.Interval}.Task(group)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := client.Enqueue(task); err != nil {
			s.t.Fatal(err)
		}
		slot += int64(d.Interval)
	}
}

// state writes the entry of a consumer that takes nothing.
func (s *stage) state(id, state string) {
	s.t.Helper()
	entry := fmt.Sprintf(`{"token":"x","host":"h","pid":1,"state":%q,"groups":[]}`, state)
	if err := s.rig.client.Set(s.t.Context(), "pollux:node:consumer:"+id, entry, time.Minute).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) why(d device.Device) (Facts, Verdict) {
	s.t.Helper()
	now, err := s.store.Device(s.t.Context(), d.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := s.desk.Facts(s.t.Context(), now, Outside{})
	if err != nil {
		s.t.Fatal(err)
	}
	return f, Explain(f)
}

func (s *stage) want(d device.Device, code string, says ...string) Facts {
	s.t.Helper()
	f, v := s.why(d)
	if v.Code != code {
		s.t.Errorf("%s: %+v, want %s; facts: %+v", d.Hostname, v, code, f)
	}
	for _, part := range says {
		if !strings.Contains(v.Text, part) {
			s.t.Errorf("%s: %q does not say %q", d.Hostname, v.Text, part)
		}
	}
	return f
}

func (s *stage) group(name string) int64 {
	s.t.Helper()
	g, err := s.store.AddGroup(s.t.Context(), device.Group{Name: name}, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return g.ID
}

func TestWhyWithARealRedisAndInventory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := t.Context()
	berlin, rome := s.group("Berlin"), s.group("Rome")
	fresh := s.add("fresh", 0)
	lonely := s.add("lonely", berlin)
	drained := s.add("drained", rome)
	down, old := s.add("down", 0), s.add("old", 0)
	s.rig.serve(t, "c1", 0)
	s.state("c2", "drained")
	if err := s.store.SaveNode(ctx, device.Node{Role: cluster.RoleConsumer, NodeID: "c2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.ChangeNode(ctx, cluster.RoleConsumer, "c2", "", func(o *device.Orders) error {
		o.Assigned, o.Groups = true, []int64{rome}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	f := s.want(fresh, WhyStartsLater, "it was added")
	if f.Leader.Name != "p1" || f.LeaderSince.IsZero() || f.Slot == 0 || f.Next != f.Slot+10 || len(f.Queue.Nodes) != 1 {
		t.Errorf("facts: %+v", f)
	}
	s.want(lonely, WhyNoNode, "no live node serves poller group 1 (Berlin)")
	s.want(drained, WhyDrained, "poller group 2 (Rome) is drained (c2)")

	s.finish(down, 0, device.OutcomeDown)
	if err := s.store.AddEvent(ctx, device.Event{DeviceID: down.ID, Type: "down", Message: "Device status changed from up to down", Time: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if f := s.want(down, WhyDown, "does not answer, since "); time.Since(f.DownSince) < 59*time.Minute || len(f.Events) == 0 {
		t.Errorf("down since %v, %d events", f.DownSince, len(f.Events))
	}

	// Further cases of a device that was not polled for long.
	s.finish(old, time.Minute, device.OutcomeUp)
	if f := s.want(old, WhyNotOffered, "no task of its present slot"); !f.Unpolled.Overdue() || f.Unpolled.Intervals() < 5 {
		t.Errorf("not polled for %v", f.Unpolled)
	}
	s.rig.client.Set(ctx, "pollux:lease:"+strconv.FormatInt(old.ID, 10), "c7/h:9/x-1", 20*time.Second)
	s.want(old, WhyLease, "that of c7 (h:9)")
	s.rig.client.Del(ctx, "pollux:lease:"+strconv.FormatInt(old.ID, 10))
	s.offer(old, 0)
	s.want(old, WhyBacklog, "6 tasks, the oldest for")
	if _, err := s.desk.Pause(ctx, "poller:0", "me"); err != nil {
		t.Fatal(err)
	}
	s.want(old, WhyPaused, "the queue poller:0 is paused since ")
	if _, err := s.desk.Resume(ctx, "poller:0", "me"); err != nil {
		t.Fatal(err)
	}
	memory, err := readMemory(ctx, s.rig.client)
	if err != nil {
		t.Fatal(err)
	}
	s.rig.client.ConfigSet(ctx, "maxmemory", strconv.FormatInt(memory.Used*100/90, 10))
	s.want(old, WhyMemory, "from 80 % on no slots are offered")
	s.rig.client.ConfigSet(ctx, "maxmemory", "0")
	s.rig.client.Del(ctx, cluster.LeaderKey)
	s.want(old, WhyNoLeader)
}

// long adds a device of an hour whose present slot lasts for a while yet, and was preceded by three that nobody finished.
func (s *stage) long(name string) device.Device {
	s.t.Helper()
	for n := 0; ; n++ {
		d := s.add(name+strconv.Itoa(n), 0)
		changed, err := s.store.UpdateDevice(s.t.Context(), d.ID, func(d *device.Device) error {
			d.Interval = 3600
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.want(changed, WhyStartsLater, "its interval was changed: its first slot of 3600 s begins at")
		if device.SlotAt(d.ID, 3600, time.Now().Unix()) != device.SlotAt(d.ID, 3600, time.Now().Unix()+120) {
			continue
		}
		changed.SlotFrom = 0 // as if it had been so for long
		s.finish(changed, 3*time.Hour, device.OutcomeUp)
		return changed
	}
}

// whyOf judges a device as it is given, and not as it stands in the inventory.
func (s *stage) whyOf(d device.Device) (Facts, Verdict) {
	s.t.Helper()
	f, err := s.desk.Facts(s.t.Context(), d, Outside{})
	if err != nil {
		s.t.Fatal(err)
	}
	return f, Explain(f)
}

// TestWhyFollowsATask looks at tasks in each of their states, carried out by a real asynq server.
func TestWhyFollowsATask(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.rig.serve(t, "c1", 0)
	cases := map[int64]struct {
		device device.Device
		ends   error
		code   string
		says   string
	}{}
	for code, c := range map[string]struct {
		ends error
		says string
	}{
		WhyUnfinished: {nil, "ended without a poll"},
		WhyFailed:     {fmt.Errorf("the disk is full: %w", asynq.SkipRetry), "the disk is full"},
		WhyHandedBack: {errors.New("handed back: this node stops"), "this node stops"},

		WhyCredentials: {errors.New("handed back: " + tasks.CredentialsDoNotOpen), "credentials do not open"},
	} {
		d := s.long(code)
		entry := cases[d.ID]
		entry.device, entry.ends, entry.code, entry.says = d, c.ends, code, c.says
		cases[d.ID] = entry
		s.offer(d, 0)
	}
	release := make(chan struct{})
	server := asynq.NewServerFromRedisClient(s.rig.client, asynq.Config{
		Concurrency: 20, Queues: map[string]int{"poller:0": 1}, LogLevel: asynq.FatalLevel, TaskCheckInterval: 10 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		<-release
		p, err := tasks.ParsePoll(task.Payload())
		if err != nil {
			return err
		}
		return cases[p.DeviceID].ends
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	for _, c := range cases {
		polluxtest.Eventually(t, time.Minute, "the task of "+c.device.Hostname+" is active, and it is known where", func() bool {
			f, v := s.whyOf(c.device)
			return v.Code == WhyPolling && f.Task.Place != ""
		})
	}
	for id, c := range cases { // somebody else polls it meanwhile
		s.rig.client.Set(t.Context(), "pollux:lease:"+strconv.FormatInt(id, 10), "cli/elsewhere:9/x-1", time.Minute)
		if _, v := s.whyOf(c.device); v.Code != WhyLease || !strings.Contains(v.Text, "that of cli (elsewhere:9)") {
			t.Errorf("another poll holds the lease of %s: %+v", c.device.Hostname, v)
		}
		s.rig.client.Del(t.Context(), "pollux:lease:"+strconv.FormatInt(id, 10))
	}
	close(release)
	for _, c := range cases {
		polluxtest.Eventually(t, time.Minute, c.device.Hostname+" is explained", func() bool {
			_, v := s.whyOf(c.device)
			return v.Code == c.code && strings.Contains(v.Text, c.says)
		})
	}
}

func TestWhyOfAFullQueue(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	berlin := s.group("Berlin")
	s.rig.serve(t, "c1", berlin)
	d := s.add("sw1", berlin)
	s.finish(d, time.Minute, device.OutcomeUp)
	s.rig.enqueue(t, berlin, 1000, 2)
	s.want(d, WhyQueueFull, "2 tasks wait for 1 device of its group")
}

func TestWhyWithoutRedis(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	d := s.add("sw1", 0)
	away := NewDesk(DeskDeps{Store: s.store, Events: s.store})
	f, err := away.Facts(t.Context(), d, Outside{Redis: cluster.ErrUnavailable, Journal: cluster.ErrUnavailable})
	if v := Explain(f); err != nil || v.Code != WhyRedis || f.Slot == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f, err = s.desk.Facts(ctx, d, Outside{}); err == nil {
		t.Errorf("without the inventory: %+v", f)
	}
}
