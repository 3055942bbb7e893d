// Package ping asks addresses whether they are alive, by ICMP echo (RFC 792, RFC 4443).
//
// All that ask share one socket for IPv4 and one for IPv6, since a socket for each
// of them costs ten times the processor time: on raw sockets each gets a copy of every reply.
//
// It must not resolve names, must not log, and must not decide what an answer
// or its absence means.
package ping

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Mode is the kind of socket by which this process may send ICMP.
type Mode string

// The modes.
const (
	Raw Mode = "raw" // raw sockets: root, or CAP_NET_RAW
	UDP Mode = "udp" // ICMP datagram sockets: a group inside net.ipv4.ping_group_range (icmp(7))
	Off Mode = "off" // neither
)

// Errors of Ping and Echo.
var (
	// ErrSilent: no echo reply within all tries.
	ErrSilent = errors.New("no answer to ICMP")
	// ErrOff: this process may not send ICMP.
	ErrOff = errors.New("this process may not send ICMP: it needs CAP_NET_RAW, or a group inside net.ipv4.ping_group_range")
	// ErrBusy: this process waits for the replies to MaxInFlight requests already. It says nothing about the address.
	ErrBusy = errors.New("too many ICMP requests wait for their answers")
)

// MaxInFlight is how many requests of one process may wait for their replies, of
// each of IPv4 and IPv6. A request counts from when it is sent until whoever asked has its result.
const MaxInFlight = 16_384

// maxCount bounds the requests of one Echo or Ping.
const maxCount = 100

// Pinger sends ICMP echo requests. It is safe for concurrent use. Its sockets
// are open while somebody waits for a reply, so it need not be closed.
type Pinger struct {
	mode   Mode
	v4, v6 *family
}

// Detect finds out which sockets this process may open, raw ones first. It sends nothing.
func Detect() *Pinger {
	for _, mode := range []Mode{Raw, UDP} {
		v4 := newFamily(mode, false)
		socket, err := v4.open()
		if err != nil {
			continue
		}
		_ = socket.Close() // it waits for nobody
		return &Pinger{mode: mode, v4: v4, v6: newFamily(mode, true)}
	}
	return &Pinger{mode: Off}
}

// Mode says how this process sends ICMP.
func (p *Pinger) Mode() Mode { return p.mode }

// Ping sends an echo request, and further ones up to tries, each when the one
// before had wait for its answer. The first reply ends it, a late one to an
// earlier request too; it returns how long that took. Errors: ErrSilent, also when
// the network refuses to send; ErrOff; ErrBusy; that of ctx.
func (p *Pinger) Ping(ctx context.Context, address netip.Addr, tries int, wait time.Duration) (time.Duration, error) {
	result, err := p.run(ctx, address, Echo{Count: tries, Interval: wait, Timeout: wait}, true)
	return result.Avg, err
}

// Echo is how an address is asked, as the options of fping(8) have it.
type Echo struct {
	Count    int           // requests, 1 to 100 (-c)
	Interval time.Duration // between two requests (-p)
	Timeout  time.Duration // how long the last one is waited for (-t); the earlier ones are waited for as well meanwhile
}

// Result is what became of an Echo.
type Result struct {
	Sent     int // requests; those that the network refused to take count
	Received int // requests that were answered
	// The shortest, mean and longest round trip of them; 0 without any.
	Min, Avg, Max time.Duration
}

// Echo sends all requests and waits for their replies, until all have come or the last
// one had its time. Errors: ErrSilent when none was answered, also when the network
// refuses to send; ErrOff; ErrBusy when not even one could be sent; that of ctx. The result counts beside ErrSilent, too.
func (p *Pinger) Echo(ctx context.Context, address netip.Addr, e Echo) (Result, error) {
	return p.run(ctx, address, e, false)
}

func (p *Pinger) run(ctx context.Context, address netip.Addr, e Echo, first bool) (Result, error) {
	if p.mode == Off {
		return Result{}, ErrOff
	}
	address = address.Unmap()
	f := p.v4
	if address.Is6() {
		f = p.v6
	}
	e.Count = min(max(e.Count, 1), maxCount)
	a := &asking{family: f, address: address, replies: make(chan reply, e.Count)}
	defer a.end()
	refusal := a.exchange(ctx, e, first)
	switch {
	case a.result.Received > 0:
		return a.result, nil
	case ctx.Err() != nil:
		return a.result, fmt.Errorf("ping %s: %w", address, ctx.Err())
	case a.result.Sent == 0:
		return a.result, fmt.Errorf("ping %s: %w", address, refusal)
	case refusal != nil:
		return a.result, fmt.Errorf("%w from %s (%w)", ErrSilent, address, refusal)
	default:
		return a.result, fmt.Errorf("%w from %s", ErrSilent, address)
	}
}
