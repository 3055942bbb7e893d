package cluster_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/tasks"
)

// book is an inventory in memory; away makes it fail.
type book struct {
	mu      sync.Mutex
	away    bool
	orders  device.Orders
	groups  []device.Group
	rows    []device.Node // as reported, oldest first
	history map[time.Time]device.NodeHistory
}

var errAway = errors.New("the database is away")

func (b *book) SaveNode(_ context.Context, n device.Node) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	b.rows = append(b.rows, n)
	return nil
}

func (b *book) NodeOrders(context.Context, string, string) (device.Orders, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return device.Orders{}, errAway
	}
	return b.orders, nil
}

func (b *book) AddNodeHistory(_ context.Context, windows []device.NodeHistory) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	for _, w := range windows {
		b.history[w.At] = w
	}
	return nil
}

func (b *book) Groups(context.Context) ([]device.Group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, errAway
	}
	return slices.Clone(b.groups), nil
}

func (b *book) change(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

// last is the last report; the zero Node before the first.
func (b *book) last() device.Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) == 0 {
		return device.Node{}
	}
	return b.rows[len(b.rows)-1]
}

func (b *book) reports() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rows)
}

// club is a member with an inventory in memory and a real Redis.
type club struct {
	*cluster.Member
	book        *book
	log         *logbook
	client      redis.UniversalClient
	distributed atomic.Bool
	served      atomic.Pointer[[]int64]
	busy        atomic.Bool
	leading     atomic.Bool
}

func newClub(t *testing.T, client redis.UniversalClient, change func(*cluster.MemberConfig)) *club {
	t.Helper()
	c := &club{book: &book{history: map[time.Time]device.NodeHistory{}}, log: &logbook{}, client: client}
	c.distributed.Store(true)
	c.served.Store(&[]int64{0})
	for id := range int64(4) {
		c.book.groups = append(c.book.groups, device.Group{ID: id})
	}
	clock := cluster.NewClock(client, quiet(), prometheus.NewRegistry())
	must(t, clock.Sync(t.Context()))
	config := cluster.MemberConfig{Info: node("consumer", "c1", 11), Serves: true}
	change(&config)
	member, err := cluster.NewMember(config, cluster.MemberDeps{
		Client: client, Rows: c.book, Groups: c.book.Groups, Distributed: c.distributed.Load, Clock: clock, Log: c.log.logger(),
	})
	must(t, err)
	member.Hurry(50 * time.Millisecond)
	member.Attach(cluster.Activity{
		Served: func() []int64 { return *c.served.Load() }, Leading: c.leading.Load,
		Idle: func() bool { return !c.busy.Load() },
		Work: func(time.Time) []device.Work { return []device.Work{work()} },
	})
	c.Member = member
	return c
}

// entry is what the member tells in Redis.
func (c *club) entry(t *testing.T) cluster.Node {
	t.Helper()
	nodes, err := cluster.List(t.Context(), c.client)
	if err != nil || len(nodes) != 1 {
		return cluster.Node{}
	}
	return nodes[0]
}

func (c *club) becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	polluxtest.Eventually(t, 20*time.Second, what, is)
}

