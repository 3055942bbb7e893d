package admission_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pollux/admission"
	"pollux/config"
	"pollux/device"
	"pollux/ping"
	"pollux/secret"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

var _ admission.Pinger = (*ping.Pinger)(nil)

const (
	canary    = "CANARY" // in every secret of these tests, and in no text
	community = canary + "-community"
	authPass  = canary + "-auth-password"
	privPass  = canary + "-priv-password"
)

// world is an inventory on SQLite, agents, and ICMP as a test wants it.
type world struct {
	t      *testing.T
	store  *store.Store
	values map[string]string
	pinger *pinger
}

func newWorld(t *testing.T, values ...string) *world {
	t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Database{Connection: config.SQLite, Name: filepath.Join(t.TempDir(), "pollux.db")}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	m, err := store.OpenMigrator(t.Context(), c, key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Close()
	s, err := store.Open(t.Context(), c, key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{t: t, store: s, values: map[string]string{"snmp.retries": "0", "nets.allow": "127.0.0.0/8"}, pinger: &pinger{mode: ping.Raw}}
	for i := 0; i < len(values); i += 2 {
		w.values[values[i]] = values[i+1]
	}
	return w
}

func (w *world) open(dryRun bool) *admission.Admission {
	w.t.Helper()
	values := settings.NewValues(w.values)
	if ignored := values.Ignored(); len(ignored) > 0 {
		w.t.Fatalf("settings %+v", ignored)
	}
	a, err := admission.Open(w.t.Context(), admission.Deps{Store: w.store, Values: values, Pinger: w.pinger, DryRun: dryRun})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// devices are the hostnames in the inventory, in the order of their ids.
func (w *world) devices() (names []string) {
	w.t.Helper()
	all, err := w.store.Devices(w.t.Context(), store.Filter{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range all {
		names = append(names, d.Hostname)
	}
	return names
}

// set adds a credential set.
func (w *world) set(name string, c snmp.Credentials, groups ...int64) {
	w.t.Helper()
	if _, err := w.store.AddCredentialSet(w.t.Context(), device.CredentialSet{Name: name, Credentials: c, Groups: groups}, "tester"); err != nil {
		w.t.Fatal(err)
	}
}

// pinger answers for all addresses but some.
type pinger struct {
	mu     sync.Mutex
	mode   ping.Mode
	silent []netip.Addr
	asked  []netip.Addr
	held   netip.Addr    // which answers when hold is closed
	hold   chan struct{} // nil holds nothing
}

// count is how often it was asked.
func (p *pinger) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func (p *pinger) Mode() ping.Mode { return p.mode }

func (p *pinger) Ping(ctx context.Context, address netip.Addr, _ int, _ time.Duration) (time.Duration, error) {
	p.mu.Lock()
	p.asked = append(p.asked, address)
	p.mu.Unlock()
	if p.hold != nil && address == p.held {
		<-p.hold
	}
	if slices.Contains(p.silent, address) {
		return 0, fmt.Errorf("%w from %s", ping.ErrSilent, address)
	}
	return time.Millisecond, ctx.Err()
}

func v2c(text string) snmp.Credentials {
	return snmp.Credentials{Version: snmp.V2c, Community: secret.New(text)}
}

func v3(auth string) snmp.Credentials {
	return snmp.Credentials{
		Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(auth), PrivProtocol: "AES", PrivPassword: secret.New(privPass),
	}
}

// simulate answers SNMP like devices of 3 ports until the test ends.
func simulate(t *testing.T, c simulator.Config) *simulator.Agent {
	t.Helper()
	c.Ports, c.Community = 3, secret.New(community)
	c.V3 = &simulator.User{Name: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(authPass), PrivProtocol: "AES", PrivPassword: secret.New(privPass)}
	agent, err := simulator.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("simulator: %v", err)
		}
	})
	select {
	case <-agent.Ready():
	case err := <-done:
		t.Fatalf("simulator: %v", err)
	}
	return agent
}

// of is a device that asks an agent, under a name.
func of(name string, at netip.AddrPort) device.Device {
	return device.Device{
		Hostname: name, Address: at.Addr().String(), Port: at.Port(), Transport: "udp", Interval: 60, Retries: -1, Status: device.StatusNew,
	}
}

// request asks for such a device with the right community.
func request(name string, at netip.AddrPort) admission.Request {
	return admission.Request{Device: of(name, at), Given: []snmp.Credentials{v2c(community)}, Versions: []snmp.Version{snmp.V2c, snmp.V3, snmp.V1}}
}

// clean fails the test when a text holds a secret, or more than one line.
func clean(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("the error holds a secret or a line break: %v", err)
	}
}
