package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// door is a TCP proxy that can be shut, so that a server which others use seems to be away.
type door struct {
	t        *testing.T
	address  string
	to       string
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	d := &door{t: t, address: "127.0.0.1:0", to: to}
	d.open()
	d.address = d.listener.Addr().String()
	t.Cleanup(d.close)
	return d
}

func (d *door) port() uint16 { return uint16(d.listener.Addr().(*net.TCPAddr).Port) }

func (d *door) open() {
	d.t.Helper()
	listener, err := net.Listen("tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.listener = listener
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return
			}
			outside, err := net.Dial("tcp", d.to)
			if err != nil {
				_ = inside.Close()
				continue
			}
			d.mu.Lock()
			d.conns = append(d.conns, inside, outside)
			d.mu.Unlock()
			go pass(inside, outside)
			go pass(outside, inside)
		}
	}()
}

func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // either end may close
	_ = to.Close()
	_ = from.Close()
}

func (d *door) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.conns {
		_ = conn.Close()
	}
	d.conns = nil
}
