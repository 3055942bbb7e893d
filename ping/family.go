package ping

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// receiveBuffer is what the kernel is asked to keep of replies that were not read yet, in bytes: a reply takes 768 of them. It
// gives twice net.core.rmem_max at most. A reply for which there is no room looks like one that never came.
const receiveBuffer = 4 << 20

// family is IPv4 or IPv6. It has a line while somebody asks.
type family struct {
	mode Mode
	six  bool

	mu    sync.Mutex
	line  *line // nil while nobody asks
	users int   // that ask by it
}

func newFamily(mode Mode, six bool) *family { return &family{mode: mode, six: six} }

// join returns the line and counts who uses it. It is opened for the first one, and anew when it broke.
func (f *family) join() (*line, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.line != nil && f.line.broken() {
		f.line = nil // those who use it leave it by themselves
	}
	if f.line == nil {
		socket, err := f.open()
		if err != nil {
			return nil, err
		}
		var id [2]byte
		_, _ = rand.Read(id[:]) // it never fails
		f.users = 0
		f.line = &line{family: f, socket: socket, id: int(binary.BigEndian.Uint16(id[:])), waiting: map[uint16]request{}, gone: make(chan struct{})}
		go f.line.read()
	}
	f.users++
	return f.line, nil
}

// leave is the end of join. The last one closes the line.
func (f *family) leave(l *line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l != f.line {
		return // it broke, and closed itself
	}
	if f.users--; f.users == 0 {
		_ = l.socket.Close() // the reader ends with it
		f.line = nil
	}
}

// open opens the socket of a line, for replies only where the kernel can tell them.
func (f *family) open() (net.PacketConn, error) {
	domain, protocol, kind := unix.AF_INET, unix.IPPROTO_ICMP, unix.SOCK_RAW
	if f.six {
		domain, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	if f.mode == UDP {
		kind = unix.SOCK_DGRAM
	}
	number, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ICMP: %w", err)
	}
	file := os.NewFile(uintptr(number), "icmp")
	defer file.Close()                                                             // the connection has a copy
	_ = unix.SetsockoptInt(number, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // it does with less, too
	socket, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ICMP: %w", err)
	}
	if f.mode == Raw {
		if err := f.filter(socket); err != nil {
			_ = socket.Close() // the reason is the other error
			return nil, fmt.Errorf("filter ICMP: %w", err)
		}
	}
	return socket, nil
}

// filter lets only replies through. Else each echo request to this host, and every other message, would wake the reader.
func (f *family) filter(socket net.PacketConn) error {
	if f.six {
		var replies ipv6.ICMPFilter
		replies.SetAll(true)
		replies.Accept(ipv6.ICMPTypeEchoReply)
		return ipv6.NewPacketConn(socket).SetICMPFilter(&replies)
	}
	var replies ipv4.ICMPFilter
	replies.SetAll(true)
	replies.Accept(ipv4.ICMPTypeEchoReply)
	return ipv4.NewPacketConn(socket).SetICMPFilter(&replies)
}
