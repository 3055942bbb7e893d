package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"pollux/ops"
)

// retryStart is the time between two attempts to start.
const retryStart = 5 * time.Second

// errStarting is what /readyz says until the first attempt has ended.
var errStarting = errors.New("the process is starting")

// keepTrying is the life of a process with one role that does not end because
// its start fails: it says why in its log and in /readyz, so that whoever looks
// after it (a container's health check) can tell, and goes on when it is mended.
func (p *program) keepTrying(ctx context.Context, r roleParts) error {
	waiting, listening := context.WithCancel(ctx)
	defer listening()
	var failure atomic.Pointer[error]
	failure.Store(&errStarting)
	c, _ := p.boot() // without one that can be read, at the role's own address; the attempt tells of the error
	log := p.logger(c.LogLevel)
	server := ops.New(ops.Config{
		Listen: cmp.Or(c.OpsListen, r.listen), Hosts: c.OpsHosts, Gatherer: newMetrics(),
		Checks: []ops.Check{{Name: "start", Run: func(context.Context) error { return *failure.Load() }}},
	}, slog.New(slog.DiscardHandler)) // the listener that counts is logged later
	served := make(chan error, 1)
	go func() {
		defer close(served)
		served <- server.Run(waiting)
	}()
	n, err := p.attempts(ctx, r, log, &failure, served)
	listening()
	if err != nil {
		return err
	}
	if err := <-served; err != nil || n == nil {
		if n != nil {
			err = errors.Join(err, n.close())
		}
		return err
	}
	return n.runRole(ctx, r)
}

// attempts tries to make the process until that succeeds. Its node is nil when ctx ended before.
func (p *program) attempts(ctx context.Context, r roleParts, log *slog.Logger, failure *atomic.Pointer[error], served <-chan error) (*node, error) {
	told := ""
	var seldom ops.Seldom
	for {
		n, err := p.openRole(ctx, r, 0)
		if err == nil {
			return n, nil
		}
		if ctx.Err() != nil {
			return nil, nil //nolint:nilnil // told to end before there was a node, which is no failure
		}
		text := plain(err.Error())
		err = errors.New(text)
		failure.Store(&err)
		if text != told {
			if _, due := seldom.Note(time.Now()); due {
				log.Error("cannot start; trying again until the cause is mended", "every", retryStart.String(), "reason", text)
				told = text
			}
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as above
		case err := <-served:
			return nil, err
		case <-time.After(retryStart):
		}
	}
}
