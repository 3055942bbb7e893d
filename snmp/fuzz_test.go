package snmp

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// overflow is a varbind's header whose length overflows in the decoder of gosnmp v1.43, which panics.
var overflow = []byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}

// fuzzEngine is the engine that the v3 sessions of the fuzz tests know.
const fuzzEngine = "engine"

// FuzzReply feeds messages as replies to a request under way, for v1, v2c, v3
// without authentication, v3 with a digest that is right, what comes out of
// decryption, and a discovery: nothing may panic, every error is short and
// clean, and every cell stays within what was asked. testdata/fuzz has replies
// of the simulator beside the ones made here.
func FuzzReply(f *testing.F) {
	seedReplies(f)
	plain := []*Session{
		fuzzSession(f, Credentials{Version: V1, Community: secret.New("public")}),
		fuzzSession(f, Credentials{Version: V2c, Community: secret.New("public")}),
		fuzzSession(f, Credentials{Version: V3, User: "user"}),
	}
	private := fuzzSession(f, newEngine3("").credentials())
	f.Fuzz(func(t *testing.T, message []byte) {
		e, _ := parseEnvelope(message)
		for _, s := range plain {
			s.sent = []try{{id: max(e.id, 1)}}
			a, err := s.accept(bytes.Clone(message), false)
			checkFuzzed(t, s, a, err)
		}
		a, err := private.decode(bytes.Clone(message), e.id)
		checkFuzzed(t, private, a, err)
		private.sent = []try{{id: max(e.id, 1)}}
		a, err = private.accept(signed(private, message), false)
		checkFuzzed(t, private, a, err)

		user := plain[2]
		if _, err = user.accept(bytes.Clone(message), true); err == nil && (len(user.usm.engine) < 5 || len(user.usm.engine) > 32) {
			t.Errorf("an engine with an id of %d bytes", len(user.usm.engine))
		}
		checkFuzzed(t, user, answer{}, err)
		knowEngine(t, user)
	})
}

// seedReplies adds replies of all versions, all Reports, and what made a decoder panic.
func seedReplies(f *testing.F) {
	add := func(p gosnmp.SnmpPacket) {
		message, err := p.MarshalMsg()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
		if at := bytes.LastIndexByte(message, 0x30); at >= 0 { // the last varbind's header
			f.Add(slices.Concat(message[:at], overflow, message[min(at+len(overflow), len(message)):]))
		}
	}
	p := gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: "public", PDUType: gosnmp.GetResponse, RequestID: 7, Variables: []gosnmp.SnmpPDU{
		number(".1.3.6.1.2.1.2.2.1.2.1", 5), text(".1.3.6.1.2.1.2.2.1.2.2", "text"),
		{Name: ".1.3.6.1.2.1.2.2.1.2.3", Type: gosnmp.Counter64, Value: uint64(1) << 60},
		{Name: ".1.3.6.1.2.1.2.2.1.2.4", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1"},
		{Name: ".1.3.6.1.2.1.2.2.1.2.5", Type: gosnmp.OpaqueFloat, Value: float32(1)},
		{Name: ".1.3.6.1.2.1.2.2.1.2.6", Type: gosnmp.EndOfMibView},
		{Name: ".1.3.6.1.2.1.2.2.1.2.7", Type: gosnmp.IPAddress, Value: "192.0.2.1"},
		{Name: ".1.3.6.1.2.1.2.2.1.2.8", Type: gosnmp.TimeTicks, Value: uint32(9)},
		text(".1.3.6.1.2.1.2.2.1.2.9", strings.Repeat("x", 40)),
	}}
	add(p)
	p.Version = gosnmp.Version1
	add(p)
	p.Error, p.ErrorIndex = gosnmp.NoSuchName, 2
	add(p)
	p.Version, p.Error, p.ErrorIndex, p.SecurityModel, p.MsgID, p.ContextEngineID = gosnmp.Version3, 0, 0, gosnmp.UserSecurityModel, 7, fuzzEngine
	p.SecurityParameters = &gosnmp.UsmSecurityParameters{UserName: "user", AuthoritativeEngineID: fuzzEngine}
	add(p)
	p.PDUType = gosnmp.Report
	for name := range reportNames {
		p.Variables = []gosnmp.SnmpPDU{number("."+string(name), 1)}
		add(p)
	}
	agent := newEngine3(fuzzEngine)
	f.Add(agent.answer(f, 7))
	f.Add(agent.report(f, 7, 2))
	f.Add(agent.report(f, 7, 4))
}

// fuzzSession is a session without a socket, its engine known.
func fuzzSession(t testing.TB, c Credentials) *Session {
	s := newSession(Target{Credentials: c}, nil, &conn{network: "udp4"})
	if s.usm != nil {
		knowEngine(t, s)
	}
	return s
}

// knowEngine makes a session know the engine of the fuzz tests, and no other.
func knowEngine(t testing.TB, s *Session) {
	if err := s.adopt(&envelope{engineID: []byte(fuzzEngine), boots: 5, time: 100}); err != nil {
		t.Fatal(err)
	}
}

