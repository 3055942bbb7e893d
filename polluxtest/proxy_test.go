package polluxtest_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
)

// asker is a client of Redis that sends one line and reads one.
type asker struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialProxy(t *testing.T, address string) asker {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return asker{t, conn, bufio.NewReader(conn)}
}

func (a asker) ask(limit time.Duration) (string, error) {
	a.t.Helper()
	if _, err := a.conn.Write([]byte("PING\r\n")); err != nil {
		return "", err
	}
	return a.answer(limit)
}

func (a asker) answer(limit time.Duration) (string, error) {
	_ = a.conn.SetReadDeadline(time.Now().Add(limit))
	line, err := a.in.ReadString('\n')
	return strings.TrimSpace(line), err
}

func TestProxyParts(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	p := polluxtest.NewProxy(t, redis.Address, polluxtest.Relay{})
	a := dialProxy(t, p.Address)
	if got, err := a.ask(time.Minute); got != "+PONG" {
		t.Fatalf("%q, %v", got, err)
	}
	p.Hang()
	if got, err := a.ask(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it hangs: %q, %v", got, err)
	}
	b := dialProxy(t, p.Address)
	if got, err := b.ask(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection while it hangs: %q, %v", got, err)
	}
	p.Pass()
	for _, client := range []asker{a, b} {
		if got, err := client.answer(time.Minute); got != "+PONG" {
			t.Errorf("after the hang: %q, %v", got, err)
		}
	}
	p.Cut()
	if got, err := a.ask(time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the cut: %q, %v", got, err)
	}
	if got, err := dialProxy(t, p.Address).ask(time.Minute); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection after the cut: %q, %v", got, err)
	}
	p.Pass()
	if got, err := dialProxy(t, p.Address).ask(time.Minute); got != "+PONG" {
		t.Errorf("in the end: %q, %v", got, err)
	}
}

func TestProxyLooksAtLines(t *testing.T) {
	t.Parallel()
	redis := polluxtest.Redis(t)
	p := polluxtest.NewProxy(t, redis.Address, polluxtest.Relay{
		Request: func(line []byte) []byte {
			if strings.HasPrefix(string(line), "PING") {
				return []byte("+MINE\r\n")
			}
			return nil
		},
		Reply: func(line []byte) []byte { return []byte(strings.ToUpper(string(line))) },
	})
	a := dialProxy(t, p.Address)
	if got, err := a.ask(time.Minute); got != "+MINE" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := a.conn.Write([]byte("set key value\r\nECHO small\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"+OK", "$5", "SMALL"} {
		if got, err := a.answer(time.Minute); got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}
