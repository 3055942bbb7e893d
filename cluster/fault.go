//go:build faultinject

package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// The build tag faultinject is for tests: no program that is installed is built
// with it. The environment says which faults a process has.
const (
	loseAcksVariable  = "FAULT_LOSE_ACKS"  // every n-th acknowledgement of a task is lost
	clockFileVariable = "FAULT_CLOCK_FILE" // file with the seconds by which the wall clock is off
)

var errLostAck = errors.New("lost on purpose")

// injectFaults adds the faults that the environment asks for.
func injectFaults(client redis.UniversalClient, log *slog.Logger) {
	every, err := strconv.ParseInt(os.Getenv(loseAcksVariable), 10, 64)
	if err == nil && every > 0 {
		client.AddHook(&lostAcks{every: every, log: log})
	}
}

// lostAcks fails every n-th call that would mark a task as completed, and does
// not send it: as a connection that breaks for good before the call.
type lostAcks struct {
	every int64
	seen  atomic.Int64
	log   *slog.Logger
}

func (l *lostAcks) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lostAcks) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *lostAcks) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		task, found := acknowledged(cmd)
		if !found || l.seen.Add(1)%l.every != 0 {
			return next(ctx, cmd)
		}
		l.log.Warn("an acknowledgement is lost on purpose", "task", task)
		cmd.SetErr(errLostAck)
		return errLostAck
	}
}

// acknowledged is the task that a call marks as completed: asynq's script (asynq
// v0.26.0, markAsCompleteCmd) has the keys active, lease, completed and the task's own.
func acknowledged(cmd redis.Cmder) (task string, found bool) {
	args := cmd.Args()
	if len(args) < 7 || !strings.HasPrefix(cmd.Name(), "eval") || !strings.HasSuffix(fmt.Sprint(args[5]), ":completed") {
		return "", false
	}
	_, task, found = strings.Cut(fmt.Sprint(args[6]), "}:t:")
	return task, found
}

// wallOf is what the wall clock of this process says at a moment.
func wallOf(now time.Time) time.Time {
	text, err := os.ReadFile(os.Getenv(clockFileVariable))
	if err != nil {
		return now.Round(0)
	}
	off, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return now.Round(0).Add(time.Duration(off) * time.Second)
}
