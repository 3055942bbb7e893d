// Package ping asks one address whether it is alive, by ICMP echo.
//
// It must not resolve names, must not log, and must not decide what an answer
// or its absence means.
package ping

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	probing "github.com/prometheus-community/pro-bing"
	"golang.org/x/net/icmp"
)

// Mode is the kind of socket by which this process may send ICMP.
type Mode string

// The modes.
const (
	Raw Mode = "raw" // raw sockets: root, or CAP_NET_RAW
	UDP Mode = "udp" // ICMP datagram sockets: a group inside net.ipv4.ping_group_range (icmp(7))
	Off Mode = "off" // neither
)

// Errors of Ping.
var (
	// ErrSilent: no echo reply within all tries.
	ErrSilent = errors.New("no answer to ICMP")
	// ErrOff: this process may not send ICMP.
	ErrOff = errors.New("this process may not send ICMP: it needs CAP_NET_RAW, or a group inside net.ipv4.ping_group_range")
)

// Pinger sends ICMP echo requests. It is safe for concurrent use.
type Pinger struct{ mode Mode }

// Detect finds out which sockets this process may open, raw ones first. It sends nothing.
func Detect() *Pinger {
	for _, try := range []struct {
		mode    Mode
		network string
	}{{Raw, "ip4:icmp"}, {UDP, "udp4"}} {
		if socket, err := icmp.ListenPacket(try.network, ""); err == nil {
			_ = socket.Close() // it waits for nobody
			return &Pinger{mode: try.mode}
		}
	}
	return &Pinger{mode: Off}
}

// Mode says how this process sends ICMP.
func (p *Pinger) Mode() Mode { return p.mode }

// Ping sends an echo request, and further ones up to tries, each when the one
// before had wait for its answer. The first reply ends it, a late one to an
// earlier request too; it returns how long that took. Errors: ErrSilent, also when
// the network refuses to send; ErrOff; that of ctx.
func (p *Pinger) Ping(ctx context.Context, address netip.Addr, tries int, wait time.Duration) (time.Duration, error) {
	if p.mode == Off {
		return 0, ErrOff
	}
	tries = max(tries, 1)
	echo := probing.New(address.String())
	echo.SetIPAddr(&net.IPAddr{IP: address.AsSlice(), Zone: address.Zone()})
	echo.SetPrivileged(p.mode == Raw)
	echo.SetLogger(probing.NoopLogger{})
	echo.RecordRtts, echo.RecordTTLs = false, false
	echo.Count, echo.Interval, echo.Timeout = tries, wait, time.Duration(tries)*wait
	answered, took := false, time.Duration(0)
	echo.OnRecv = func(reply *probing.Packet) {
		answered, took = true, reply.Rtt
		echo.Stop() // without this it would wait for a reply to every request
	}
	err := echo.RunWithContext(ctx)
	switch {
	case answered:
		return took, nil
	case ctx.Err() != nil:
		return 0, fmt.Errorf("ping %s: %w", address, ctx.Err())
	case err != nil:
		return 0, fmt.Errorf("%w from %s (%w)", ErrSilent, address, err)
	default:
		return 0, fmt.Errorf("%w from %s", ErrSilent, address)
	}
}
