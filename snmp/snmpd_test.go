package snmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/secret"
)

const (
	authPassword = "auth-pass-phrase"
	privPassword = "priv-pass-phrase"
)

// snmpdUsers are one user for every combination that snmpd is configured with.
type snmpdUser struct{ name, auth, priv string }

func snmpdUsers() (users []snmpdUser) {
	users = append(users, snmpdUser{"none", "", ""})
	for _, auth := range []string{"MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"} {
		for _, priv := range []string{"", "DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C"} {
			users = append(users, snmpdUser{"u-" + auth + "-" + priv, auth, priv})
		}
	}
	return users
}

// netSnmpPriv are net-snmp's names where they are not LibreNMS's.
var netSnmpPriv = map[string]string{"AES-192-C": "AES192C", "AES-256-C": "AES256C", "AES-192": "AES192", "AES-256": "AES256"}

// snmpd is one real net-snmp agent for the tests that need one.
type snmpd struct {
	port int
	log  bytes.Buffer
}

func (u snmpdUser) credentials() Credentials {
	return Credentials{
		Version: V3, User: u.name, AuthProtocol: u.auth, AuthPassword: secret.New(authPassword),
		PrivProtocol: u.priv, PrivPassword: secret.New(privPassword),
	}
}

// startSnmpd runs snmpd over UDP and TCP on one free port until the test ends.
func startSnmpd(t *testing.T) *snmpd {
	t.Helper()
	dir := t.TempDir()
	d := &snmpd{port: freePort(t)}
	var conf strings.Builder
	fmt.Fprintf(&conf, "agentAddress udp:127.0.0.1:%d,tcp:127.0.0.1:%d\n", d.port, d.port)
	conf.WriteString("rocommunity public\nsysName the-name\nsysLocation  a\\tplace\nsysDescr a system under test\n")
	for _, u := range snmpdUsers() {
		line := "createUser " + u.name
		level := "noauth"
		if u.auth != "" {
			line += fmt.Sprintf(" %s %q", u.auth, authPassword)
			level = "auth"
		}
		if u.priv != "" {
			name := u.priv
			if other := netSnmpPriv[name]; other != "" {
				name = other
			}
			line += fmt.Sprintf(" %s %q", name, privPassword)
			level = "priv"
		}
		fmt.Fprintf(&conf, "%s\nrouser %s %s\n", line, u.name, level)
	}
	path := filepath.Join(dir, "snmpd.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("snmpd", "-f", "-Lo", "-C", "-c", path, "-I", "-smux", "-p", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
	cmd.Stdout, cmd.Stderr = &d.log, &d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() }) //nolint:errcheck // it is gone then
	probe := dial(t, d.target(Credentials{Version: V2c, Community: secret.New("public")}))
	if _, err := probe.Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 100, 100*time.Millisecond); err != nil {
		t.Fatalf("snmpd does not answer: %v\n%s", err, d.log.String())
	}
	return d
}

func (d *snmpd) target(c Credentials) Target {
	return Target{Host: "127.0.0.1", Port: uint16(d.port), Timeout: time.Second, Retries: 1, Credentials: c}
}

// freePort finds a port that is free for both UDP and TCP.
func freePort(t *testing.T) int {
	t.Helper()
	stream, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	return stream.Addr().(*net.TCPAddr).Port
}

func TestRealAgent(t *testing.T) {
	t.Parallel()
	d := startSnmpd(t)
	t.Run("tables", d.testTables)
	t.Run("scalars", d.testScalars)
	t.Run("users", d.testUsers)
	t.Run("refusals", d.testRefusals)
}

