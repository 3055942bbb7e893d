package ping

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	nonceSize = 16
	// payloadSize is that of fping and ping: 64 bytes with the header of ICMP.
	payloadSize = 56
	// maxReply is more than a reply to our requests has; what is longer is none.
	maxReply = 256
	// sendLimit bounds how long the kernel may make a request wait for room.
	sendLimit = time.Second

	protocolICMP   = 1 // IANA protocol numbers, for icmp.ParseMessage
	protocolICMPv6 = 58
)

// request is one that waits for its reply.
type request struct {
	asking  *asking
	number  int
	nonce   [nonceSize]byte
	at      time.Time
	replied bool // a second reply is none
}

// line is an open socket, and the requests that wait for a reply on it. They are
// known by their sequence number; address, identifier and nonce must fit as well,
// because anybody may send us replies, and the first three can be guessed.
type line struct {
	family *family
	socket net.PacketConn
	id     int           // identifier of the requests; the kernel replaces it on ICMP datagram sockets
	gone   chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	next    uint16
	waiting map[uint16]request
}

func (l *line) broken() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// send sends one request of an asking and returns its key. Of the errors only ErrBusy leaves nothing behind.
func (l *line) send(a *asking, number int) (uint16, error) {
	r := request{asking: a, number: number}
	_, _ = rand.Read(r.nonce[:]) // it never fails
	key, err := l.enter(&r)
	if err != nil {
		return 0, err
	}
	var kind icmp.Type = ipv4.ICMPTypeEcho
	if l.family.six {
		kind = ipv6.ICMPTypeEchoRequest
	}
	payload := make([]byte, payloadSize)
	copy(payload, r.nonce[:])
	message := icmp.Message{Type: kind, Body: &icmp.Echo{ID: l.id, Seq: int(key), Data: payload}}
	packet, err := message.Marshal(nil) // the kernel computes the checksum of ICMPv6
	if err == nil {
		err = l.socket.SetWriteDeadline(time.Now().Add(sendLimit))
	}
	if err == nil {
		_, err = l.socket.WriteTo(packet, l.destination(a.address))
	}
	return key, err
}

func (l *line) destination(address netip.Addr) net.Addr {
	if l.family.mode == UDP {
		return &net.UDPAddr{IP: address.AsSlice(), Zone: address.Zone()}
	}
	return &net.IPAddr{IP: address.AsSlice(), Zone: address.Zone()}
}

// enter gives a request its key: the next sequence number that is free.
func (l *line) enter(r *request) (uint16, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= MaxInFlight {
		return 0, ErrBusy
	}
	for { // at most MaxInFlight of the 65,536 are taken
		l.next++
		if _, taken := l.waiting[l.next]; !taken {
			break
		}
	}
	r.at = time.Now()
	l.waiting[l.next] = *r
	return l.next, nil
}

func (l *line) forget(keys []uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		delete(l.waiting, key)
	}
}

// read hands out the replies until the socket is closed, or breaks: then those who
// wait get no more, and the next one to ask opens another.
func (l *line) read() {
	defer close(l.gone)
	buffer := make([]byte, maxReply)
	for {
		n, peer, err := l.socket.ReadFrom(buffer)
		if err != nil {
			_ = l.socket.Close()
			return
		}
		l.receive(buffer[:n], peer, time.Now())
	}
}

// receive takes a reply to whoever waits for it. All else is dropped.
func (l *line) receive(packet []byte, peer net.Addr, at time.Time) {
	protocol, kind := protocolICMP, icmp.Type(ipv4.ICMPTypeEchoReply)
	if l.family.six {
		protocol, kind = protocolICMPv6, ipv6.ICMPTypeEchoReply
	}
	message, err := icmp.ParseMessage(protocol, packet)
	if err != nil || message.Type != kind || message.Code != 0 {
		return
	}
	echo, ok := message.Body.(*icmp.Echo)
	if !ok || l.family.mode == Raw && echo.ID != l.id || echo.Seq < 0 || echo.Seq > 1<<16-1 || len(echo.Data) < nonceSize {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r, waits := l.waiting[uint16(echo.Seq)]
	if !waits || r.replied || addressOf(peer) != r.asking.address.WithZone("") ||
		subtle.ConstantTimeCompare(echo.Data[:nonceSize], r.nonce[:]) != 1 {
		return
	}
	r.replied = true
	l.waiting[uint16(echo.Seq)] = r
	r.asking.replies <- reply{r.number, at.Sub(r.at)} // there is room: each request is replied to once
}

// addressOf is where a packet came from.
func addressOf(peer net.Addr) netip.Addr {
	var ip net.IP
	switch from := peer.(type) {
	case *net.IPAddr:
		ip = from.IP
	case *net.UDPAddr:
		ip = from.IP
	}
	address, _ := netip.AddrFromSlice(ip)
	return address.Unmap()
}
