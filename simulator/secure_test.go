package simulator

import (
	"slices"
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"
)

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"": gosnmp.NoAuth, "MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA-224": gosnmp.SHA224,
	"SHA-256": gosnmp.SHA256, "SHA-384": gosnmp.SHA384, "SHA-512": gosnmp.SHA512,
}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"": gosnmp.NoPriv, "DES": gosnmp.DES, "AES": gosnmp.AES, "AES-192": gosnmp.AES192,
	"AES-256": gosnmp.AES256, "AES-192-C": gosnmp.AES192C, "AES-256-C": gosnmp.AES256C,
}

// secureClient is a gosnmp session of a user.
func secureClient(t *testing.T, a *Agent, device int, u *User) *gosnmp.GoSNMP {
	t.Helper()
	g := &gosnmp.GoSNMP{
		Target: a.Addr(device).Addr().String(), Port: a.Addr(device).Port(), Version: gosnmp.Version3, Timeout: patience,
		MaxRepetitions: 25, MaxOids: 60, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: gosnmp.NoAuthNoPriv,
		SecurityParameters: &gosnmp.UsmSecurityParameters{
			UserName:               u.Name,
			AuthenticationProtocol: authProtocols[u.AuthProtocol], AuthenticationPassphrase: u.AuthPassword.Reveal(),
			PrivacyProtocol: privProtocols[u.PrivProtocol], PrivacyPassphrase: u.PrivPassword.Reveal(),
		},
	}
	if u.AuthProtocol != "" {
		g.MsgFlags = gosnmp.AuthNoPriv
	}
	if u.PrivProtocol != "" {
		g.MsgFlags = gosnmp.AuthPriv
	}
	connect(t, g)
	return g
}

func TestVersion3Matrix(t *testing.T) {
	t.Parallel()
	for auth := range authProtocols {
		for priv := range privProtocols {
			if auth == "" && priv != "" {
				continue
			}
			u := user(auth, priv)
			a := start(t, Config{Listen: "127.30.0.0/16:0", Ports: 48, V3: u})
			g := secureClient(t, a, 5, u)
			p, err := g.Get([]string{systemGroup + "5.0"})
			if err != nil {
				t.Errorf("%s %s: %v", auth, priv, err)
				continue
			}
			if got, _ := p.Variables[0].Value.([]byte); string(got) != "sim-00005" {
				t.Errorf("%s %s: the answer is %v", auth, priv, p.Variables)
			}
			all, err := g.BulkWalkAll(ifXEntry + "6")
			if err != nil || len(all) != 48 {
				t.Errorf("%s %s: the walk gives %d objects, %v", auth, priv, len(all), err)
			}
		}
	}
}

func TestVersion3WithNetSNMP(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"", ""}, {"SHA-512", ""}, {"MD5", "DES"}, {"SHA", "AES"}, {"SHA-224", "AES-192"}, {"SHA", "AES-256"}, {"MD5", "AES-256"}} {
		a := start(t, Config{Listen: "127.31.0.0/16:0", Ports: 3, V3: user(pair[0], pair[1])})
		args := securityArguments(pair[0], pair[1], "first password", "second password")
		out, ok := tool(t, "snmpbulkwalk", append(args, a.Addr(9).String(), ".1.3.6.1.2.1")...)
		if lines := strings.Count(out, "\n"); !ok || lines != 8+3*(21+19) {
			t.Errorf("%v: %d lines: %s", pair, lines, out[:min(200, len(out))])
		}
	}
}

func securityArguments(auth, priv, authPassword, privPassword string) []string {
	args := []string{"-v3", "-u", "reader", "-l", "noAuthNoPriv"}
	if auth != "" {
		args = append(args[:4], "authNoPriv", "-a", auth, "-A", authPassword)
	}
	if priv != "" {
		args[4] = "authPriv"
		args = append(args, "-x", priv, "-X", privPassword)
	}
	return args
}

func TestVersion3Refusals(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.32.0.0/16:0", V3: user("SHA", "AES")})
	good := securityArguments("SHA", "AES", "first password", "second password")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"user":         {append(slices.Clone(good), "-u", "nobody"), "Unknown user name"},
		"password":     {securityArguments("SHA", "AES", "wrong password", "second password"), "Authentication failure"},
		"privacy":      {securityArguments("SHA", "AES", "first password", "wrong password"), "Decryption error"},
		"level":        {append(slices.Clone(good), "-l", "noAuthNoPriv"), "authorizationError"},
		"no privacy":   {append(slices.Clone(good), "-l", "authNoPriv"), "authorizationError"},
		"context":      {append(slices.Clone(good), "-n", "elsewhere"), "Bad context"},
		"other engine": {append(slices.Clone(good), "-E", "8000000001020304"), "Bad version" /* what net-snmp makes of unknownPDUHandlers */},
	} {
		out, ok := tool(t, "snmpget", append(c.args, a.Addr(0).String(), systemGroup+"5.0")...)
		if ok || !strings.Contains(strings.ToLower(out), strings.ToLower(c.want)) {
			t.Errorf("%s: %q, want %q", name, out, c.want)
		}
	}
	b := start(t, Config{Listen: "127.32.0.0/16:0", V3: user("SHA", "")})
	if out, ok := tool(t, "snmpget", append(good, b.Addr(0).String(), systemGroup+"5.0")...); ok || !strings.Contains(out, "nsupported security level") {
		t.Errorf("privacy at a user without: %q", out)
	}
}

func TestVersion3TimeWindow(t *testing.T) {
	t.Parallel()
	u := user("SHA-256", "AES")
	a := start(t, Config{Listen: "127.33.0.0/16:0", V3: u})
	g := secureClient(t, a, 0, u)
	if _, err := g.Get([]string{systemGroup + "5.0"}); err != nil {
		t.Fatal(err)
	}
	before := a.usm.reports[notInTimeWindows].Load()
	parameters := g.SecurityParameters.(*gosnmp.UsmSecurityParameters)
	parameters.AuthoritativeEngineTime -= 1000
	parameters.AuthoritativeEngineBoots = 7
	// gosnmp takes the time out of the report and asks again.
	if _, err := g.Get([]string{systemGroup + "5.0"}); err != nil {
		t.Errorf("after a time outside the window: %v", err)
	}
	if a.usm.reports[notInTimeWindows].Load() != before+1 {
		t.Error("a time outside the window is not reported")
	}
}

func TestLocalizedKeysAreThoseOfTheStandard(t *testing.T) {
	t.Parallel()
	// RFC 3414 appendix A.3: password maplesyrup, engine 00 00 00 00 00 00 00 00 00 00 00 02.
	engine := append(make([]byte, 11), 2)
	for name, want := range map[string]string{
		"MD5": "526f5eed9fcce26f8964c2930787d82b",
		"SHA": "6695febc9288e36282235fc7151f128497b38f3f",
	} {
		p, err := authProtocolNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := localize(p.hash, passwordToKey(p.hash, []byte("maplesyrup")), engine); hexText(got) != want {
			t.Errorf("%s: %x, want %s", name, got, want)
		}
	}
}

func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	k, err := newKeyring(user("MD5", "DES"))
	if err != nil {
		t.Fatal(err)
	}
	for device := range maxLocalized + 10 {
		if _, err := k.local(device); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.held) != maxLocalized {
		t.Errorf("%d keys are held", len(k.held))
	}
}
