package consumer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/tasks"
)

// childVariable makes this test binary a node that takes a task and never finishes it.
const childVariable = "POLLUX_TEST_CONSUMER_OF"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	hang := func(context.Context, *asynq.Task) error {
		fmt.Println("taken")
		select {}
	}
	server := asynq.NewServerFromRedisClient(redis.NewClient(&redis.Options{Addr: os.Getenv(childVariable)}), asynq.Config{Queues: map[string]int{"poller:0": 1}})
	if err := server.Start(asynq.HandlerFunc(hang)); err != nil {
		fmt.Println(err)
	}
	select {}
}

// killHolder lets a node take a task and kills it; asynq's lease of the task
// is then set back instead of waited for, so that the next node recovers it at its start.
func killHolder(t *testing.T, address string, client redis.UniversalClient, p tasks.Poll) {
	t.Helper()
	enqueue(t, client, 0, p)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(executable)
	child.Env = append(os.Environ(), childVariable+"="+address)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	taken := make([]byte, 5)
	_, readErr := output.Read(taken)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	if readErr != nil || string(taken) != "taken" {
		t.Fatalf("the child says %q, %v", taken, readErr)
	}
	if n := queue(t, client, "poller:0").Active; n != 1 {
		t.Fatalf("%d tasks are active", n)
	}
	long := float64(time.Now().Add(-5 * time.Minute).Unix())
	if err := client.ZAddXX(t.Context(), "asynq:{poller:0}:lease", redis.Z{Score: long, Member: p.ID()}).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledNodeCostsNoSlot: what a killed node held is polled by another one once asynq's lease is over.
func TestKilledNodeCostsNoSlot(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	client := connect(t, server)
	killHolder(t, server.Address, client, tasks.Poll{DeviceID: 1, Slot: time.Now().Unix(), Interval: 300})
	r := newRig(t, 300, client)
	r.start(t)
	polluxtest.Eventually(t, patience, "another node polls the slot", func() bool { return r.outcomes(t)["up"] == 1 })
	polluxtest.Eventually(t, patience, "the task is done", func() bool { return queue(t, client, "poller:0").Completed == 1 })
}

// TestRecoveredTaskMayBeHandedBack: asynq archives a task that has no retry
// left when it is handed back too, and the recovery has used up one.
func TestRecoveredTaskMayBeHandedBack(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	client := connect(t, server)
	p := tasks.Poll{DeviceID: 1, Slot: time.Now().Unix(), Interval: 300}
	killHolder(t, server.Address, client, p)
	r := newRig(t, 300, client)
	r.journal.last[1] = journal.Last{Slot: p.Slot - 300, Outcome: device.OutcomeDown}
	for r.probes.tryEnter() { // all are taken
	}
	r.start(t)
	inspector := asynq.NewInspectorFromRedisClient(client)
	polluxtest.Eventually(t, patience, "the task is handed back", func() bool {
		info, err := inspector.GetTaskInfo("poller:0", p.ID())
		return err == nil && info.LastErr == errProbesBusy.Error()
	})
	r.probes.leave()
	polluxtest.Eventually(t, patience, "the slot is polled", func() bool {
		if n := queue(t, client, "poller:0").Archived; n != 0 {
			t.Fatalf("%d tasks are archived", n)
		}
		return r.outcomes(t)["up"] == 1
	})
}

// TestRedisAwayForAMoment: the server goes on by itself after an outage.
func TestRedisAwayForAMoment(t *testing.T) {
	t.Parallel()
	server := polluxtest.Redis(t)
	client := connect(t, server)
	r := newRig(t, 60, client)
	r.start(t)
	now := r.clock.Now().Unix()
	enqueue(t, client, 0, tasks.Poll{DeviceID: 1, Slot: now, Interval: 60})
	polluxtest.Eventually(t, patience, "device 1 is polled", func() bool { return r.polls(1) == 1 })
	server.Kill()
	server.Start()
	polluxtest.Eventually(t, patience, "Redis takes a task", func() bool {
		task, err := tasks.Poll{DeviceID: 2, Slot: now, Interval: 60}.Task(0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = asynq.NewClientFromRedisClient(client).Enqueue(task)
		return err == nil
	})
	polluxtest.Eventually(t, patience, "device 2 is polled", func() bool { return r.polls(2) == 1 })
}
