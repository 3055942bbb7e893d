package polluxtest

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Proxy stands between a client and a server and can part them, as a broken
// network does: by silence, or by ending connections.
type Proxy struct {
	Address string // where clients connect: as the server's, "host:port" or "unix:/path"

	target string
	relay  Relay

	mu      sync.Mutex
	changed *sync.Cond
	mode    mode
	open    map[net.Conn]struct{}
}

// Relay looks at the lines of a protocol of lines. The zero value lets everything pass as it comes.
type Relay struct {
	// Request is given each line of a client. What it returns is sent to the client instead of asking the server; nil lets the line pass.
	Request func(line []byte) (answer []byte)
	// Reply is given each line of the server and returns what the client gets for it.
	Reply func(line []byte) []byte
}

type mode int

const (
	passing mode = iota
	silent
	parted
	ended
)

// NewProxy starts a proxy of the server at an address, "host:port" or "unix:/path", on the same kind of network.
func NewProxy(t testing.TB, target string, relay Relay) *Proxy {
	t.Helper()
	return NewProxyAt(t, "127.0.0.1", target, relay)
}

// NewProxyAt is NewProxy on an address of this machine, for clients in another network.
func NewProxyAt(t testing.TB, host, target string, relay Relay) *Proxy {
	t.Helper()
	p := &Proxy{target: target, relay: relay, open: map[net.Conn]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	network, address := "tcp", net.JoinHostPort(host, "0")
	if strings.HasPrefix(target, "unix:") {
		dir, err := os.MkdirTemp("/tmp", "pxp")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		network, address = "unix", filepath.Join(dir, "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	p.Address = listener.Addr().String()
	if network == "unix" {
		p.Address = "unix:" + address
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		p.set(ended)
		serving.Wait()
	})
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	return p
}

// Pass lets everything through again; what waited during a silence goes on.
func (p *Proxy) Pass() { p.set(passing) }

// Hang lets nothing through and ends nothing, as a firewall that drops packets does.
func (p *Proxy) Hang() { p.set(silent) }

// Cut ends all connections, and each new one at once.
func (p *Proxy) Cut() { p.set(parted) }

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m == parted || m == ended {
		for conn := range p.open {
			_ = conn.Close()
		}
	}
	p.changed.Broadcast()
}

// mayPass waits while nothing may pass, and says whether the connection may go on.
func (p *Proxy) mayPass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == silent {
		p.changed.Wait()
	}
	return p.mode == passing
}

// hold notes a connection for the next cut; false = there is one now.
func (p *Proxy) hold(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == parted || p.mode == ended {
		return false
	}
	p.open[conn] = struct{}{}
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}

// serve copies both ways until one side ends.
func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	if !p.hold(client) || !p.mayPass() {
		return
	}
	network, address := "tcp", p.target
	if path, isPath := strings.CutPrefix(p.target, "unix:"); isPath {
		network, address = "unix", path
	}
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.hold(server) {
		return
	}
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() {
		defer client.Close()
		p.copy(client, server, func(line []byte) ([]byte, io.Writer) {
			if p.relay.Reply != nil {
				line = p.relay.Reply(line)
			}
			return line, client
		}, p.relay.Reply != nil)
	})
	defer server.Close()
	p.copy(server, client, func(line []byte) ([]byte, io.Writer) {
		if answer := p.relay.Request(line); answer != nil {
			return answer, client
		}
		return line, server
	}, p.relay.Request != nil)
}

// copy copies what may pass: by line through look, or as it comes.
func (p *Proxy) copy(to, from net.Conn, look func(line []byte) ([]byte, io.Writer), byLine bool) {
	reader, buffer := bufio.NewReader(from), make([]byte, 16<<10)
	for {
		var text []byte
		var err error
		if byLine {
			text, err = reader.ReadBytes('\n')
		} else {
			var n int
			n, err = from.Read(buffer)
			text = buffer[:n]
		}
		if err != nil || !p.mayPass() {
			return
		}
		out := io.Writer(to)
		if byLine {
			text, out = look(text)
		}
		if _, err := out.Write(text); err != nil {
			return
		}
	}
}
