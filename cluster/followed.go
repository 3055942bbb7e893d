package cluster

import (
	"net"
	"sync/atomic"
	"syscall"
)

// followed is a connection to the master, which its follower ends when there is another one.
type followed struct {
	net.Conn
	follower *follower
	master   string
	ended    atomic.Bool
}

// keep notes a connection; false when its server is not the one to follow any more.
func (f *follower) keep(conn net.Conn, master string) (net.Conn, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.master != master {
		return nil, false
	}
	kept := &followed{Conn: conn, follower: f, master: master}
	f.open[kept] = struct{}{}
	return kept, true
}

// others are the connections that do not lead to the master. f.mu is held.
func (f *follower) others() (left []*followed) {
	for conn := range f.open {
		if conn.master != f.master {
			left = append(left, conn)
		}
	}
	return left
}

// Close implements net.Conn.
func (c *followed) Close() error {
	c.ended.Store(true)
	c.follower.mu.Lock()
	delete(c.follower.open, c)
	c.follower.mu.Unlock()
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn, by which the library's pool looks at an
// idle connection before it uses it: one that was ended here must not be used.
func (c *followed) SyscallConn() (syscall.RawConn, error) {
	if c.ended.Load() {
		return nil, net.ErrClosed
	}
	if plain, ok := c.Conn.(syscall.Conn); ok {
		return plain.SyscallConn()
	}
	return unseen{}, nil
}

// unseen is the socket below TLS. It is not looked at: what waits there may
// belong to TLS itself, and is no sign of a connection in disorder.
type unseen struct{}

func (unseen) Control(func(uintptr)) error    { return nil }
func (unseen) Read(func(uintptr) bool) error  { return nil }
func (unseen) Write(func(uintptr) bool) error { return nil }
