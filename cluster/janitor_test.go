package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"pollux/cluster"
	"pollux/polluxtest"
	"pollux/tasks"
)

const active, lease, taskKey = "asynq:{poller:0}:active", "asynq:{poller:0}:lease", "asynq:{poller:0}:t:"

// offer enqueues the poll of a device with asynq itself and returns the task's id.
func offer(t testing.TB, client redis.UniversalClient, device int64) string {
	t.Helper()
	task, err := tasks.Poll{DeviceID: device, Slot: 1795340000, Interval: 300}.Task(0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := asynq.NewClientFromRedisClient(client).Enqueue(task)
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

// take moves the oldest pending task of queue poller:0 to active as asynq's dequeue does, with a lease
// that ends at the given time: what a worker leaves that was killed.
func take(t testing.TB, client redis.UniversalClient, leaseEnd time.Time) string {
	t.Helper()
	id, err := client.RPopLPush(t.Context(), "asynq:{poller:0}:pending", active).Result()
	if err != nil {
		t.Fatal(err)
	}
	must(t, client.HSet(t.Context(), taskKey+id, "state", "active").Err())
	must(t, client.HDel(t.Context(), taskKey+id, "pending_since").Err())
	must(t, client.ZAdd(t.Context(), lease, redis.Z{Score: float64(leaseEnd.Unix()), Member: id}).Err())
	return id
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func janitor(client redis.UniversalClient) (*cluster.Janitor, *prometheus.Registry) {
	metrics := prometheus.NewRegistry()
	return cluster.NewJanitor(client, quiet(), metrics), metrics
}

// repairs reads the janitor's counter.
func repairs(t testing.TB, metrics *prometheus.Registry) (stuck, lost, undecodable float64) {
	t.Helper()
	read := func(kind string) float64 { return metric(t, metrics, "pollux_queue_repairs_total", "kind="+kind) }
	return read("stuck"), read("lost"), read("undecodable")
}

func TestJanitorFreesTasksWithoutALease(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	stuck := offer(t, client, 1)
	take(t, client, time.Now().Add(time.Minute))
	running := offer(t, client, 2)
	take(t, client, time.Now().Add(time.Minute))
	must(t, client.ZRem(ctx, lease, stuck).Err()) // a failover lost the lease
	must(t, client.SAdd(ctx, "asynq:queues", "email", "poller:x").Err())
	must(t, client.LPush(ctx, "asynq:{email}:active", "foreign").Err()) // another program's queue in the same Redis

	j, metrics := janitor(client)
	must(t, j.Sweep(ctx))
	if stuck, lost, undecodable := repairs(t, metrics); stuck+lost+undecodable != 0 || client.LLen(ctx, active).Val() != 2 {
		t.Errorf("one pass repaired %v, %v, %v", stuck, lost, undecodable)
	}
	if err := asynq.NewInspectorFromRedisClient(client).DeleteTask("poller:0", stuck); err == nil {
		t.Error("asynq itself can delete it: the janitor is not needed any more")
	}
	must(t, j.Sweep(ctx))
	if n, lost, undecodable := repairs(t, metrics); n != 1 || lost+undecodable != 0 {
		t.Errorf("two passes repaired %v, %v, %v", n, lost, undecodable)
	}
	if left := client.LRange(ctx, active, 0, -1).Val(); len(left) != 1 || left[0] != running {
		t.Errorf("active are %v, want %s", left, running)
	}
	if client.Exists(ctx, taskKey+running).Val() != 1 || client.LLen(ctx, "asynq:{email}:active").Val() != 1 {
		t.Error("it removed what is not its own")
	}
	if again := offer(t, client, 1); again != stuck { // the TaskID is free again
		t.Errorf("offered %s", again)
	}
}

func TestJanitorForgetsWhatGotItsLeaseBack(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	id := offer(t, client, 1)
	take(t, client, time.Now().Add(time.Minute))
	j, metrics := janitor(client)
	for range 3 { // never two passes in a row
		must(t, client.ZRem(ctx, lease, id).Err())
		must(t, j.Sweep(ctx))
		must(t, client.ZAdd(ctx, lease, redis.Z{Score: float64(time.Now().Add(time.Minute).Unix()), Member: id}).Err())
		must(t, j.Sweep(ctx))
	}
	if n, _, _ := repairs(t, metrics); n != 0 || client.LLen(ctx, active).Val() != 1 {
		t.Errorf("%v repaired", n)
	}
}

func TestJanitorKeepsATaskThatIsElsewhereToo(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	id := offer(t, client, 1)
	must(t, client.LPush(ctx, active, id).Err()) // active by the list, pending by its state
	j, metrics := janitor(client)
	must(t, j.Sweep(ctx))
	must(t, j.Sweep(ctx))
	if n, _, _ := repairs(t, metrics); n != 1 || client.LLen(ctx, active).Val() != 0 || client.Exists(ctx, taskKey+id).Val() != 1 {
		t.Errorf("%v repaired, the task must stay", n)
	}
}

func TestJanitorRemovesTasksThatAreGoneAndKeepsGoodOnes(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	past := time.Now().Add(-time.Minute)
	lost := offer(t, client, 1)
	take(t, client, past)
	must(t, client.Del(ctx, taskKey+lost).Err()) // evicted
	orphan := offer(t, client, 2)
	take(t, client, past)
	j, metrics := janitor(client)
	must(t, j.Sweep(ctx))
	if stuck, n, undecodable := repairs(t, metrics); n != 1 || stuck+undecodable != 0 {
		t.Errorf("repaired %v, %v, %v", stuck, n, undecodable)
	}
	if left := client.LRange(ctx, active, 0, -1).Val(); len(left) != 1 || left[0] != orphan || client.ZCard(ctx, lease).Val() != 1 {
		t.Errorf("active are %v, want %s, which asynq recovers", left, orphan)
	}
}

// runServer runs a real asynq server on queue poller:0, which sends the ids that it handled, and returns what it logs.
func runServer(t *testing.T, client redis.UniversalClient, handled chan<- string) *logbook {
	t.Helper()
	book := &logbook{}
	s := asynq.NewServerFromRedisClient(client, asynq.Config{
		Concurrency: 2, Queues: map[string]int{"poller:0": 1}, Logger: asynqLog{book}, LogLevel: asynq.WarnLevel,
		DelayedTaskCheckInterval: time.Second, RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
	})
	if err := s.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		handled <- id
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return book
}

// asynqLog collects what asynq logs.
type asynqLog struct{ book *logbook }

func (l asynqLog) Debug(args ...any) {}
func (l asynqLog) Info(args ...any)  {}
func (l asynqLog) Warn(args ...any)  { fmt.Fprintln(l.book, args...) }
func (l asynqLog) Error(args ...any) { fmt.Fprintln(l.book, args...) }
func (l asynqLog) Fatal(args ...any) { fmt.Fprintln(l.book, args...) }

func TestJanitorLetsAsynqRecoverAgain(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	past := time.Now().Add(-2 * time.Minute)
	poison := map[string]func(key string) error{
		"garbage":  func(key string) error { return client.HSet(ctx, key, "msg", "\xff\xff\xff").Err() },
		"not text": func(key string) error { return client.HSet(ctx, key, "msg", "\x0a\x02\xc3\x28").Err() },
		"huge":     func(key string) error { return client.HSet(ctx, key, "msg", strings.Repeat("\xff", 100<<10)).Err() },
		"no hash":  func(key string) error { return client.Set(ctx, key, "x", 0).Err() },
	}
	for id, write := range poison {
		must(t, write(taskKey+id))
		must(t, client.LPush(ctx, active, id).Err())
		must(t, client.ZAdd(ctx, lease, redis.Z{Score: float64(past.Unix()), Member: id}).Err())
	}
	orphan := offer(t, client, 2)
	take(t, client, past)

	handled := make(chan string, 10)
	book := runServer(t, client, handled) // its recoverer runs at once
	polluxtest.Eventually(t, 10*time.Second, "asynq's recovery stops at the poison", func() bool {
		return book.count("could not list lease expired") > 0
	})
	j, metrics := janitor(client)
	must(t, j.Sweep(ctx))
	if stuck, lost, n := repairs(t, metrics); n != float64(len(poison)) || stuck+lost != 0 {
		t.Errorf("repaired %v, %v, %v", stuck, lost, n)
	}
	if left := client.LRange(ctx, active, 0, -1).Val(); len(left) != 1 || left[0] != orphan {
		t.Errorf("active are %v, want %s", left, orphan)
	}
	if n := client.Exists(ctx, taskKey+"garbage", taskKey+"not text", taskKey+"huge", taskKey+"no hash").Val(); n != 0 {
		t.Errorf("%d poisonous tasks are left", n)
	}
	runServer(t, client, handled) // the first one looks again after a minute only
	select {
	case id := <-handled:
		if id != orphan {
			t.Errorf("recovered %s", id)
		}
	case <-time.After(20 * time.Second):
		t.Error("asynq does not recover the orphan")
	}
}

func TestJanitorLeavesAHealthyServerAlone(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	handled := make(chan string, 100)
	runServer(t, client, handled)
	j, metrics := janitor(client)
	for device := range int64(50) {
		offer(t, client, device+1)
		must(t, j.Sweep(t.Context()))
	}
	for range 50 {
		select {
		case <-handled:
		case <-time.After(20 * time.Second):
			t.Fatal("a task was not handled")
		}
	}
	if stuck, lost, undecodable := repairs(t, metrics); stuck+lost+undecodable != 0 {
		t.Errorf("repaired %v, %v, %v", stuck, lost, undecodable)
	}
}

func TestJanitorGoesOnAfterABrokenQueue(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	must(t, client.SAdd(ctx, "asynq:queues", "billing", "discovery:1").Err())
	must(t, client.Set(ctx, "asynq:{billing}:active", "not a list", 0).Err()) // billing comes before poller:0
	must(t, client.Set(ctx, "asynq:{discovery:1}:lease", "not a set", 0).Err())
	must(t, client.LPush(ctx, "asynq:{discovery:1}:active", "x").Err())
	offer(t, client, 1)
	id := take(t, client, time.Now().Add(-time.Minute))
	must(t, client.Del(ctx, taskKey+id).Err())
	j, metrics := janitor(client)
	if err := j.Sweep(ctx); err == nil || !strings.Contains(err.Error(), "billing") || !strings.Contains(err.Error(), "discovery:1") {
		t.Errorf("got %v", err)
	}
	if _, lost, _ := repairs(t, metrics); lost != 1 {
		t.Errorf("%v repaired", lost)
	}
}

func TestJanitorRunEndsWithItsContextAndReportsOutages(t *testing.T) {
	t.Parallel()
	s, client := server(t)
	j, _ := janitor(client)
	stop := background(t, j.Run)
	stop()
	s.Kill()
	if err := j.Sweep(t.Context()); err == nil {
		t.Error("a sweep without Redis succeeds")
	}
}

// TestDecodableAgreesWithAsynq mutates real messages and compares the verdict with asynq's own decoder.
func TestDecodableAgreesWithAsynq(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	id := offer(t, client, 1)
	good, err := client.HGet(ctx, taskKey+id, "msg").Bytes()
	must(t, err)
	headers := asynq.NewTaskWithHeaders("poll", []byte("{}"), map[string]string{"a": "b", "ü": "ö"})
	info, err := asynq.NewClientFromRedisClient(client).Enqueue(headers, asynq.Queue("poller:0"), asynq.Deadline(time.Now().Add(time.Hour)))
	must(t, err)
	rich, err := client.HGet(ctx, taskKey+info.ID, "msg").Bytes()
	must(t, err)

	inspector := asynq.NewInspectorFromRedisClient(client)
	random := rand.New(rand.NewPCG(1, 2))
	verdicts := map[bool]int{}
	for n := range 3000 {
		message := append([]byte(nil), [][]byte{good, rich}[n%2]...)
		if n > 1 { // the first two stay as they are
			for range 1 + random.IntN(2) {
				message[random.IntN(len(message))] = byte(random.Uint32())
			}
			if random.IntN(4) == 0 {
				message = message[:random.IntN(len(message)+1)]
			}
		}
		must(t, client.HSet(ctx, taskKey+id, "msg", message).Err())
		_, err := inspector.GetTaskInfo("poller:0", id)
		want, got := err == nil, cluster.Decodable(message)
		verdicts[want]++
		if got && !want {
			t.Errorf("%q counts as decodable, asynq says %v", message, err)
		}
		// Groups are the one difference: asynq's decoder skips a well-formed one. A mutation seldom makes one.
		if want && !got && !strings.ContainsAny(string(message), "\x03\x0b\x13\x1b\x23\x2b\x33\x3b\x43\x4b\x53\x5b\x63\x6b\x73\x7b") {
			t.Errorf("%q counts as undecodable, asynq decodes it", message)
		}
	}
	if verdicts[true] < 100 || verdicts[false] < 100 {
		t.Errorf("the mutations test one side only: %v", verdicts)
	}
}

func FuzzDecodable(f *testing.F) {
	f.Add([]byte("\x0a\x04poll\x12\x02{}\x1a\x0bpoll:1:1795"))
	f.Add([]byte("\x7a\x04\x0a\x00\x12\x00\x28\x01\x21aaaaaaaa\x25aaaa"))
	f.Add([]byte("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, message []byte) {
		whole := cluster.Decodable(message)
		if whole && !cluster.Decodable(append(message, message...)) {
			t.Error("two messages in a row are one message, by the encoding's definition")
		}
	})
}

func TestJanitorSaysOneLinePerKind(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	for device := range int64(30) {
		offer(t, client, device+1)
		id := take(t, client, time.Now().Add(-time.Minute))
		must(t, client.Del(t.Context(), taskKey+id).Err())
	}
	var book logbook
	must(t, cluster.NewJanitor(client, book.logger(), prometheus.NewRegistry()).Sweep(t.Context()))
	if n := book.count("msg="); n != 1 || book.count("kind=lost entries=30 first_queue=poller:0 first_task=poll:") != 1 {
		t.Errorf("%d lines: %s", n, book.text.String())
	}
}

func TestAbandonedTasksGo(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	now := time.Now()
	for device := range int64(5) {
		offer(t, client, device+1)
	}
	dead, lost, alive := take(t, client, now.Add(-2*time.Minute)), take(t, client, now), take(t, client, now.Add(30*time.Second))
	must(t, client.ZRem(ctx, lease, lost).Err())
	if left, err := cluster.Abandon(ctx, client, "poller:0", now.Add(-time.Minute)); err != nil || left != 1 {
		t.Errorf("%d are left, %v", left, err)
	}
	if ids := client.LRange(ctx, active, 0, -1).Val(); len(ids) != 1 || ids[0] != alive {
		t.Errorf("active are %v, want %s", ids, alive)
	}
	if n := client.Exists(ctx, taskKey+dead, taskKey+lost).Val(); n != 0 || client.Exists(ctx, taskKey+alive).Val() != 1 || client.ZCard(ctx, lease).Val() != 1 {
		t.Error("the wrong tasks are gone")
	}
	if n := client.LLen(ctx, "asynq:{poller:0}:pending").Val(); n != 2 {
		t.Errorf("%d tasks wait, want 2", n)
	}
	if left, err := cluster.Abandon(ctx, client, "poller:9", now); err != nil || left != 0 {
		t.Errorf("a queue that does not exist: %d, %v", left, err)
	}
}