func (d *snmpd) testTables(t *testing.T) {
	want := d.bulkwalk(t, "1.3.6.1.2.1.2.2.1")
	columns := map[string]bool{}
	for line := range want {
		columns[strings.Split(line, ".")[9]] = true
	}
	public := secret.New("public")
	for name, change := range map[string]func(*Target){
		"v1":    func(t *Target) { t.Credentials.Version = V1 },
		"v2c":   func(*Target) {},
		"tcp":   func(t *Target) { t.Transport = "tcp" },
		"three": func(t *Target) { t.MaxRepetitions = 3 },
		"v3": func(t *Target) {
			t.Credentials = snmpdUser{"u-SHA-256-AES", "SHA-256", "AES"}.credentials()
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := d.target(Credentials{Version: V2c, Community: public})
			change(&target)
			s := dial(t, target)
			request := TableRequest{}
			for c := range columns {
				request.Columns = append(request.Columns, OID("1.3.6.1.2.1.2.2.1."+c))
			}
			request.Columns = append(request.Columns, "1.3.6.1.2.1.2.2.1.99", "1.3.6.1.6.3.999.1")
			got := map[string]bool{}
			err := s.Table(t.Context(), request, func(c Cell) {
				got[string(request.Columns[c.Column])+"."+c.Index] = true
				_, isOID := c.Value.OID()
				if known := want[string(request.Columns[c.Column])+"."+c.Index]; isOID && known != "OID: ."+c.Value.Text() {
					t.Errorf("%d.%s is %q, snmpbulkwalk says %q", c.Column, c.Index, c.Value.Text(), known)
				}
				if n, ok := c.Value.Uint(); ok && c.Value.Type() == TypeGauge32 && want[string(request.Columns[c.Column])+"."+c.Index] != fmt.Sprintf("Gauge32: %d", n) {
					t.Errorf("%d.%s is %d, snmpbulkwalk says %q", c.Column, c.Index, n, want[string(request.Columns[c.Column])+"."+c.Index])
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for name := range want {
				if !got[name] {
					t.Errorf("%s is missing", name)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d cells, want %d", len(got), len(want))
			}
		})
	}
}

// bulkwalk reads a subtree with net-snmp's own client: names without the first dot to "Type: value".
func (d *snmpd) bulkwalk(t *testing.T, root string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "snmpbulkwalk", "-v2c", "-cpublic", "-On", "-m", "", fmt.Sprintf("127.0.0.1:%d", d.port), root)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		all[strings.TrimPrefix(name, ".")] = value
	}
	if len(all) == 0 {
		t.Fatalf("snmpbulkwalk found nothing:\n%s", out)
	}
	return all
}

func (d *snmpd) testScalars(t *testing.T) {
	oids := []OID{"1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.99.0", "1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.2.0"}
	for i := range uint32(60) { // more than one request
		oids = append(oids, OID("1.3.6.1.2.1.1.98").Append(i))
	}
	oids = append(oids, "1.3.6.1.2.1.1.6.0")
	for _, version := range []Version{V1, V2c} {
		s := dial(t, d.target(Credentials{Version: version, Community: secret.New("public")}))
		got, err := s.Get(t.Context(), oids...)
		if err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		for i, v := range got {
			exists := i == 0 || i > 1 && i < 5 || i == len(oids)-1
			if v.OID != oids[i] || v.Value.Exists() != exists || v.At.IsZero() {
				t.Errorf("%s: %s exists %v, want %s %v", version, v.OID, v.Value.Exists(), oids[i], exists)
			}
		}
		if name := got[2].Value.Text(); name != "the-name" {
			t.Errorf("%s: sysName is %q", version, name)
		}
		if _, ok := got[3].Value.Uint(); !ok || got[3].Value.Type() != TypeTimeTicks {
			t.Errorf("%s: sysUpTime is %v", version, got[3].Value.Type())
		}
		if object, ok := got[4].Value.OID(); !ok || !object.Valid() {
			t.Errorf("%s: sysObjectID is %q", version, object)
		}
	}
}

func (d *snmpd) testUsers(t *testing.T) {
	keys := NewKeyCache()
	for _, u := range snmpdUsers() {
		t.Run(u.name, func(t *testing.T) {
			target := d.target(u.credentials())
			target.Keys = keys
			s := dial(t, target)
			got, err := s.Get(t.Context(), "1.3.6.1.2.1.1.5.0")
			if err != nil || got[0].Value.Text() != "the-name" {
				t.Fatalf("%v, %v", got, err)
			}
			if stats := s.Stats(); stats.Requests > 3 || stats.Refused > 0 {
				t.Errorf("it took %+v", stats)
			}
		})
	}
}

func (d *snmpd) testRefusals(t *testing.T) {
	good := snmpdUser{"u-SHA-256-AES", "SHA-256", "AES"}.credentials()
	wrong := secret.New("another-pass-phrase")
	for _, c := range []struct {
		name   string
		change func(*Credentials)
		want   error
	}{
		{"wrong community", func(c *Credentials) { *c = Credentials{Version: V2c, Community: wrong} }, ErrTimeout},
		{"unknown user", func(c *Credentials) { c.User = "nobody" }, ErrAuth},
		{"wrong auth password", func(c *Credentials) { c.AuthPassword = wrong }, ErrAuth},
		{"wrong auth protocol", func(c *Credentials) { c.AuthProtocol = "SHA-512" }, ErrAuth},
		{"wrong privacy password", func(c *Credentials) { c.PrivPassword = wrong }, ErrAuth},
		{"wrong privacy protocol", func(c *Credentials) { c.PrivProtocol = "DES" }, ErrAuth},
		{"level too low", func(c *Credentials) { c.PrivProtocol = "" }, nil},
		{"unknown context", func(c *Credentials) { c.Context = "nowhere" }, ErrAuth},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			credentials := good
			c.change(&credentials)
			target := d.target(credentials)
			target.Timeout = 300 * time.Millisecond
			_, err := dial(t, target).Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 2, target.Timeout)
			t.Log(err)
			var refused *StatusError
			if c.want == nil && !errors.As(err, &refused) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), wrong.Reveal()) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}
