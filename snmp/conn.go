package snmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// firstBuffer holds every reply that our requests normally cause; a longer
	// one makes the buffer grow to maxMessage and the request be sent again.
	firstBuffer = 16 << 10
	maxMessage  = 65535
)

var (
	errBroken    = errors.New("stream broken")     // the connection must be opened again
	errTruncated = errors.New("datagram too long") // for the buffer, which has grown by now
)

// conn moves whole SNMP messages over one socket: a connected UDP socket, which
// takes datagrams from the agent's address only, or a TCP stream (RFC 3430).
type conn struct {
	network string // "udp4", "udp6", "tcp4", "tcp6"
	address netip.AddrPort
	buffer  []byte
	have    int // stream: bytes in the buffer
	taken   int // stream: bytes of the message that was handed out last

	mu          sync.Mutex // socket and what follows: close and interrupt come from other goroutines
	socket      net.Conn   // nil: broken or closed
	closed      bool
	turn        uint64 // which watch the interruption belongs to
	interrupted bool
}

func (c *conn) stream() bool { return c.network[0] == 't' }

// open makes the socket; for UDP it sends nothing.
func (c *conn) open(ctx context.Context, timeout time.Duration) error {
	var socket net.Conn
	var err error
	if c.stream() {
		dialer := net.Dialer{Timeout: timeout}
		socket, err = dialer.DialContext(ctx, c.network, c.address.String())
	} else {
		socket, err = net.DialUDP(c.network, nil, net.UDPAddrFromAddrPort(c.address))
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		socket.Close()
		return net.ErrClosed
	}
	c.socket, c.have, c.taken = socket, 0, 0
	return nil
}

// current returns the socket with its read deadline set, unless the turn was interrupted.
func (c *conn) current(deadline time.Time) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, net.ErrClosed
	case c.socket == nil:
		return nil, errBroken
	case c.interrupted:
		deadline = time.Unix(1, 0)
	}
	if c.stream() {
		return c.socket, c.socket.SetDeadline(deadline)
	}
	return c.socket, c.socket.SetReadDeadline(deadline) // a datagram is never waited for when sending
}

// send writes one message, on a stream after opening it again if it is broken.
func (c *conn) send(ctx context.Context, message []byte, deadline time.Time) error {
	socket, err := c.current(deadline)
	if errors.Is(err, errBroken) {
		if err = c.open(ctx, time.Until(deadline)); err == nil {
			socket, err = c.current(deadline)
		}
	}
	if err != nil {
		return err
	}
	_, err = socket.Write(message)
	if errors.Is(err, syscall.ECONNREFUSED) && !c.stream() {
		_, err = socket.Write(message) // that was the answer to an earlier datagram
	}
	if err != nil && c.stream() {
		c.drop()
	}
	return err
}

// receive reads one message. It lies in the connection's buffer until the next call.
func (c *conn) receive(deadline time.Time) ([]byte, error) {
	socket, err := c.current(deadline)
	if err != nil {
		return nil, err
	}
	return c.read(socket)
}

// read reads one message under the deadline that is set already.
func (c *conn) read(socket net.Conn) ([]byte, error) {
	if c.stream() {
		return c.readStream(socket)
	}
	for {
		n, err := socket.Read(c.buffer)
		switch {
		case err == nil && n == len(c.buffer) && n < maxMessage+1:
			c.buffer = make([]byte, maxMessage+1)
			return nil, errTruncated
		case err == nil:
			return c.buffer[:n], nil
		case !isUnreachable(err):
			return nil, err
		}
		// "Port unreachable" may pass: an agent that restarts answers a later try.
		// Each such error stems from one datagram of ours, so this ends.
	}
}

// readStream cuts the next message out of the stream: BER tells its length.
func (c *conn) readStream(socket net.Conn) ([]byte, error) {
	copy(c.buffer, c.buffer[c.taken:c.have])
	c.have, c.taken = c.have-c.taken, 0
	for {
		length, err := messageLength(c.buffer[:c.have])
		if err != nil {
			c.drop()
			return nil, err
		}
		if length > 0 && length <= c.have {
			c.taken = length
			return c.buffer[:length], nil
		}
		if length > len(c.buffer) {
			c.buffer = append(make([]byte, 0, maxMessage), c.buffer[:c.have]...)[:maxMessage]
		}
		n, err := socket.Read(c.buffer[c.have:])
		c.have += n
		var timeout net.Error
		if err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
			c.drop()
			if errors.Is(err, io.EOF) {
				err = errBroken
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// messageLength is the length of the message that begins here; 0 when its header is not complete yet.
func messageLength(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	length, header := int(b[1]), 2
	if octets := length & 0x7f; length >= 0x80 {
		if b[0] != 0x30 || octets == 0 || octets > 4 {
			return 0, fmt.Errorf("%w: no SNMP message", errBroken)
		}
		if len(b) < 2+octets {
			return 0, nil
		}
		length, header = 0, 2+octets
		for _, octet := range b[2:header] {
			length = length<<8 | int(octet)
		}
	}
	if b[0] != 0x30 || length < 0 || length > maxMessage-header {
		return 0, fmt.Errorf("%w: no SNMP message", errBroken)
	}
	return header + length, nil
}

func isUnreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// drop gives up a stream that cannot be used any more.
func (c *conn) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		c.socket.Close()
		c.socket = nil
	}
}

// watch makes a cancel of ctx end the wait for a reply at once. The returned
// function ends the watch; a cancel that is late by then has no effect on the next request.
func (c *conn) watch(ctx context.Context) func() {
	if ctx.Done() == nil {
		return func() {}
	}
	c.mu.Lock()
	turn := c.turn
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { c.interrupt(turn) })
	return func() {
		stop()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.turn++
		c.interrupted = false
	}
}

func (c *conn) interrupt(turn uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn != turn {
		return
	}
	c.interrupted = true
	if c.socket == nil {
		return
	}
	// A closed socket waits for nobody, so errors mean nothing. A datagram
	// socket's deadline for writing is never set, and must not be left behind.
	if c.stream() {
		_ = c.socket.SetDeadline(time.Unix(1, 0))
	} else {
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
	}
}

// close ends the connection; a request under way fails.
func (c *conn) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.socket == nil {
		return nil
	}
	err := c.socket.Close()
	c.socket = nil
	return err
}
