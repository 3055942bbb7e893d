package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/config"
)

// followEvery is how often a client asks who the master is. A question to three
// Sentinels costs as much as three commands; being told by one of them of a
// switch would show what that one believes, and nothing when it is cut off.
const followEvery = time.Second

// followingClient is a client of the master that most Sentinels name.
type followingClient struct {
	*redis.Client
	follower *follower
}

// follow makes a client that dials whom most of the Sentinels name. The
// library's own failover client follows the first Sentinel that answers, which
// may be one that is cut off together with a former master.
func follow(c config.Redis, options *redis.Options, dialer dialFunc, log *slog.Logger) *followingClient {
	f := newFollower(c, dialer, log)
	options.Network, options.Addr, options.Dialer = "tcp", c.SentinelService, f.dialMaster
	return &followingClient{Client: redis.NewClient(options), follower: f}
}

// Plain is the library's own client, for a library that asks for its type.
func (c *followingClient) Plain() *redis.Client { return c.Client }

// Close ends the connections to Redis and to the Sentinels.
func (c *followingClient) Close() error {
	err := c.Client.Close()
	c.follower.close()
	return err
}

// follower knows the master that most Sentinels name, and keeps the client's
// connections to that one only.
//
// What they agreed on counts until they agree on another one, also while they
// do not agree or do not answer: a master that works must not be left because
// Sentinels are down. When it cannot be dialled they are asked before the next
// try. When it says that it is no master, or lacks the replicas without which it
// refuses writes, they must agree on it again; else all connections end, for it may be cut
// off together with this process, and answers with what is true no more.
type follower struct {
	sentinels *sentinels
	dial      dialFunc
	log       *slog.Logger
	stop      context.CancelFunc
	work      sync.WaitGroup

	mu      sync.Mutex
	master  string // whom to follow; "" for nobody
	known   string // whom they agreed on last
	failed  bool   // it could not be dialled since
	doubted bool   // it said that it is no master to follow since
	unled   bool   // they do not agree, and that was said
	closed  bool
	asking  *question // the one under way
	open    map[*followed]struct{}
}

// question is one question to all Sentinels, whose answer all that need it share.
type question struct {
	done   chan struct{}
	master string
	err    error
}

func newFollower(c config.Redis, dialer dialFunc, log *slog.Logger) *follower {
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{sentinels: newSentinels(c, dialer), dial: dialer, log: log, stop: stop, open: map[*followed]struct{}{}}
	f.work.Go(func() { f.watch(ctx) })
	return f
}

// watch asks again and again, so that a change of the master is noticed by a client whose connections hang or are idle.
func (f *follower) watch(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = f.ask(ctx) // settle has dealt with the answer
		}
	}
}

func (f *follower) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.sentinels.hangUp()
	f.work.Wait() // before the questions to single ones, which it asks
	f.sentinels.asking.Wait()
}

// dialMaster is the client's dialler; the address that it is given means nothing.
func (f *follower) dialMaster(ctx context.Context, network, _ string) (net.Conn, error) {
	for {
		master, err := f.current(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := f.dial(ctx, network, master)
		if err != nil {
			f.note(master, &f.failed)
			return nil, err
		}
		if kept, ok := f.keep(conn, master); ok {
			return kept, nil
		}
		_ = conn.Close() // the master changed meanwhile
	}
}

// current is whom to dial now.
func (f *follower) current(ctx context.Context) (string, error) {
	f.mu.Lock()
	master, sure := f.master, f.master != "" && !f.failed && !f.doubted && !f.closed
	f.mu.Unlock()
	if sure {
		return master, nil
	}
	agreed, err := f.ask(ctx)
	if err == nil {
		return agreed, nil
	}
	// A master that was away for a moment while Sentinels are down is dialled
	// again: when it is cut off it refuses writes, and by that is doubted.
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.master != "" && !f.doubted && !f.closed {
		return f.master, nil
	}
	return "", err
}

// ask asks the Sentinels, or waits for a question that is under way.
func (f *follower) ask(ctx context.Context) (master string, err error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return "", redis.ErrClosed
	}
	q := f.asking
	if q == nil {
		q = &question{done: make(chan struct{})}
		f.asking = q
		f.work.Go(func() {
			defer close(q.done)
			q.master, q.err = f.sentinels.ask(context.Background()) // others wait for it too; it ends by its own timeout
			f.settle(q)
		})
	}
	f.mu.Unlock()
	select {
	case <-q.done:
		return q.master, q.err
	case <-ctx.Done():
		return "", fmt.Errorf("ask the Sentinels for the master: %w", ctx.Err())
	}
}

// settle takes over an answer, and ends the connections to any other server.
func (f *follower) settle(q *question) {
	f.mu.Lock()
	f.asking = nil
	former := f.known
	switch {
	case q.err == nil:
		f.master, f.known, f.failed, f.doubted = q.master, q.master, false, false
	case f.doubted:
		f.master = ""
	}
	left := f.others()
	turned := f.unled != (q.err != nil) && !f.closed
	f.unled = q.err != nil
	f.mu.Unlock()
	for _, conn := range left {
		_ = conn.Close()
	}
	switch {
	case q.err == nil && former != "" && former != q.master:
		f.log.Info("the Sentinels name another master of Redis", "master", q.master, "former", former)
	case q.err == nil && turned && former != "":
		f.log.Info("enough Sentinels agree on the master of Redis again", "master", q.master)
	case q.err != nil && turned && former != "":
		f.log.Warn("too few Sentinels agree on the master of Redis", "reason", printable(q.err.Error()))
	}
}

// note notes something about a master, unless another one is followed by now.
func (f *follower) note(master string, what *bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.master == master {
		*what = true
	}
}

// doubtful are the beginnings of replies by which a server says that it is no
// master, or one that has lost its replicas: then it may be cut off.
var doubtful = []string{"NOREPLICAS ", "READONLY "}

// DialHook implements redis.Hook; dialMaster sees what fails there.
func (f *follower) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (f *follower) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		asked := f.following()
		err := next(ctx, cmd)
		f.judge(asked, err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (f *follower) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		asked := f.following()
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			f.judge(asked, cmd.Err())
		}
		return err
	}
}

// judge looks whether a reply gives reason for doubt. asked was followed when
// the command was sent: a late reply of a former master says nothing of the new one.
func (f *follower) judge(asked string, err error) {
	if begins(err, doubtful) {
		f.note(asked, &f.doubted)
	}
}

// following is whom the client follows now; "" for nobody.
func (f *follower) following() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.master
}
