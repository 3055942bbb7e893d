package simulator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const (
	// socketBuffer holds a burst of some thousand requests; the kernel cuts it to net.core.rmem_max.
	socketBuffer = 4 << 20
	// controlSpace is enough for one IP_PKTINFO message.
	controlSpace = 64
)

// batchConn reads and writes many packets in one system call (recvmmsg, sendmmsg).
type batchConn interface {
	ReadBatch(messages []ipv4.Message, flags int) (int, error)
	WriteBatch(messages []ipv4.Message, flags int) (int, error)
}

// socket is a UDP socket and what it serves.
type socket struct {
	conn   *net.UDPConn
	batch  batchConn
	device int // the one device behind it, or byDestination
	size   int // packets per system call
}

// byDestination stands for every device of the range, told apart by the address that a packet was sent to.
const byDestination = -1

// openShared opens count sockets on one address, among which the kernel spreads
// the packets (SO_REUSEPORT, socket(7)). The first is bound without that
// option, so that a port which somebody else shares is refused rather than shared as well.
func openShared(ctx context.Context, at netip.AddrPort, count int) ([]*net.UDPConn, error) {
	first, err := open(ctx, at, false)
	if err != nil {
		return nil, err
	}
	conns := []*net.UDPConn{first}
	raw, err := first.SyscallConn()
	if err == nil {
		err = controlled(raw)
	}
	at = first.LocalAddr().(*net.UDPAddr).AddrPort()
	for len(conns) < count && err == nil {
		var conn *net.UDPConn
		if conn, err = open(ctx, at, true); err == nil {
			conns = append(conns, conn)
		}
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(conns))
	}
	return conns, nil
}

func open(ctx context.Context, at netip.AddrPort, shared bool) (*net.UDPConn, error) {
	config := net.ListenConfig{}
	network := "udp6"
	if at.Addr().Is4() {
		network = "udp4"
	}
	if shared {
		config.Control = func(_, _ string, raw syscall.RawConn) error { return controlled(raw) }
	}
	conn, err := config.ListenPacket(ctx, network, at.String())
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	return conn.(*net.UDPConn), nil
}

func controlled(raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return fmt.Errorf("reach the socket: %w", e)
	}
	if err != nil {
		return fmt.Errorf("set SO_REUSEPORT: %w", err)
	}
	return nil
}

func closeAll(conns []*net.UDPConn) error {
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// newSocket prepares a socket for batches; an IPv4 one also tells each packet's destination (IP_PKTINFO, ip(7)).
func newSocket(conn *net.UDPConn, device, size int) (socket, error) {
	s := socket{conn: conn, device: device, size: size}
	// A smaller buffer than wished for still works.
	_ = conn.SetReadBuffer(socketBuffer)
	if conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Is6() {
		s.batch = ipv6.NewPacketConn(conn)
		return s, nil
	}
	batch := ipv4.NewPacketConn(conn)
	if err := batch.SetControlMessage(ipv4.FlagDst, true); err != nil {
		return s, fmt.Errorf("ask for packet destinations: %w", err)
	}
	s.batch = batch
	return s, nil
}

// destination reads the address that a packet was sent to from its control
// message, struct in_pktinfo: interface index, local address, destination.
func destination(control []byte) ([4]byte, bool) {
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Level != unix.IPPROTO_IP || header.Type != unix.IP_PKTINFO || len(data) < unix.SizeofInet4Pktinfo {
		return [4]byte{}, false
	}
	return [4]byte(data[8:12]), true
}

// answerFrom turns the control message of a request into the one of its reply: the
// destination becomes the source, and the route is the kernel's choice.
func answerFrom(control []byte) {
	_, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err == nil && len(data) >= unix.SizeofInet4Pktinfo {
		binary.NativeEndian.PutUint32(data[0:4], 0)
		copy(data[4:8], data[8:12])
	}
}
