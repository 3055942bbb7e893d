package simulator

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

const patience = 10 * time.Second

// start runs an agent until the test ends.
func start(t *testing.T, c Config) *Agent {
	t.Helper()
	a, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, a)
	t.Cleanup(stop)
	return a
}

// run runs an agent until the returned function is called, which checks that it ends well.
func run(t *testing.T, a *Agent) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	select {
	case <-a.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("run ended before it was ready: %v", err)
	}
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("run does not end")
		}
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// client is a connected gosnmp session without retries, so that each request counts.
func client(t *testing.T, to netip.AddrPort, version gosnmp.SnmpVersion) *gosnmp.GoSNMP {
	t.Helper()
	g := &gosnmp.GoSNMP{
		Target: to.Addr().String(), Port: to.Port(), Version: version, Community: "public",
		Timeout: patience, MaxOids: 100, MaxRepetitions: 25,
	}
	connect(t, g)
	return g
}

func connect(t *testing.T, g *gosnmp.GoSNMP) {
	t.Helper()
	if err := g.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Conn.Close() })
}

// tool runs one of net-snmp's commands and returns what it prints and whether it succeeded.
func tool(t *testing.T, name string, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, name, append([]string{"-m", "", "-On", "-r", "0", "-t", "5"}, args...)...)
	command.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+t.TempDir(), "SNMPCONFPATH="+t.TempDir())
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return out.String() + errs.String(), false
	}
	return out.String(), true
}

// throw sends packets to an address without waiting for replies.
func throw(t *testing.T, to netip.AddrPort, packets ...[]byte) {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for _, packet := range packets {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
}

// ask encodes a request.
func ask(t testing.TB, version gosnmp.SnmpVersion, pdu gosnmp.PDUType, single uint8, repetitions uint32, oids ...string) []byte {
	t.Helper()
	p := gosnmp.SnmpPacket{
		Version: version, Community: "public", PDUType: pdu, RequestID: 77,
		NonRepeaters: single, MaxRepetitions: repetitions,
	}
	for _, oid := range oids {
		p.Variables = append(p.Variables, gosnmp.SnmpPDU{Name: "." + oid, Type: gosnmp.Null})
	}
	b, err := p.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// engine makes a responder without sockets.
func engine(t testing.TB, c Config) *responder {
	t.Helper()
	c.Listen = "127.0.0.0/8:0"
	a, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &newWorker(a, socket{size: 1}).responder
}

// decoded has a responder answer and decodes the reply; nil = there was none.
func decoded(t testing.TB, r *responder, request []byte, device int, now time.Time) *gosnmp.SnmpPacket {
	t.Helper()
	out, _ := r.reply(request, device, now.UnixNano(), nil)
	if out == nil {
		return nil
	}
	if len(out) > r.limit {
		t.Fatalf("a reply of %d bytes exceeds %d", len(out), r.limit)
	}
	g := gosnmp.GoSNMP{Version: gosnmp.SnmpVersion(request[4]), Community: "public"}
	p, err := g.SnmpDecodePacket(out)
	if err != nil {
		t.Fatalf("decode the reply: %v", err)
	}
	if p.RequestID != 77 || p.PDUType != gosnmp.GetResponse {
		t.Fatalf("reply has id %d and type %v", p.RequestID, p.PDUType)
	}
	return p
}

func recordings(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func user(auth, priv string) *User {
	return &User{Name: "reader", AuthProtocol: auth, PrivProtocol: priv,
		AuthPassword: secret.New("first password"), PrivPassword: secret.New("second password")}
}
