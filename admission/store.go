package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

// Add asks a device and stores it.
func (a *Admission) Add(ctx context.Context, r Request) (Asked, error) {
	asked, err := a.Ask(ctx, r)
	if err != nil {
		return asked, err
	}
	asked.Device, err = a.Store(ctx, asked)
	return asked, err
}

// Store compares a device once more and stores it, with the ports that were
// read, so that its first slot already measures them. Of two devices that are twins
// the second one is refused, whenever they were asked. With DryRun it is only remembered.
func (a *Admission) Store(ctx context.Context, asked Asked) (device.Device, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.compare(ctx, asked); err != nil {
		return asked.Device, err
	}
	if a.dryRun {
		if asked.poll != nil {
			asked.poll = &device.Poll{Facts: asked.poll.Facts} // its ports are compared with nothing
		}
		a.planned = append(a.planned, asked)
		return asked.Device, nil
	}
	added, err := a.store.AddDevice(ctx, asked.Device)
	if err != nil || asked.poll == nil {
		return added, err
	}
	poll := *asked.poll
	// A minute back, so that the first poll is newer even if this machine's clock is a little ahead.
	poll.DeviceID, poll.At = added.ID, time.Now().Add(-time.Minute)
	if err := a.store.SavePoll(ctx, poll); err != nil {
		return added, fmt.Errorf("the device is added; what was read of it comes with its first poll: %w", err)
	}
	return a.store.Device(ctx, added.ID)
}

// compare refuses a twin of what is stored by now, or would have been.
func (a *Admission) compare(ctx context.Context, asked Asked) error {
	if !asked.force {
		if err := a.agentTwin(ctx, asked); err != nil {
			return err
		}
		if err := a.sysNameTwin(ctx, asked); err != nil {
			return err
		}
	}
	for _, other := range a.planned {
		if strings.EqualFold(other.Device.Hostname, asked.Device.Hostname) {
			return fmt.Errorf("%w: %s", store.ErrDuplicate, other.Device.Hostname)
		}
		if by := a.alike(asked, other); by != "" && !asked.force {
			return &TwinError{Twin: other.Device, By: by}
		}
	}
	return nil
}

// alike says what a device has in common with one that would have been stored; "" for nothing.
func (a *Admission) alike(asked, other Asked) string {
	d, o := asked.Device, other.Device
	oneHost := slices.ContainsFunc(asked.hosts, func(host string) bool {
		return slices.ContainsFunc(other.hosts, func(h string) bool { return strings.EqualFold(h, host) })
	})
	icmp := d.PingOnly || o.PingOnly
	if oneHost && (icmp || d.Port == o.Port && d.Credentials.ContextName() == o.Credentials.ContextName()) {
		return agentName(d, asked.hosts)
	}
	if name := asked.sysName(); name != "" && strings.EqualFold(name, other.sysName()) && !a.values.Bool(settings.KeyDuplicateSysName) {
		return fmt.Sprintf("the sysName %.80q", name)
	}
	return ""
}

// Result is what became of one of many requests.
type Result struct {
	Asked Asked
	Err   error
}

// maxWaiting bounds the devices that were asked and wait for a slower one before
// them: what was read of a device may be large.
const maxWaiting = 256

// AddAll asks devices side by side, parallel at a time, and stores those that
// pass in the order of the requests. each is called in that order, one at a time. It ends early, with
// an error, when the database does not answer or ctx ends; what each was not called for was not tried.
func (a *Admission) AddAll(ctx context.Context, requests []Request, parallel int, each func(i int, r Result)) error {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	answers := make([]chan Result, len(requests))
	for i := range answers {
		answers[i] = make(chan Result, 1)
	}
	places, ahead := make(chan struct{}, max(parallel, 1)), make(chan struct{}, max(parallel, 1)+maxWaiting)
	asking.Go(func() {
		for i := range requests {
			for _, free := range []chan<- struct{}{ahead, places} {
				select {
				case <-ctx.Done():
					return
				case free <- struct{}{}:
				}
			}
			asking.Go(func() {
				defer func() { <-places }()
				asked, err := a.Ask(ctx, requests[i])
				answers[i] <- Result{Asked: asked, Err: err}
			})
		}
	})
	for i := range requests {
		var result Result
		select {
		case <-ctx.Done():
			return ctx.Err()
		case result = <-answers[i]:
		}
		if result.Err == nil {
			result.Asked.Device, result.Err = a.Store(ctx, result.Asked)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		each(i, result)
		<-ahead
		if errors.Is(result.Err, store.ErrUnavailable) {
			return result.Err
		}
	}
	return nil
}
