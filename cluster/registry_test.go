package cluster_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/device"
	"pollux/polluxtest"
)

// node describes a process for tests.
func node(role, id string, pid int) cluster.NodeInfo {
	return cluster.NodeInfo{
		Role: role, NodeID: id, Host: "host-" + id, PID: pid, Version: "1.2.3", Started: time.Unix(1795340000, 0),
		Groups: func() []int64 { return []int64{0, 7} },
		Status: func() cluster.Status {
			return cluster.Status{State: device.NodeDraining, Leader: true, Work: []device.Work{work()}}
		},
		Keys: []string{"0123abcd"},
	}
}

// work is what a node did, in whole milliseconds, as entries have it.
func work() device.Work {
	return device.Work{
		Kind: "poller", Workers: 100, Window: 5 * time.Minute, Done: 3, Errors: 1, Busy: 1500 * time.Millisecond, Capacity: 500 * time.Minute,
		LatenessMean: 20 * time.Millisecond, LatenessMax: time.Second, DoneTotal: 30, ErrorsTotal: 10, BusyTotal: time.Hour,
	}
}

func registry(t testing.TB, client redis.UniversalClient, info cluster.NodeInfo) *cluster.Registry {
	t.Helper()
	r, err := cluster.NewRegistry(client, info, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistryListsLiveNodes(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	if nodes, err := cluster.List(ctx, client); err != nil || len(nodes) != 0 {
		t.Errorf("an empty Redis has %v, %v", nodes, err)
	}
	first := registry(t, client, node("consumer", "b", 11))
	for _, r := range []*cluster.Registry{first, registry(t, client, node("consumer", "a", 12)), registry(t, client, node("producer", "a", 13))} {
		if err := r.Register(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for range 3000 { // other keys, so that the scan needs several calls
		if err := client.Incr(ctx, "asynq:filler:"+time.Now().String()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range map[string]string{ // what others may have put there
		"pollux:node:consumer:broken": "{", "pollux:node:odd": "{}", "pollux:node:consumer:sp ace": "{}",
		"pollux:node:consumer:hostile": `{"host":"\u001b[2Jx","pid":1,"state":"\u001b[2J","work":[{"kind":"\u001b[2J","workers":-1,"busy":9223372036854775807,"done":-5},` +
			strings.Repeat(`{},`, 100) + `{}]}`,
	} {
		if err := client.Set(ctx, key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.LPush(ctx, "pollux:node:consumer:list", "x").Err(); err != nil {
		t.Fatal(err)
	}
	nodes, err := cluster.List(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Role+"/"+n.NodeID)
	}
	if want := []string{"consumer/a", "consumer/b", "consumer/hostile", "producer/a"}; !slices.Equal(names, want) {
		t.Fatalf("got %v, want %v", names, want)
	}
	b := nodes[1]
	if b.Host != "host-b" || b.PID != 11 || b.Version != "1.2.3" || !b.Started.Equal(time.Unix(1795340000, 0)) ||
		!slices.Equal(b.Groups, []int64{0, 7}) || b.Token == "" || !slices.Equal(b.Keys, []string{"0123abcd"}) ||
		b.State != device.NodeDraining || !b.Leader || !slices.Equal(b.Work, []device.Work{work()}) {
		t.Errorf("got %+v", b)
	}
	if age := time.Since(b.Seen); age < 0 || age > time.Minute {
		t.Errorf("seen %v ago", age)
	}
	hostile := nodes[2]
	if strings.Contains(fmt.Sprintf("%+v", hostile), "\x1b") || hostile.State != device.NodeActive || len(hostile.Work) > 8 {
		t.Errorf("what another process wrote comes through: %q", fmt.Sprintf("%+v", hostile))
	}
	if w := hostile.Work[0]; w.Workers != 0 || w.Busy < 0 || w.Done != 0 || w.Capacity != 0 {
		t.Errorf("what cannot be comes through: %+v", w)
	}
	if left := client.PTTL(ctx, "pollux:node:consumer:b").Val(); left < 10*time.Second || left > 15*time.Second {
		t.Errorf("the entry lasts %v", left)
	}
}

func TestRegistryRefusesATakenNodeID(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	if err := registry(t, client, node("consumer", "a", 11)).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := registry(t, client, node("consumer", "a", 22))
	second.Hurry(time.Second, 100*time.Millisecond)
	err := second.Register(t.Context())
	if !errors.Is(err, cluster.ErrTaken) || !strings.Contains(err.Error(), "host host-a, pid 11") {
		t.Errorf("got %v", err)
	}
	if err := registry(t, client, node("producer", "a", 33)).Register(t.Context()); err != nil {
		t.Errorf("the same name in another role: %v", err)
	}
}

func TestRegistryTakesOverFromAKilledProcess(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	killed := registry(t, client, node("consumer", "a", 11))
	if err := killed.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It was killed some time ago: its entry still stands, but not for long.
	if err := client.PExpire(t.Context(), "pollux:node:consumer:a", 1500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	restarted := registry(t, client, node("consumer", "a", 22))
	if err := restarted.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	nodes, err := cluster.List(t.Context(), client)
	if err != nil || len(nodes) != 1 || nodes[0].PID != 22 {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

func TestRegistryHeartbeatsAndLeaves(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	var mu sync.Mutex
	groups := []int64{1}
	info := node("consumer", "a", 11)
	info.Groups = func() []int64 {
		mu.Lock()
		defer mu.Unlock()
		return groups
	}
	r := registry(t, client, info)
	r.Hurry(50*time.Millisecond, time.Second)
	if err := r.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := background(t, r.Run)
	mu.Lock()
	groups = []int64{2, 3}
	mu.Unlock()
	is := func(want ...int64) func() bool {
		return func() bool {
			nodes, err := cluster.List(t.Context(), client)
			return err == nil && len(nodes) == 1 && slices.Equal(nodes[0].Groups, want)
		}
	}
	polluxtest.Eventually(t, 10*time.Second, "new groups are shown", is(2, 3))
	if err := client.Del(t.Context(), "pollux:node:consumer:a").Err(); err != nil {
		t.Fatal(err)
	}
	polluxtest.Eventually(t, 10*time.Second, "a lost entry comes back", is(2, 3))
	stop()
	if nodes, err := cluster.List(t.Context(), client); err != nil || len(nodes) != 0 {
		t.Errorf("after the end there are %v, %v", nodes, err)
	}
}

func TestRegistryShowsAChangeAtOnce(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	var state atomic.Value
	state.Store(device.NodeActive)
	info := node("consumer", "a", 11)
	info.Status = func() cluster.Status { return cluster.Status{State: state.Load().(device.NodeState)} }
	r := registry(t, client, info)
	r.Hurry(time.Hour, time.Second)
	must(t, r.Register(t.Context()))
	background(t, r.Run)
	state.Store(device.NodeDrained)
	r.Refresh()
	polluxtest.Eventually(t, 10*time.Second, "the new state is shown", func() bool {
		nodes, err := cluster.List(t.Context(), client)
		return err == nil && len(nodes) == 1 && nodes[0].State == device.NodeDrained
	})
}

func TestRegistryEndsWhenItsNameWasTakenMeanwhile(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	r := registry(t, client, node("consumer", "a", 11))
	r.Hurry(50*time.Millisecond, time.Second)
	if err := r.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "pollux:node:consumer:a", `{"token":"other","host":"elsewhere","pid":99}`, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); !errors.Is(err, cluster.ErrTaken) || !strings.Contains(err.Error(), "host elsewhere, pid 99") {
		t.Errorf("got %v", err)
	}
	if n := client.Exists(t.Context(), "pollux:node:consumer:a").Val(); n != 1 {
		t.Error("it removed the entry of the other")
	}
}

func TestRegistrySurvivesAnOutage(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	var book logbook
	r, err := cluster.NewRegistry(client, node("consumer", "a", 11), book.logger())
	if err != nil {
		t.Fatal(err)
	}
	r.Hurry(50*time.Millisecond, time.Second)
	if err := r.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	background(t, r.Run)
	s.Kill()
	polluxtest.Eventually(t, 20*time.Second, "the outage is logged", func() bool { return book.count("does not reach Redis") == 1 })
	s.Start()
	polluxtest.Eventually(t, 20*time.Second, "it is back", func() bool {
		nodes, err := cluster.List(t.Context(), client)
		return err == nil && len(nodes) == 1 && book.count("reaches Redis again") == 1
	})
}

func TestNodesLiveOnWhileRedisIsFull(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	r := registry(t, client, node("consumer", "a", 11))
	r.Hurry(50*time.Millisecond, time.Second)
	must(t, r.Register(ctx))
	held := cluster.NewLease(client, cluster.LeaderKey, "a", time.Minute)
	if ok, err := held.TryAcquire(ctx); err != nil || !ok {
		t.Fatal(ok, err)
	}
	must(t, cluster.EnsureID(ctx, client, "c1"))
	must(t, client.ConfigSet(ctx, "maxmemory", "1").Err())
	if ok, err := held.TryAcquire(ctx); err != nil || !ok {
		t.Errorf("the leader cannot renew: %v, %v", ok, err)
	}
	if err := cluster.EnsureID(ctx, client, "c1"); err != nil {
		t.Errorf("a node cannot start: %v", err)
	}
	must(t, client.PExpire(ctx, "pollux:node:consumer:a", 2*time.Second).Err())
	background(t, r.Run)
	polluxtest.Eventually(t, 10*time.Second, "the entry is renewed", func() bool {
		return client.PTTL(ctx, "pollux:node:consumer:a").Val() > 10*time.Second
	})
	if err := registry(t, client, node("consumer", cluster.AutoID, 12)).Register(ctx); !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("a new node: %v", err)
	}
}

func TestRegistryFindsANameByItself(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	var mu sync.Mutex
	var names []string
	var group sync.WaitGroup
	for pid := range 5 {
		group.Go(func() {
			r := registry(t, client, node("consumer", cluster.AutoID, pid))
			if err := r.Register(t.Context()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			names = append(names, r.NodeID())
		})
	}
	group.Wait()
	slices.Sort(names)
	if want := []string{"consumer-1", "consumer-2", "consumer-3", "consumer-4", "consumer-5"}; !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
	if err := client.Del(t.Context(), "pollux:node:consumer:consumer-2").Err(); err != nil {
		t.Fatal(err)
	}
	r := registry(t, client, node("consumer", cluster.AutoID, 9))
	if err := r.Register(t.Context()); err != nil || r.NodeID() != "consumer-2" {
		t.Errorf("the lowest free name is %s, %v", r.NodeID(), err)
	}
}

// A container that is started again after a crash has the host name and the pid
// that it had: it takes its own name again, and leaves that of one who lives.
func TestRegistryFindsItsOwnNameAgain(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	replica := func(host string) *cluster.Registry {
		info := node("consumer", cluster.AutoID, 1)
		info.Host = host
		r := registry(t, client, info)
		r.Hurry(100*time.Millisecond, time.Second)
		return r
	}
	for _, host := range []string{"one", "two", "three"} {
		must(t, replica(host).Register(t.Context()))
	}
	must(t, client.Del(t.Context(), "pollux:node:consumer:consumer-1").Err())
	must(t, client.PExpire(t.Context(), "pollux:node:consumer:consumer-2", 500*time.Millisecond).Err()) // it was killed 14.5 s ago
	again := replica("two")
	if err := again.Register(t.Context()); err != nil || again.NodeID() != "consumer-2" {
		t.Errorf("started again it is %s, %v", again.NodeID(), err)
	}
	living := replica("three")
	if err := living.Register(t.Context()); err != nil || living.NodeID() != "consumer-1" {
		t.Errorf("beside one that lives it is %s, %v", living.NodeID(), err)
	}
}

// A consumer serves at most 1,000 groups; their entry stays within its bound.
func TestRegistryTakesANodeWithManyGroups(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	many := make([]int64, 1000)
	for i := range many {
		many[i] = int64(9000 + i)
	}
	info := node("consumer", strings.Repeat("n", 64), 11)
	info.Groups = func() []int64 { return many }
	must(t, registry(t, client, info).Register(t.Context()))
	nodes, err := cluster.List(t.Context(), client)
	if err != nil || len(nodes) != 1 || !slices.Equal(nodes[0].Groups, many) || len(nodes[0].Work) != 1 {
		t.Errorf("listed %+v, %v", nodes, err)
	}
}

func TestRegistryRefusesMalformedNames(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "a b", "a:b", "ä", strings.Repeat("x", 65), "a\n"} {
		if _, err := cluster.NewRegistry(nil, node("consumer", id, 1), quiet()); !errors.Is(err, cluster.ErrNodeID) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := cluster.NewRegistry(nil, node("con:sumer", "a", 1), quiet()); !errors.Is(err, cluster.ErrNodeID) {
		t.Errorf("role: %v", err)
	}
}

func TestEnsureIDKeepsTwoClustersApart(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	const mine, other = "c0123456789abcdef01", "cfedcba98765432100f"
	if err := cluster.SameID(t.Context(), client, other); !errors.Is(err, cluster.ErrUnclaimed) || !strings.Contains(err.Error(), s.Address) || client.Exists(t.Context(), "pollux:cluster").Val() != 0 {
		t.Errorf("a look at an empty Redis: %v", err)
	}
	for range 2 {
		if err := cluster.EnsureID(t.Context(), client, mine); err != nil {
			t.Fatal(err)
		}
	}
	err := cluster.EnsureID(t.Context(), client, other)
	if !errors.Is(err, cluster.ErrOtherCluster) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{mine, other, s.Address} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s is not named: %v", part, err)
		}
	}
	if err := cluster.SameID(t.Context(), client, mine); err != nil {
		t.Errorf("a look: %v", err)
	}
	if err := cluster.SameID(t.Context(), client, other); !errors.Is(err, cluster.ErrOtherCluster) {
		t.Errorf("a look with another id: %v", err)
	}
	if err := cluster.EnsureID(t.Context(), client, ""); err == nil {
		t.Error("an empty id is accepted")
	}
	s.Kill()
	if err := cluster.EnsureID(t.Context(), client, mine); err == nil || errors.Is(err, cluster.ErrOtherCluster) {
		t.Errorf("without Redis: %v", err)
	}
}
