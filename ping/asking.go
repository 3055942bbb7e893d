package ping

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// reply is an answer to a request of an asking.
type reply struct {
	number int // of the request, from 0
	took   time.Duration
}

// asking is one Ping or Echo under way.
type asking struct {
	family  *family
	address netip.Addr
	replies chan reply // has room for one to each request, so that the reader never waits
	line    *line      // nil until something is sent
	keys    []uint16   // the requests in the table of the line
	result  Result
}

// oversleep is how late a timer of ours is when this process was stopped, or got no processor: no fault of the address.
const oversleep = 100 * time.Millisecond

// exchange sends the requests, each its interval after the one before, and takes
// the replies until all have come, or the first one when that is enough. The error is
// why the last request was not sent, nil when it was.
func (a *asking) exchange(ctx context.Context, e Echo, first bool) (refusal error) {
	refusal = a.send(0)
	sent := 1
	due := time.Now().Add(a.wait(sent, e))
	next := time.NewTimer(a.wait(sent, e))
	defer next.Stop()
	overslept := false
	for {
		select {
		case <-ctx.Done():
			return refusal
		case r := <-a.replies:
			a.take(r)
			if first || a.result.Received == e.Count {
				return nil
			}
		case <-next.C:
			switch late := time.Since(due); {
			case sent == e.Count && (overslept || late < oversleep):
				return refusal
			case sent == e.Count:
				overslept = true // once more: the replies may lie in the socket
			default:
				refusal = a.send(sent)
				sent++
			}
			due = time.Now().Add(a.wait(sent, e))
			next.Reset(a.wait(sent, e))
		}
	}
}

// wait is how long to wait after so many requests.
func (a *asking) wait(sent int, e Echo) time.Duration {
	if sent == e.Count {
		return max(e.Timeout, 0)
	}
	return max(e.Interval, 0)
}

func (a *asking) take(r reply) {
	a.result.Received++
	n := time.Duration(a.result.Received)
	a.result.Avg += (r.took - a.result.Avg) / n
	if n == 1 {
		a.result.Min, a.result.Max = r.took, r.took
	}
	a.result.Min, a.result.Max = min(a.result.Min, r.took), max(a.result.Max, r.took)
}

// send sends one request. A request for which there was no room was not sent.
func (a *asking) send(number int) error {
	if a.line == nil {
		l, err := a.family.join()
		if err != nil {
			a.result.Sent++
			return err
		}
		a.line = l
	}
	key, err := a.line.send(a, number)
	if errors.Is(err, ErrBusy) {
		return err
	}
	a.result.Sent++
	a.keys = append(a.keys, key)
	return err
}

// end gives back what the asking holds.
func (a *asking) end() {
	if a.line != nil {
		a.line.forget(a.keys)
		a.family.leave(a.line)
	}
}
