package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

// TestLateReply wants a reply to the first try to count while the second waits.
func TestLateReply(t *testing.T) {
	t.Parallel()
	var first request
	_, target := startScripted(t, func(r request) [][]byte {
		if r.number == 1 {
			first = r
			return nil
		}
		return [][]byte{reply(t, first, []gosnmp.SnmpPDU{number(".1.3.6.1.2.1.1.3.0", 1)})}
	})
	s := dial(t, target)
	begin := time.Now()
	got, err := s.Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 2, 200*time.Millisecond)
	if err != nil || !got.Value.Exists() {
		t.Fatalf("%v, error %v", got, err)
	}
	if middle := got.At.Sub(begin); middle > 180*time.Millisecond {
		t.Errorf("the time is that of the second try: %v", middle)
	}
	if s.Stats().Timeouts != 0 || s.Stats().Retries != 1 {
		t.Errorf("%+v", s.Stats())
	}
}

// TestDown wants the number of tries asked for, and the observer to hear of it once.
func TestDown(t *testing.T) {
	t.Parallel()
	agent, target := startScripted(t, func(request) [][]byte { return nil })
	var seen []string
	s, err := Dial(t.Context(), target, func(op, result string, d time.Duration) {
		seen = append(seen, op+" "+result)
		if d < 3*30*time.Millisecond {
			t.Errorf("observed after %v", d)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 3, 30*time.Millisecond)
	checkError(t, err, ErrTimeout)
	if n := agent.requests.Load(); n != 3 || !slices.Equal(seen, []string{"get timeout"}) {
		t.Errorf("%d requests, observed %v", n, seen)
	}
	if got := s.Stats(); got != (Stats{Requests: 3, Retries: 2, Timeouts: 1}) {
		t.Errorf("%+v", got)
	}
}

// TestClosedPort wants "port unreachable" to be no answer like any other, waited for to the end.
func TestClosedPort(t *testing.T) {
	t.Parallel()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_, target := startScripted(t, func(request) [][]byte { return nil })
	target.Port = uint16(socket.LocalAddr().(*net.UDPAddr).Port)
	socket.Close()
	begin := time.Now()
	_, err = dial(t, target).Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 3, 50*time.Millisecond)
	checkError(t, err, ErrTimeout)
	if d := time.Since(begin); d < 150*time.Millisecond {
		t.Errorf("given up after %v", d)
	}
}

// TestCancel wants a cancel to be heard at once, and the session to be usable behind it.
func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, target := startScripted(t, func(r request) [][]byte {
		if r.number == 1 {
			cancel()
			return nil
		}
		return [][]byte{reply(t, r, []gosnmp.SnmpPDU{number(".1.3.6.1.2.1.1.3.0", 1)})}
	})
	target.Timeout = time.Minute
	s := dial(t, target)
	begin := time.Now()
	_, err := s.Get(ctx, "1.3.6.1.2.1.1.3.0")
	checkError(t, err, context.Canceled)
	if d := time.Since(begin); d > time.Second {
		t.Errorf("heard after %v", d)
	}
	if _, err := s.Get(t.Context(), "1.3.6.1.2.1.1.3.0"); err != nil {
		t.Errorf("after the cancel: %v", err)
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, target = startScripted(t, func(request) [][]byte { return nil })
	target.Timeout = time.Minute
	err = dial(t, target).Table(short, TableRequest{Columns: ifColumns(2)}, func(Cell) {})
	checkError(t, err, context.DeadlineExceeded)
}

// TestCancelBetween wants a cancel that comes just before the wait begins to be
// heard as well, and to be over with its watch.
func TestCancelBetween(t *testing.T) {
	t.Parallel()
	_, target := startScripted(t, func(request) [][]byte { return nil })
	c := dial(t, target).conn
	ctx, cancel := context.WithCancel(t.Context())
	stop := c.watch(ctx)
	cancel()
	interrupted := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.interrupted
	}
	limit, tick := time.After(10*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !interrupted() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the cancel did not arrive")
		}
	}
	begin := time.Now()
	if _, err := c.receive(begin.Add(time.Minute)); err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("waited %v, error %v", time.Since(begin), err)
	}
	stop()
	begin = time.Now()
	if _, err := c.receive(begin.Add(30 * time.Millisecond)); err == nil || time.Since(begin) < 30*time.Millisecond {
		t.Errorf("waited %v after the watch, error %v", time.Since(begin), err)
	}
}