// signed is the message with the digest that it should have, if it has room for one.
func signed(s *Session, message []byte) []byte {
	message = bytes.Clone(message)
	e, ok := parseEnvelope(message)
	if !ok || len(e.mac) != macLengths[s.usm.params.AuthenticationProtocol] {
		return message
	}
	clear(e.mac)
	s.usm.mac.Reset()
	s.usm.mac.Write(message[:e.length])
	copy(e.mac, s.usm.mac.Sum(nil))
	return message
}

func checkFuzzed(t *testing.T, s *Session, a answer, err error) {
	t.Helper()
	if err != nil {
		checkText(t, err)
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

// checkText wants an error that is fit for a log line.
func checkText(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 200 || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\x00\x1b") {
		t.Errorf("error of %d bytes: %q", len(text), text)
	}
}

// FuzzDecrypted feeds what an agent that has the keys may have encrypted: behind
// digest and encryption nothing but the decoder has looked at it before.
func FuzzDecrypted(f *testing.F) {
	scoped := tlv(0x30, tlv(4, []byte(fuzzEngine)), tlv(4, nil), tlv(0xa2, tlv(2, []byte{7}), tlv(2, []byte{0}), tlv(2, []byte{0}),
		tlv(0x30, tlv(0x30, tlv(6, []byte{0x2b, 6, 1, 2, 1, 2, 2, 1, 2, 1}), tlv(4, []byte("abcdefghijklmnopqrst"))))))
	f.Add(scoped)
	at := bytes.LastIndexByte(scoped, 0x30)
	f.Add(slices.Concat(scoped[:at], overflow, scoped[at+len(overflow):]))
	f.Add(bytes.Replace(scoped, []byte{0xa2}, []byte{0xa8}, 1)) // a Report
	f.Add([]byte{})
	s := fuzzSession(f, newEngine3("").credentials())
	f.Fuzz(func(t *testing.T, plain []byte) {
		s.sent = []try{{id: 7}}
		s.usm.trusted = false
		a, err := s.accept(sealed(t, s, plain), false)
		checkFuzzed(t, s, a, err)
		if errors.Is(err, errRefused) {
			t.Error("the message was refused before it was decrypted")
		}
	})
}

// sealed is a message with id 7 of the engine of the fuzz tests, encrypted by AES-128 (RFC 3826) and with its digest.
func sealed(t testing.TB, s *Session, plain []byte) []byte {
	block, err := aes.NewCipher(s.usm.params.PrivacyKey)
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("saltsalt")
	before := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 5), 100), salt...)
	hidden := bytes.Clone(plain)
	for rest := hidden; len(rest) > 0; {
		n := min(len(rest), aes.BlockSize)
		block.Encrypt(before, before)
		for i := range rest[:n] {
			rest[i] ^= before[i]
			before[i] = rest[i]
		}
		rest = rest[n:]
	}
	security := tlv(0x30, tlv(4, []byte(fuzzEngine)), tlv(2, []byte{5}), tlv(2, []byte{100}), tlv(4, []byte("user")), tlv(4, make([]byte, 12)), tlv(4, salt))
	header := tlv(0x30, tlv(2, []byte{7}), tlv(2, []byte{0, 0xff, 0xff}), tlv(4, []byte{byte(gosnmp.AuthPriv)}), tlv(2, []byte{3}))
	return signed(s, tlv(0x30, tlv(2, []byte{3}), header, tlv(4, security), tlv(4, hidden)))
}

// tlv is a BER element.
func tlv(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	switch n := len(content); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, content...)
	case n < 0x10000:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, content...)
	default:
		return append([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}, content...)
	}
}

// pieces is a stream that comes in pieces of a size, and then nothing more.
type pieces struct {
	puppet
	rest []byte
	size int
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(into[:min(len(into), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// FuzzStream cuts messages out of a stream: what is handed out is whole, and is what came, however it is cut.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0x30, 3, 1, 2, 3, 0x30, 0x81, 2, 1, 2, 0x30, 0x82, 0, 1, 9}, uint8(2))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, uint8(1))
	f.Add(append([]byte{0x30, 0x82, 0x7f, 0xff}, make([]byte, 0x7fff)...), uint8(255))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		socket := &pieces{rest: stream, size: 1 + int(piece)}
		c := &conn{network: "tcp4", socket: socket, buffer: make([]byte, 64)}
		taken := 0
		for range len(stream) + 1 {
			if c.socket == nil {
				return
			}
			message, err := c.receive(time.Now().Add(time.Hour))
			if err != nil {
				checkText(t, err)
				if len(socket.rest) == 0 {
					return
				}
				continue
			}
			if len(message) < 2 || len(message) > maxMessage || taken+len(message) > len(stream) || !bytes.Equal(message, stream[taken:taken+len(message)]) {
				t.Fatalf("%d bytes at %d are not those that came", len(message), taken)
			}
			taken += len(message)
		}
	})
}
