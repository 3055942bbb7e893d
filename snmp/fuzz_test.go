package snmp

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// FuzzReply feeds messages as replies to a request under way, for v2c, for v3
// without authentication, and what comes out of decryption: nothing may panic,
// every error is short and clean, and every cell stays within what was asked.
func FuzzReply(f *testing.F) {
	good := gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: "public", PDUType: gosnmp.GetResponse, RequestID: 7, Variables: []gosnmp.SnmpPDU{
		number(".1.3.6.1.2.1.2.2.1.2.1", 5), text(".1.3.6.1.2.1.2.2.1.2.2", "text"),
		{Name: ".1.3.6.1.2.1.2.2.1.2.3", Type: gosnmp.Counter64, Value: uint64(1) << 60},
		{Name: ".1.3.6.1.2.1.2.2.1.2.4", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1"},
		{Name: ".1.3.6.1.2.1.2.2.1.2.5", Type: gosnmp.OpaqueFloat, Value: float32(1)},
		{Name: ".1.3.6.1.2.1.2.2.1.2.6", Type: gosnmp.EndOfMibView},
	}}
	message, err := good.MarshalMsg()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	f.Add(append([]byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}, message...))
	good.Version, good.SecurityModel, good.MsgID, good.ContextEngineID = gosnmp.Version3, gosnmp.UserSecurityModel, 7, "engine"
	good.SecurityParameters = &gosnmp.UsmSecurityParameters{UserName: "user", AuthoritativeEngineID: "engine"}
	if message, err = good.MarshalMsg(); err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	good.PDUType, good.Variables[0].Name = gosnmp.Report, ".1.3.6.1.6.3.15.1.1.4.0"
	if message, err = good.MarshalMsg(); err != nil {
		f.Fatal(err)
	}
	f.Add(message)
	plain := fuzzSession(f, Credentials{Version: V2c, Community: secret.New("public")})
	user := fuzzSession(f, Credentials{Version: V3, User: "user"})
	private := fuzzSession(f, newEngine3("").credentials())
	f.Fuzz(func(t *testing.T, message []byte) {
		e, _ := parseEnvelope(message)
		for _, s := range []*Session{plain, user} {
			s.sent = []try{{id: max(e.id, 1)}}
			a, err := s.accept(append([]byte(nil), message...), false)
			checkFuzzed(t, s, a, err)
		}
		a, err := private.decode(append([]byte(nil), message...), e.id)
		checkFuzzed(t, private, a, err)
	})
}

// fuzzSession is a session without a socket, its engine known.
func fuzzSession(f *testing.F, c Credentials) *Session {
	s := newSession(Target{Credentials: c}, nil, &conn{network: "udp4"})
	if s.usm != nil {
		if err := s.adopt(&envelope{engineID: []byte("engine")}); err != nil {
			f.Fatal(err)
		}
	}
	return s
}

func checkFuzzed(t *testing.T, s *Session, a answer, err error) {
	if err != nil {
		if text := err.Error(); len(text) > 200 || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\x00\x1b") {
			t.Errorf("error of %d bytes: %q", len(text), text)
		}
		return
	}
	c := &column{prefix: ".1.3.6.1.2.1.2.2.1.2.", next: ".1.3.6.1.2.1.2.2.1.2"}
	r := reader{s: s, request: TableRequest{MaxRows: 100, MaxBytes: 1 << 20}, each: func(cell Cell) {
		if cell.Index == "" || !cell.Value.Exists() || !utf8.ValidString(cell.Value.Text()) || len(cell.Value.Text()) > maxText {
			t.Errorf("cell %q: %q", cell.Index, cell.Value.Text())
		}
	}}
	_ = r.take(&a, []*column{c}, 10) // most answers are no rows of the column
}