// TestLargeReplies wants replies beyond the first buffer: the longest datagram there is.
func TestLargeReplies(t *testing.T) {
	t.Parallel()
	for _, size := range []int{firstBuffer - 100, firstBuffer, 65_400} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			agent, target := startScripted(t, func(r request) [][]byte {
				return [][]byte{reply(t, r, []gosnmp.SnmpPDU{text(".1.3.6.1.2.1.1.1.0", strings.Repeat("\x01a", size/2))})}
			})
			target.Timeout = 10 * time.Second // nothing is waited for
			got, err := dial(t, target).Get(t.Context(), "1.3.6.1.2.1.1.1.0")
			if err != nil || len(got[0].Value.Bytes()) != size/2*2 || got[0].Value.Text() != strings.Repeat("a", maxText) {
				t.Errorf("error %v", err)
			}
			if n := agent.requests.Load(); n > 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestFlood wants a request to end under a flood of messages that are no answer.
func TestFlood(t *testing.T) {
	t.Parallel()
	_, target := startScripted(t, func(r request) [][]byte {
		return slices.Repeat([][]byte{reply(t, r, nil, func(p *gosnmp.SnmpPacket) { p.RequestID = 0 })}, 100)
	})
	target.Timeout, target.Retries = 20*time.Millisecond, 1000
	_, err := dial(t, target).Get(t.Context(), "1.3.6.1.2.1.1.1.0")
	checkError(t, err, ErrUnexpected)
}

// TestGetTooBig wants a GET that is too big to be asked in parts.
func TestGetTooBig(t *testing.T) {
	t.Parallel()
	m := interfaces(30, 2)
	_, target := startScripted(t, func(r request) [][]byte {
		if len(r.Variables) > 4 {
			return [][]byte{reply(t, r, nil, status(gosnmp.TooBig, 0))}
		}
		return [][]byte{reply(t, r, m.answer(r))}
	})
	var oids []OID
	for i := range uint32(30) {
		oids = append(oids, ifColumns(2)[0].Append(i+1))
	}
	got, err := dial(t, target).Get(t.Context(), oids...)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if v.OID != oids[i] || v.Value.Text() != fmt.Sprint(2000+i+1) {
			t.Errorf("%s is %s", v.OID, v.Value.Text())
		}
	}
}

// TestClose wants a close from another goroutine to end the wait, and not to look like an agent that is down.
func TestClose(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	_, target := startScripted(t, func(r request) [][]byte {
		if r.number == 1 {
			close(asked)
		}
		return nil
	})
	target.Timeout = time.Minute
	s := dial(t, target)
	go func() {
		<-asked
		s.Close()
	}()
	for range 2 {
		_, err := s.Get(t.Context(), "1.3.6.1.2.1.1.3.0")
		checkError(t, err, net.ErrClosed)
		if errors.Is(err, ErrTimeout) {
			t.Errorf("a closed session is a timeout: %v", err)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ transport, host, network, address string }{
		{"", "127.0.0.1", "udp4", "127.0.0.1:161"},
		{"udp", "::ffff:127.0.0.1", "udp4", "127.0.0.1:161"},
		{"udp", "::1", "udp6", "[::1]:161"},
		{"udp6", "fe80::1%lo", "udp6", "[fe80::1%lo]:161"},
		{"tcp6", "::1", "tcp6", "[::1]:161"},
		{"tcp", "localhost", "tcp4", "127.0.0.1:161"},
		{"udp6", "127.0.0.1", "", ""},
	} {
		network, address, err := resolve(t.Context(), Target{Host: c.host, Transport: c.transport, Port: 161})
		if network != c.network || err == nil && address.String() != c.address || (err == nil) != (c.network != "") {
			t.Errorf("%s %s: %s %s, error %v", c.transport, c.host, network, address, err)
		}
	}
}
