// Package rrdcached speaks the line protocol of rrdcached (rrdcached(1),
// section PROTOCOL; measured on 1.7.2) over a unix socket or TCP. It holds the rules
// that cost data when broken: CREATE always with -O, one line per file and
// time, values that are finite or U, every byte sent from a fixed class.
//
// It must not know what is measured, choose file names, retry, or decide what a
// refusal means: the journal does. The protocol has neither login nor
// encryption: a TCP port of rrdcached belongs on a private network.
package rrdcached

import (
	"context"
	"fmt"
	"net"
	"time"
)

const (
	// roundTrip bounds a command and its reply, whatever the context allows.
	roundTrip = 5 * time.Second
	// perLine is added per line of a batch: the first touch of a file makes the daemon read it from disk.
	perLine = 10 * time.Millisecond
)

// Client is one connection to one daemon. It is not safe for concurrent use.
//
// Each call ends when its context does, and after 5 s at the latest (a batch:
// 10 ms per line more). An error that is ErrConnection means that the connection
// is closed and all further calls fail at once; after every other error
// the client goes on.
type Client struct {
	address string
	conn    net.Conn
	replies *replies
	timeout time.Duration
	out     []byte           // the bytes of the call in progress, reused
	sent    []int            // index of the caller's update per line sent, reused
	seconds map[string]int64 // of the batch in progress: whole second of each file's last line, reused
	batches bool             // the daemon has accepted BATCH on this connection
	updates uint64
	broken  error
}

// Dial connects to the daemon at address, "unix:/path", "/path" or
// "host:port", within 5 s. The error is ErrAddress or ErrConnection. Nothing is sent.
func Dial(ctx context.Context, address string) (*Client, error) {
	network, target, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: roundTrip}
	conn, err := dialer.DialContext(ctx, network, target)
	if err != nil {
		return nil, fmt.Errorf("dial rrdcached: %w: %w", ErrConnection, err)
	}
	return newClient(conn, address), nil
}

func newClient(conn net.Conn, address string) *Client {
	return &Client{address: address, conn: conn, replies: newReplies(conn), timeout: roundTrip, seconds: map[string]int64{}}
}

// Close ends the connection. Calls after it return ErrConnection.
func (c *Client) Close() error {
	if c.broken != nil {
		return nil // closed by fail
	}
	c.broken = fmt.Errorf("rrdcached at %s: %w: %w", c.address, ErrConnection, net.ErrClosed)
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close connection to rrdcached at %s: %w", c.address, err)
	}
	return nil
}

// Updates is the number of UPDATE lines that the daemon has answered on this
// connection, refused ones and those of Probe included: what they added to
// UpdatesReceived of Stats.
func (c *Client) Updates() uint64 { return c.updates }

// begin prepares a round trip: it sets the deadline and makes an end of ctx
// interrupt the connection. The returned function must be called after the round trip.
func (c *Client) begin(ctx context.Context, lines int) (func(), error) {
	if c.broken != nil {
		return nil, c.broken
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("rrdcached at %s: %w", c.address, err)
	}
	if c.replies.pending() {
		return nil, c.fail(ctx, fmt.Errorf("%w: a reply that nobody asked for", ErrProtocol))
	}
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout + time.Duration(lines)*perLine)); err != nil {
		return nil, c.fail(ctx, err)
	}
	if ctx.Done() == nil {
		return func() {}, nil
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = c.conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, which needs no interrupt
	})
	return func() {
		if !stop() {
			<-interrupted // or it could hit the deadline of the next round trip
		}
	}, nil
}

// fail closes the connection for good and returns the error of this and all further calls.
func (c *Client) fail(ctx context.Context, cause error) error {
	if err := ctx.Err(); err != nil {
		cause = fmt.Errorf("%w: %w", cause, err)
	}
	c.broken = fmt.Errorf("rrdcached at %s: %w: %w", c.address, ErrConnection, cause)
	_ = c.conn.Close() // the cause says more than what a dying connection answers to close
	return c.broken
}

// command sends the line in c.out, adds the newline, and hands the reply to
// read. A negative status is a refusal; what read returns is the connection's end.
func (c *Client) command(ctx context.Context, read func(status) error) error {
	end, err := c.begin(ctx, 1)
	if err != nil {
		return err
	}
	defer end()
	c.out = append(c.out, '\n')
	if _, err := c.conn.Write(c.out); err != nil {
		return c.fail(ctx, err)
	}
	reply, err := c.replies.status()
	if err != nil {
		return c.fail(ctx, err)
	}
	if reply.code < 0 {
		return refusal(reply.text)
	}
	if err := read(reply); err != nil {
		return c.fail(ctx, err)
	}
	return nil
}

// textOnly takes a reply that must have no lines after its status.
func textOnly(reply status) error {
	if reply.code != 0 {
		return fmt.Errorf("%w: %d lines where none belong", ErrProtocol, reply.code)
	}
	return nil
}

// fileCommand puts "NAME file" into c.out.
func (c *Client) fileCommand(name, file string) error {
	if err := CheckFile(file); err != nil {
		return err
	}
	c.out = append(c.out[:0], name...)
	c.out = append(c.out, ' ')
	c.out = append(c.out, file...)
	return nil
}
