package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/polluxtest"
	"pollux/tasks"
)

// TestQueueClearShowsWhatItDeletes logs in as the packaged user. Types and errors of tasks may be anybody's.
func TestQueueClearShowsWhatItDeletes(t *testing.T) {
	t.Parallel()
	redis := polluxtest.PackagedRedis(t, 0)
	s := migrated(t, "REDIS_SOCKET="+redis.Socket, "REDIS_USERNAME=pollux", "REDIS_PASSWORD="+polluxtest.PolluxPassword)
	login := asynq.RedisClientOpt{Network: "unix", Addr: redis.Socket, Username: "pollux", Password: polluxtest.PolluxPassword}
	client, inspector := asynq.NewClient(login), asynq.NewInspector(login)
	defer client.Close()
	defer inspector.Close()
	ours, err := tasks.Poll{DeviceID: 7, Slot: time.Now().Unix(), Interval: 300}.Task(0)
	if err != nil {
		t.Fatal(err)
	}
	enqueue := func(task *asynq.Task, options ...asynq.Option) {
		t.Helper()
		if _, err := client.Enqueue(task, options...); err != nil {
			t.Fatal(err)
		}
	}
	enqueue(ours)
	for range 12 {
		enqueue(asynq.NewTask("evil\x1b[2J\ntype", []byte("a payload")), asynq.Queue("poller:0"))
	}
	server := asynq.NewServer(login, asynq.Config{Queues: map[string]int{"poller:0": 1}, Concurrency: 1, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		return errors.Join(errors.New("\x1b]0;boom\nagain "+strings.Repeat("x", 5000)), asynq.SkipRetry)
	})); err != nil {
		t.Fatal(err)
	}
	polluxtest.Eventually(t, time.Minute, "all tasks failed", func() bool {
		info, err := inspector.GetQueueInfo("poller:0")
		return err == nil && info.Archived == 13
	})
	server.Shutdown()

	out := s.spawn("queue", "clear", "poller:0").works()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 12 || lines[0] != "poller:0: 13 failed tasks deleted" || lines[11] != "  and 3 more" {
		t.Errorf("it says %q", lines)
	}
	for _, line := range lines[1:11] {
		if !regexp.MustCompile(`^  (poll:7:\d+|evil\?\[2J type [0-9a-f-]{36}) failed \d+m?\d*s ago: \?\]0;boom again x+$`).MatchString(line) || len(line) > 700 || strings.Contains(line, "payload") {
			t.Errorf("it says %q", line)
		}
	}
	if told := s.events("queue"); !slices.Equal(told, []string{"- queue poller:0 cleared of 13 failed tasks"}) {
		t.Errorf("events: %q", told)
	}
	if info, err := inspector.GetQueueInfo("poller:0"); err != nil || info.Archived != 0 || info.Size != 0 {
		t.Errorf("left are %+v, %v", info, err)
	}
}
