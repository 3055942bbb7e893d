// Package snmp asks one agent over SNMP v1, v2c or v3 and returns typed values, safely.
//
// gosnmp encodes and decodes; the request loop, the tries, the checks and the
// table read are this package's, because gosnmp's own accept replies with
// another community, another object or request id 0, end a table early on an
// error without saying so, hear a cancelled context only at the next timeout
// and fail on crafted lengths. Everything that an agent sends is bounded and
// checked before it is decoded.
//
// The package must not know what the objects mean, must not log, and keeps
// nothing between sessions. No error holds a community or a password.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/gosnmp/gosnmp"
)

// Target is one agent and how to ask it.
type Target struct {
	Host        string // address or name, resolved once by Dial
	Port        uint16 // 0: 161
	Transport   string // "udp" (also ""), "tcp": IPv4 if the host has it, else IPv6; "udp6", "tcp6": IPv6 only
	Credentials Credentials
	// Timeout is how long one try waits for its answer. 0: 1 s.
	Timeout time.Duration
	// Retries are the further tries after the first.
	Retries int
	// MaxRepetitions bounds the rows that one table request asks for. 0: only by the size of the replies.
	MaxRepetitions int
	// MaxObjects bounds the objects that one request names. 0: 60.
	MaxObjects int
	// Keys is shared by many sessions to save computing v3 keys; nil computes them for each session.
	Keys *KeyCache
}

// Observe is told about every request, tries included: op is "get", "getnext"
// or "getbulk", result "ok", "timeout", "auth" or "error", d the time until the
// answer was there or given up.
type Observe func(op, result string, d time.Duration)

// Stats counts what a session has sent and received, in messages.
type Stats struct {
	Requests int // sent, retries and v3 discovery included
	Replies  int // accepted
	Retries  int // sent again because no answer came
	Timeouts int // requests given up after all tries
	Refused  int // messages received that were no valid answer to a request under way
}

// Session is a conversation with one agent. It is not safe for concurrent use; only Close is.
type Session struct {
	target  Target
	observe Observe
	conn    *conn
	usm     *usm // nil for v1 and v2c

	decoder   gosnmp.GoSNMP
	packet    gosnmp.SnmpPacket // of the request under way; used again and again
	names     []string
	community []byte
	sent      []try
	stats     Stats
	bulk      bulk
	value     float64 // bytes of a value that GET asks for
}

// Dial resolves the host and opens the socket. For UDP no packet is sent, so it
// says nothing about the agent; TCP connects, and not reaching it is ErrTimeout.
// Close the session. Credentials that cannot be right are refused by name of the field.
func Dial(ctx context.Context, t Target, observe Observe) (*Session, error) {
	if err := t.Credentials.Validate(); err != nil {
		return nil, fmt.Errorf("snmp credentials: %w", err)
	}
	if t.Timeout <= 0 {
		t.Timeout = time.Second
	}
	t.Retries = max(t.Retries, 0)
	if t.Port == 0 {
		t.Port = 161
	}
	network, address, err := resolve(ctx, t)
	if err != nil {
		return nil, err
	}
	s := newSession(t, observe, &conn{network: network, address: address, buffer: make([]byte, firstBuffer)})
	if err := s.conn.open(ctx, t.Timeout); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("snmp connect: %w", ctx.Err())
		}
		return nil, fmt.Errorf("snmp connect: %w (%s)", ErrTimeout, detail(err.Error()))
	}
	return s, nil
}

func newSession(t Target, observe Observe, c *conn) *Session {
	if observe == nil {
		observe = func(string, string, time.Duration) {}
	}
	if t.MaxObjects <= 0 {
		t.MaxObjects = maxGet
	}
	version := t.Credentials.version()
	s := &Session{target: t, observe: observe, conn: c, bulk: newBulk(c.stream()), value: usualValue}
	s.decoder.Version = version
	s.packet.Version = version
	if version == gosnmp.Version3 {
		s.usm = newUSM(t.Credentials, t.Keys)
		s.decoder.SecurityModel, s.packet.SecurityModel = gosnmp.UserSecurityModel, gosnmp.UserSecurityModel
		s.decoder.MsgFlags, s.packet.MsgFlags = s.usm.flags, s.usm.flags
		s.packet.ContextName = t.Credentials.Context
		return s
	}
	s.packet.Community = t.Credentials.Community.Reveal()
	s.community = []byte(s.packet.Community)
	return s
}

// Resolve returns the address that a session to this host would ask. Whoever
// judges an address before it is asked must ask the one that was judged: a name may stand for another one a moment later.
func Resolve(ctx context.Context, transport, host string) (netip.Addr, error) {
	_, address, err := resolve(ctx, Target{Host: host, Transport: transport})
	return address.Addr(), err
}

// resolve finds the network and address of a target: the first address of the host that the transport can have.
func resolve(ctx context.Context, t Target) (network string, address netip.AddrPort, err error) {
	var base, family string
	switch t.Transport {
	case "", "udp":
		base, family = "udp", "ip"
	case "udp6":
		base, family = "udp", "ip6"
	case "tcp":
		base, family = "tcp", "ip"
	case "tcp6":
		base, family = "tcp", "ip6"
	default:
		return "", address, fmt.Errorf("snmp transport %q: want udp, udp6, tcp or tcp6", detail(t.Transport))
	}
	found, err := lookup(ctx, family, t.Host)
	if err != nil {
		return "", address, fmt.Errorf("snmp host %q: %w", detail(t.Host), err)
	}
	if found.Is4() {
		return base + "4", netip.AddrPortFrom(found, t.Port), nil
	}
	return base + "6", netip.AddrPortFrom(found, t.Port), nil
}

func lookup(ctx context.Context, family, host string) (netip.Addr, error) {
	if literal, err := netip.ParseAddr(host); err == nil {
		literal = literal.Unmap()
		if family == "ip6" && literal.Is4() {
			return literal, errors.New("not an IPv6 address")
		}
		return literal, nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, family, host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(all) == 0 {
		return netip.Addr{}, errors.New("no address")
	}
	for _, one := range all {
		if one.Unmap().Is4() {
			return one.Unmap(), nil
		}
	}
	return all[0], nil
}

// Stats returns what has been counted so far.
func (s *Session) Stats() Stats { return s.stats }

// Close closes the socket. It may be called from another goroutine, whose request then fails.
func (s *Session) Close() error {
	if err := s.conn.close(); err != nil {
		return fmt.Errorf("snmp close: %w", err)
	}
	return nil
}
