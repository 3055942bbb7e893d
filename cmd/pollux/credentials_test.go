package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pollux/config"
	"pollux/device"
	"pollux/secret"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

// credentials are what the inventory holds of a device, opened.
func (s *site) credentials(hostname string) (found device.Device) {
	s.t.Helper()
	c, err := config.Load("", s.environ)
	if err != nil {
		s.t.Fatal(err)
	}
	opened, err := store.Open(s.t.Context(), c.Database, c.AppKey, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	defer opened.Close()
	if found, err = opened.DeviceByHostname(s.t.Context(), hostname); err != nil {
		s.t.Fatal(err)
	}
	return found
}

// A password alone must not make a v3 device one of v2c with the community "public".
func TestDeviceSetKeepsOtherCredentials(t *testing.T) {
	t.Parallel()
	s := migrated(t, "SECRET=CANARY-from-variable")
	s.ok("device", "add", "old", "-f", "-1", "-c", "CANARY-one")
	s.ok("device", "add", "new", "-f", "-3", "-u", "monitor", "-A", canaryAuth, "-a", "sha-512", "-X", canaryPriv)
	for _, c := range []struct {
		host, in string
		args     []string
		want     snmp.Credentials
	}{
		{"old", "", []string{"-c", "env:SECRET"}, snmp.Credentials{Version: snmp.V1, Community: secret.New("CANARY-from-variable")}},
		{"old", "", []string{"-2"}, snmp.Credentials{Version: snmp.V2c, Community: secret.New("CANARY-from-variable")}},
		{"old", "CANARY-line\r\n", []string{"-c", "-"}, snmp.Credentials{Version: snmp.V2c, Community: secret.New("CANARY-line")}},
		{"new", "CANARY-line-1\nCANARY-line-2\n", []string{"-A", "-", "-X", "-"}, snmp.Credentials{
			Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-512", AuthPassword: secret.New("CANARY-line-1"), PrivProtocol: "AES", PrivPassword: secret.New("CANARY-line-2"),
		}},
		{"new", "", []string{"-u", "other"}, snmp.Credentials{
			Version: snmp.V3, User: "other", AuthProtocol: "SHA-512", AuthPassword: secret.New("CANARY-line-1"), PrivProtocol: "AES", PrivPassword: secret.New("CANARY-line-2"),
		}},
		{"new", "", []string{"-X", "", "-x", ""}, snmp.Credentials{
			Version: snmp.V3, User: "other", AuthProtocol: "SHA-512", AuthPassword: secret.New("CANARY-line-1"),
		}},
		{"new", "", []string{"-c", canaryCommunity}, snmp.Credentials{Version: snmp.V2c, Community: secret.New(canaryCommunity)}},
		{"new", "", []string{"-3", "-u", "monitor", "-A", canaryAuth}, snmp.Credentials{
			Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(canaryAuth),
		}},
	} {
		s.callWith(c.in, append([]string{"device", "set", c.host}, c.args...)...).works()
		got := s.credentials(c.host).Credentials
		if !got.Community.Equal(c.want.Community) || !got.AuthPassword.Equal(c.want.AuthPassword) || !got.PrivPassword.Equal(c.want.PrivPassword) {
			t.Errorf("device set %s %q: the secrets are not what they should be", c.host, c.args)
		}
		for _, credentials := range []*snmp.Credentials{&got, &c.want} {
			credentials.Community, credentials.AuthPassword, credentials.PrivPassword = secret.String{}, secret.String{}, secret.String{}
		}
		if got != c.want {
			t.Errorf("device set %s %q: %+v, want %+v", c.host, c.args, got, c.want)
		}
	}
	before := dump(t, s.database())
	s.call("device", "set", "old", "-A", canaryAuth).fails(exitUsage, "user")
	s.call("device", "set", "old", "-2", "-A", canaryAuth).fails(exitUsage, "belong to SNMP v3")
	s.call("device", "set", "new", "-A", "CANARY").fails(exitUsage, "auth password: shorter than 8")
	s.unchanged(before)
}

// Secrets need not stand on the command line.
func TestSecretsComeFromInputAndVariables(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{Listen: "127.65.0.0/24:0", Devices: 9})
	s := migrated(t, "COMMUNITY="+canaryCommunity, "PRIV="+canaryPriv)
	at := func(name string, more ...string) []string { // each at an address of its own
		return append([]string{"device", "add", name, "--address", fmt.Sprintf("127.65.0.%d", name[0]-'a'+1), "-r", port}, more...)
	}
	s.ok(at("a", "-2", "-c", "env:COMMUNITY")...)
	s.callWith(canaryCommunity+"\n", at("b", "-2", "-c", "-")...).works()
	s.callWith(canaryCommunity, at("c", "-c", "-")...).works() // no newline at the end; v2c, then v1
	s.callWith(canaryAuth+"\n"+canaryPriv+"\n", at("d", "-3", "-u", "monitor", "-A", "-", "-X", "-")...).works()
	s.callWith(canaryAuth+"\n", at("e", "-u", "monitor", "-A", "-", "-X", "env:PRIV")...).works()
	s.callWith(canaryCommunity+"\n", "inspect", "127.65.0.1:"+port, "-2", "-c", "-").works()
	s.callWith(strings.Repeat("x", 1<<20), at("f", "-2", "-c", "-")...).fails(exitUsage, "1 to 127")
	if found := decode[list](s.call("device", "list", "--json")); len(found.Items) != 5 {
		t.Errorf("%d devices, want 5", len(found.Items))
	}
}