func TestMemberServesWhatTheMostImportantSourceSays(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	for i, c := range []struct {
		what        string
		distributed bool
		own         []int64
		orders      device.Orders
		want        []int64
	}{
		{"poller groups off", false, []int64{1}, device.Orders{Assigned: true, Groups: []int64{2}}, []int64{0, 1, 2, 3}},
		{"nothing said", true, nil, device.Orders{}, []int64{0}},
		{"an empty .env", true, []int64{}, device.Orders{}, []int64{0}},
		{"its .env", true, []int64{1, 3}, device.Orders{}, []int64{1, 3}},
		{"a group of its .env that does not exist", true, []int64{1, 9}, device.Orders{}, []int64{1}},
		{"only groups that do not exist", true, []int64{9}, device.Orders{}, nil},
		{"assigned", true, []int64{1}, device.Orders{Assigned: true, Groups: []int64{2, 3}}, []int64{2, 3}},
		{"assigned to nothing", true, []int64{1}, device.Orders{Assigned: true}, nil},
		{"assigned to a group that was removed", true, []int64{1}, device.Orders{Assigned: true, Groups: []int64{2, 9}}, []int64{2}},
		{"draining", true, []int64{1}, device.Orders{Draining: true}, nil},
		{"draining with poller groups off", false, nil, device.Orders{Draining: true}, nil},
	} {
		club := newClub(t, client, func(config *cluster.MemberConfig) {
			config.Own, config.Info.NodeID = c.own, "c"+string(rune('a'+i))
		})
		club.distributed.Store(c.distributed)
		club.book.orders = c.orders
		must(t, club.Join(t.Context()))
		if got := club.Groups(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
}

func TestMemberFollowsItsOrders(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	c := newClub(t, client, func(config *cluster.MemberConfig) { config.Own = []int64{1, 9} })
	must(t, c.Join(t.Context()))
	background(t, c.Run)
	c.book.change(func() { c.book.orders = device.Orders{Assigned: true, Groups: []int64{2}, Workers: 7} })
	c.becomes(t, "the assignment is followed", func() bool { return slices.Equal(c.Groups(), []int64{2}) && c.Workers() == 7 })
	c.book.change(func() { c.book.orders, c.book.away = device.Orders{}, true })
	c.becomes(t, "it is noticed that the database is away", func() bool { return c.log.count("orders cannot be read") > 1 })
	if got := c.Groups(); !slices.Equal(got, []int64{2}) {
		t.Errorf("without the database it serves %v", got)
	}
	c.book.change(func() { c.book.away = false })
	c.becomes(t, "the .env counts again", func() bool { return slices.Equal(c.Groups(), []int64{1}) && c.Workers() == 0 })
	c.book.change(func() { c.book.groups = append(c.book.groups, device.Group{ID: 9}) })
	c.becomes(t, "a group that was missing is served", func() bool { return slices.Equal(c.Groups(), []int64{1, 9}) })
	if n := c.log.count("names a poller group that does not exist"); n != 1 {
		t.Errorf("warned %d times", n)
	}
}

func TestMemberDrains(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	c := newClub(t, client, func(*cluster.MemberConfig) {})
	c.busy.Store(true)
	must(t, c.Join(t.Context()))
	stop := background(t, c.Run)
	shows := func(state device.NodeState) func() bool {
		return func() bool {
			return c.State() == state && c.entry(t).State == state && c.book.last().State == state
		}
	}
	c.becomes(t, "it is active", shows(device.NodeActive))
	c.book.change(func() { c.book.orders.Draining = true })
	c.becomes(t, "it drains", shows(device.NodeDraining))
	c.becomes(t, "it says that it drains", func() bool { return c.log.count("this node drains") == 1 })
	if c.log.count("is drained") != 0 {
		t.Error("it says that it is drained while it has work")
	}
	c.served.Store(&[]int64{})
	c.busy.Store(false)
	c.becomes(t, "it is drained", shows(device.NodeDrained))
	c.becomes(t, "it serves nothing", func() bool { return len(c.entry(t).Groups) == 0 && c.entry(t).Groups != nil })
	c.becomes(t, "it says that it is drained", func() bool { return c.log.count("is drained") == 1 })
	stop()

	again := newClub(t, client, func(*cluster.MemberConfig) {})
	again.book.orders.Draining = true
	must(t, again.Join(t.Context()))
	if again.State() != device.NodeDrained || again.Groups() != nil {
		t.Errorf("after a restart it is %s and serves %v", again.State(), again.Groups())
	}
	background(t, again.Run)
	again.book.change(func() { again.book.orders.Draining = false })
	again.becomes(t, "it works again", func() bool { return again.State() == device.NodeActive && again.entry(t).State == device.NodeActive })
	if n := c.log.count("is drained"); n != 1 {
		t.Errorf("it said %d times that it is drained", n)
	}
}

func TestMemberKeepsItsRow(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	must(t, client.LPush(t.Context(), "asynq:{poller:0}:pending", "a", "b").Err())
	must(t, client.LPush(t.Context(), "asynq:{poller:3}:pending", "c").Err())
	c := newClub(t, client, func(config *cluster.MemberConfig) { config.Own = []int64{0, 1} })
	c.served.Store(&[]int64{0, 1})
	c.leading.Store(true)
	must(t, c.Join(t.Context()))
	stop := background(t, c.Run)
	c.becomes(t, "it reports again and again", func() bool { return c.book.reports() > 3 })
	row := c.book.last()
	if row.NodeID != "c1" || row.Host != "host-c1" || row.PID != 11 || row.Version != "1.2.3" || !slices.Equal(row.Own, []int64{0, 1}) ||
		!slices.Equal(row.Served, []int64{0, 1}) || row.State != device.NodeActive || time.Since(row.LastSeen).Abs() > time.Minute {
		t.Errorf("the row is %+v", row)
	}
	if e := c.entry(t); !e.Leader || !slices.Equal(e.Work, []device.Work{work()}) || !slices.Equal(e.Groups, []int64{0, 1}) {
		t.Errorf("the entry is %+v", e)
	}
	windows := func() int {
		c.book.mu.Lock()
		defer c.book.mu.Unlock()
		return len(c.book.history)
	}
	c.becomes(t, "two windows are written", func() bool { return windows() >= 2 })
	c.book.change(func() { c.book.away = true })
	c.becomes(t, "it is noticed that the database is away", func() bool { return c.log.count("row cannot be written") == 1 })
	began := time.Now()
	c.becomes(t, "windows end meanwhile", func() bool { return time.Since(began) > 2500*time.Millisecond })
	back := time.Now()
	c.book.change(func() { c.book.away = false })
	c.becomes(t, "what was missed is written", func() bool {
		c.book.mu.Lock()
		defer c.book.mu.Unlock()
		for end := range c.book.history {
			if end.After(began) && end.Before(back.Add(-100*time.Millisecond)) {
				return true
			}
		}
		return false
	})
	stop()
	if last := c.book.last(); last.State != device.NodeStopped {
		t.Errorf("the last report says %s", last.State)
	}
	if c.entry(t).NodeID != "" {
		t.Error("it is still in Redis")
	}
	for end, w := range c.book.history {
		if w.NodeID != "c1" || w.Role != "consumer" || w.Work != work() || w.Pending != 2 || !slices.Equal(w.Groups, []int64{0, 1}) || end.Nanosecond() != 0 {
			t.Errorf("the window is %+v", w)
		}
	}
}

func TestMemberLeavesTheRowToWhoTookItsName(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	c := newClub(t, client, func(*cluster.MemberConfig) {})
	must(t, c.Join(t.Context()))
	must(t, client.Set(t.Context(), "pollux:node:consumer:c1", `{"token":"other","host":"elsewhere","pid":99}`, time.Minute).Err())
	if err := c.Run(t.Context()); !errors.Is(err, cluster.ErrTaken) {
		t.Errorf("it ended with %v", err)
	}
	if last := c.book.last(); last.State == device.NodeStopped {
		t.Errorf("it wrote into the row of the other: %+v", last)
	}
}

func TestMemberGivesTheNameBackWhenItCannotJoin(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	c := newClub(t, client, func(*cluster.MemberConfig) {})
	c.book.away = true
	if err := c.Join(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("joined: %v", err)
	}
	c.book.away = false
	must(t, newClub(t, client, func(*cluster.MemberConfig) {}).Join(t.Context()))
}

func TestMemberWithASkewedClockSaysSo(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	member, err := cluster.NewMember(cluster.MemberConfig{Info: node("producer", cluster.AutoID, 1)}, cluster.MemberDeps{
		Client: client, Rows: &book{}, Distributed: func() bool { return true },
		Clock: cluster.NewClock(client, quiet(), prometheus.NewRegistry()), Log: quiet(), // never synced
	})
	must(t, err)
	must(t, member.Join(t.Context()))
	nodes, err := cluster.List(t.Context(), client)
	if err != nil || len(nodes) != 1 || nodes[0].State != device.NodeSkewed || nodes[0].NodeID != "producer-1" || nodes[0].Groups != nil {
		t.Errorf("listed %+v, %v", nodes, err)
	}
	if member.NodeID() != "producer-1" || member.Role() != "producer" {
		t.Errorf("it is %s of role %s", member.NodeID(), member.Role())
	}
}

func TestRosterBringsRowsAndProcessesTogether(t *testing.T) {
	t.Parallel()
	seen := time.Unix(1795340000, 0)
	row := func(role, id, host string, pid int, age time.Duration) device.Node {
		return device.Node{Role: role, NodeID: id, Host: host, PID: pid, LastSeen: seen.Add(-age)}
	}
	live := func(role, id, host string, pid int, state device.NodeState) cluster.Node {
		return cluster.Node{Role: role, NodeID: id, Host: host, PID: pid, State: state, Seen: seen}
	}
	roster := cluster.Roster([]device.Node{
		row("consumer", "all", "h1", 1, time.Minute), row("consumer", "dead", "h2", 2, time.Hour), row("consumer", "moved", "h3", 3, time.Hour),
		row("consumer", "shared", "h4", 4, time.Minute), row("producer", "all", "h1", 1, 2*time.Minute), row("producer", "shared", "h5", 4, time.Minute),
	}, []cluster.Node{
		live("consumer", "all", "h1", 1, device.NodeDraining), live("consumer", "moved", "h6", 6, device.NodeActive), live("consumer", "new", "h7", 7, device.NodeSkewed),
		live("producer", "all", "h1", 1, device.NodeDrained), live("producer", "shared", "h5", 4, device.NodeActive),
	})
	var got []string
	for _, p := range roster {
		line := p.NodeID + " " + p.Host + " " + p.LastSeen.Sub(seen).String()
		for _, s := range p.Roles {
			line += " " + s.Row.Role + "=" + string(s.State())
		}
		got = append(got, line)
	}
	want := []string{
		"all h1 0s consumer=draining producer=drained", "dead h2 -1h0m0s consumer=inactive", "moved h6 0s consumer=active", "new h7 0s consumer=skewed",
		"shared h4 -1m0s consumer=inactive", "shared h5 0s producer=active",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLeftAloneNamesWhatNobodyDoes(t *testing.T) {
	t.Parallel()
	live := func(role, id string, state device.NodeState, groups ...int64) cluster.Node {
		return cluster.Node{Role: role, NodeID: id, State: state, Groups: groups}
	}
	roster := cluster.Roster([]device.Node{{Role: "consumer", NodeID: "dead"}, {Role: "consumer", NodeID: "ordered", Draining: true}}, []cluster.Node{
		live("consumer", "a", device.NodeActive, 0, 1, 2), live("consumer", "b", device.NodeActive, 1), live("consumer", "c", device.NodeDraining, 2),
		live("consumer", "ordered", device.NodeActive, 0), live("producer", "p", device.NodeActive), live("producer", "q", device.NodeDrained),
	})
	for id, want := range map[string]struct {
		groups []int64
		lead   bool
	}{"a": {[]int64{0, 2}, false}, "b": {nil, false}, "p": {nil, true}, "q": {nil, false}, "dead": {nil, false}} {
		for _, process := range roster {
			if process.NodeID != id {
				continue
			}
			if groups, lead := cluster.LeftAlone(roster, process.Roles[0]); !slices.Equal(groups, want.groups) || lead != want.lead {
				t.Errorf("without %s: %v, %t", id, groups, lead)
			}
		}
	}
}

func TestPendingCountsWhatWaits(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	must(t, client.LPush(t.Context(), "asynq:{poller:0}:pending", "a", "b", "c").Err())
	must(t, client.Set(t.Context(), "asynq:{poller:2}:pending", "no list", 0).Err())
	must(t, client.LPush(t.Context(), "asynq:{discovery:0}:pending", "d").Err())
	if got, err := cluster.Pending(t.Context(), client, tasks.KindDiscovery, []int64{0}); err != nil || !maps.Equal(got, map[int64]int64{0: 1}) {
		t.Errorf("discoveries: %v, %v", got, err)
	}
	got, err := cluster.Pending(t.Context(), client, tasks.KindPoller, []int64{0, 1, 2, 0})
	if want := map[int64]int64{0: 3, 1: 0, 2: 0}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = cluster.Pending(t.Context(), client, tasks.KindPoller, nil); err != nil || len(got) != 0 {
		t.Errorf("of no groups: %v, %v", got, err)
	}
	s.Kill()
	if _, err := cluster.Pending(t.Context(), client, tasks.KindPoller, []int64{0}); err == nil {
		t.Error("counted without Redis")
	}
}
