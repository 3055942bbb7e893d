package snmp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

func TestOIDValid(t *testing.T) {
	t.Parallel()
	long := "1.3" + strings.Repeat(".1", 126)
	for oid, want := range map[OID]bool{
		"1.3.6.1.2.1.1.3.0": true, "0.0": true, "2.999.1": true, "1.3.4294967295": true, OID(long): true,
		"": false, "1": false, ".1.3": false, "1.3.": false, "1..3": false, "3.1": false, "1.40": false, "1.03": false,
		"1.3.4294967296": false, "1.3.-1": false, "1.3.a": false, "1.3 ": false, "2.4294967295": false, OID(long + ".1"): false,
	} {
		if oid.Valid() != want {
			t.Errorf("%q: valid %v, want %v", oid, oid.Valid(), want)
		}
	}
	if got := OID("1.3").Append(0, 4294967295); got != "1.3.0.4294967295" {
		t.Errorf("appended: %s", got)
	}
}

func TestCompareNames(t *testing.T) {
	t.Parallel()
	rising := []string{".1.3", ".1.3.1", ".1.3.1.9", ".1.3.2", ".1.3.2.1", ".1.3.10", ".1.3.10.1", ".1.3.99", ".1.3.100", ".1.4"}
	for i, a := range rising {
		for j, b := range rising {
			if got := compareNames(a, b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   gosnmp.Asn1BER
		in     any
		text   string
		number string // "-" when it is none
	}{
		{gosnmp.Integer, -5, "-5", "- -5"},
		{gosnmp.Integer, 7, "7", "7 7"},
		{gosnmp.Counter32, uint(4294967295), "4294967295", "4294967295 4294967295"},
		{gosnmp.Gauge32, uint(1) << 40, "1099511627776", "- -"},
		{gosnmp.Uinteger32, uint32(9), "9", "9 9"},
		{gosnmp.TimeTicks, uint32(8), "8", "8 8"},
		{gosnmp.Counter64, uint64(1<<64 - 1), "18446744073709551615", "18446744073709551615 -"},
		{gosnmp.OctetString, []byte(" a\x00b\tc\x1b[1m\xe2\x80\xae\xff "), "ab c[1m\uFFFD", "- -"},
		{gosnmp.ObjectIdentifier, ".1.3.6", "1.3.6", "- -"},
		{gosnmp.IPAddress, "10.0.0.1", "10.0.0.1", "- -"},
		{gosnmp.OpaqueFloat, float32(1.5), "1.5", "- -"},
		{gosnmp.OpaqueDouble, 2.25, "2.25", "- -"},
	} {
		v := newValue(&gosnmp.SnmpPDU{Type: c.kind, Value: c.in})
		unsigned, signed := "-", "-"
		if n, ok := v.Uint(); ok {
			unsigned = fmt.Sprint(n)
		}
		if n, ok := v.Int(); ok {
			signed = fmt.Sprint(n)
		}
		if !v.Exists() || v.Text() != c.text || unsigned+" "+signed != c.number {
			t.Errorf("%v %v: exists %v, text %q, numbers %s %s", c.kind, c.in, v.Exists(), v.Text(), unsigned, signed)
		}
		if _, ok := v.OID(); ok != (c.kind == gosnmp.ObjectIdentifier) {
			t.Errorf("%v is an OID: %v", c.kind, ok)
		}
	}
	for _, kind := range []gosnmp.Asn1BER{gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null, gosnmp.UnknownType} {
		if v := newValue(&gosnmp.SnmpPDU{Type: kind}); v.Exists() || v.Text() != "" {
			t.Errorf("%v exists", kind)
		}
	}
	reply := []byte("text")
	kept := newValue(&gosnmp.SnmpPDU{Type: gosnmp.OctetString, Value: reply}).Kept()
	reply[0] = 'n'
	if kept.Text() != "text" || kept.Type() != TypeOctetString || (Value{}).Kept().Exists() {
		t.Errorf("kept %q", kept.Text())
	}
	long := newValue(&gosnmp.SnmpPDU{Type: gosnmp.OctetString, Value: []byte(strings.Repeat("ä", 40_000))})
	if text := long.Text(); len(text) != maxText || !utf8.ValidString(text) || len(long.Bytes()) != 80_000 {
		t.Errorf("a long text has %d bytes, raw %d", len(text), len(long.Bytes()))
	}
}

func TestErrorTextsAreShort(t *testing.T) {
	t.Parallel()
	foul := strings.Repeat("\x1b[31m\n bad \xff", 500)
	for _, text := range []string{detail(foul), detail("fault Stack:goroutine 1 [running]"), shortName(strings.Repeat(".1", 5000))} {
		if len(text) > maxDetail || !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\n") || strings.Contains(text, "goroutine") {
			t.Errorf("%d bytes: %q", len(text), text)
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	good := Credentials{Version: V3, User: "u", AuthProtocol: "SHA", AuthPassword: secret.New("12345678"), PrivProtocol: "AES", PrivPassword: secret.New("12345678")}
	for _, c := range []struct {
		change func(*Credentials)
		level  string
		want   string // part of the error
	}{
		{func(*Credentials) {}, "authPriv", ""},
		{func(c *Credentials) { c.PrivProtocol = "" }, "authNoPriv", ""},
		{func(c *Credentials) { c.PrivProtocol, c.AuthProtocol = "", "" }, "noAuthNoPriv", ""},
		{func(c *Credentials) { c.Version, c.Community = V2c, secret.New("public") }, "", ""},
		{func(c *Credentials) { c.Version, c.Community = V1, secret.New(strings.Repeat("x", 128)) }, "", "community"},
		{func(c *Credentials) { c.Version = V2c }, "", "community"},
		{func(c *Credentials) { c.Version = "v4" }, "", "version"},
		{func(c *Credentials) { c.User = "" }, "authPriv", "user"},
		{func(c *Credentials) { c.AuthProtocol = "SHA1" }, "authPriv", "auth protocol"},
		{func(c *Credentials) { c.PrivProtocol = "3DES" }, "authPriv", "privacy protocol"},
		{func(c *Credentials) { c.AuthProtocol = "" }, "noAuthNoPriv", "auth protocol"},
		{func(c *Credentials) { c.AuthPassword = secret.New("1234567") }, "authPriv", "auth password"},
		{func(c *Credentials) { c.PrivPassword = secret.String{} }, "authPriv", "privacy password"},
		{func(c *Credentials) { c.Context = strings.Repeat("x", 33) }, "authPriv", "context"},
	} {
		credentials := good
		c.change(&credentials)
		err := credentials.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || credentials.Level() != c.level {
			t.Errorf("%s: level %q, error %v, want %q", credentials.Version, credentials.Level(), err, c.want)
		}
		if _, dialErr := Dial(t.Context(), Target{Host: "127.0.0.1", Credentials: credentials}, nil); (dialErr == nil) != (err == nil) {
			t.Errorf("Dial: %v, Validate: %v", dialErr, err)
		}
	}
}

// TestKeys holds the vectors of RFC 3414, appendix A.3, and what the decoder
// derives itself for the extended keys.
func TestKeys(t *testing.T) {
	t.Parallel()
	engine := "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
	password := secret.New("maplesyrup")
	cache := NewKeyCache()
	for _, keys := range []*KeyCache{nil, cache, cache} {
		if got := hex.EncodeToString(keys.authKey(gosnmp.MD5, password, engine)); got != "526f5eed9fcce26f8964c2930787d82b" {
			t.Errorf("MD5: %s", got)
		}
		if got := hex.EncodeToString(keys.authKey(gosnmp.SHA, password, engine)); got != "6695febc9288e36282235fc7151f128497b38f3f" {
			t.Errorf("SHA: %s", got)
		}
		for auth := gosnmp.MD5; auth <= gosnmp.SHA512; auth++ {
			for priv := gosnmp.DES; priv <= gosnmp.AES256C; priv++ {
				theirs := &gosnmp.UsmSecurityParameters{AuthenticationProtocol: auth, PrivacyProtocol: priv, AuthoritativeEngineID: engine,
					AuthenticationPassphrase: "maplesyrup", PrivacyPassphrase: "maplesyrup"}
				if err := theirs.InitSecurityKeys(); err != nil {
					t.Fatal(err)
				}
				ours, err := keys.privKey(auth, priv, password, engine)
				if err != nil || !slices.Equal(ours, theirs.PrivacyKey[:len(ours)]) || len(ours) < 16 {
					t.Errorf("%v %v: %x, decoder %x, error %v", auth, priv, ours, theirs.PrivacyKey, err)
				}
			}
		}
	}
	for i := range maxKeys + 10 {
		cache.keys[[32]byte{byte(i), byte(i >> 8), 1}] = []byte{1}
	}
	cache.authKey(gosnmp.MD5, secret.New("another one"), engine)
	if len(cache.keys) > maxKeys {
		t.Errorf("the cache holds %d keys", len(cache.keys))
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ columns, expected, want int }{
		{20, 48, 5}, {20, 8, 7}, {20, 1, 20}, {20, 2, 20}, {1, 1000, 1}, {20, 1000, 5}, {20, 0, 10}, {3, 0, 3}, {11, 0, 6},
	} {
		b := newBulk(false)
		if got := b.batch(c.columns, c.expected, false); got != c.want {
			t.Errorf("%d columns of %d rows: %d together, want %d", c.columns, c.expected, got, c.want)
		}
	}
	b := newBulk(false)
	if got := b.repetitions(10, 49, firstRows, 0); got != 6 {
		t.Errorf("49 rows of 10 columns: %d at once", got)
	}
	if got := b.repetitions(1, 5, firstRows, 3); got != 3 {
		t.Errorf("5 rows, at most 3 at once: %d", got)
	}
}

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	good := Target{Host: "127.0.0.1", Credentials: Credentials{Version: V2c, Community: secret.New("public")}, Timeout: 200 * time.Millisecond}
	for name, change := range map[string]func(*Target){
		"transport": func(t *Target) { t.Transport = "sctp" },
		"host":      func(t *Target) { t.Host = "" },
		"family":    func(t *Target) { t.Transport = "udp6" },
	} {
		target := good
		change(&target)
		if s, err := Dial(t.Context(), target, nil); err == nil || errors.Is(err, ErrTimeout) {
			t.Errorf("%s: session %v, error %v", name, s, err)
		}
	}
	target := good
	target.Transport, target.Port = "tcp", uint16(freePort(t))
	if _, err := Dial(t.Context(), target, nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("closed port: %v", err)
	}
}

// Who asks for no more than a usual reply holds gets one PDU, whatever values were like before.
func TestWhatBelongsTogetherIsAskedForTogether(t *testing.T) {
	t.Parallel()
	oids := slices.Repeat([]OID{"1.3.6.1.2.1.31.1.1.1.6.10101"}, 61)
	s := &Session{target: Target{MaxObjects: 60}, bulk: newBulk(false), value: 40}
	if n := s.fitting(oids); n > 30 {
		t.Errorf("%d long values are asked for at once", n)
	}
	if !s.holds(oids[:60]) || s.holds(oids) {
		t.Errorf("60 objects: %v, 61: %v", s.holds(oids[:60]), s.holds(oids))
	}
	if s.bulk.replySize = 700; s.holds(oids[:60]) {
		t.Error("60 objects are asked for of an agent whose replies are small")
	}
}
