package snmp

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"
)

// checkError wants an error of a kind with a text fit for a log line.
func checkError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if err != nil && (len(err.Error()) > 200 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.Contains(err.Error(), "goroutine")) {
		t.Errorf("text of %d bytes: %q", len(err.Error()), err)
	}
}

// TestHostileTables reads a table from agents that answer wrongly. None may
// yield a short table without an error, or a cell that was not asked for.
func TestHostileTables(t *testing.T) {
	t.Parallel()
	m := interfaces(100, 2, 3)
	for name, c := range map[string]struct {
		agent func(t *testing.T, r request) []byte
		want  error // nil: a *StatusError
	}{
		"decreasing": {func(t *testing.T, r request) []byte {
			answer := m.answer(r)
			slices.Reverse(answer)
			return reply(t, r, answer)
		}, ErrNotIncreasing},
		"the same again": {func(t *testing.T, r request) []byte {
			return reply(t, r, []gosnmp.SnmpPDU{number(".1.3.6.1.2.1.2.2.1.2.1", 1), number(".1.3.6.1.2.1.2.2.1.3.1", 1)})
		}, ErrNotIncreasing},
		"the name asked": {func(t *testing.T, r request) []byte {
			return reply(t, r, []gosnmp.SnmpPDU{number(r.Variables[0].Name, 1)})
		}, ErrNotIncreasing},
		"another object": {func(t *testing.T, r request) []byte {
			return reply(t, r, []gosnmp.SnmpPDU{number(".1.3.6.1.2.1.1.1.0", 1), number(".1.3.6.1.2.1.1.1.0", 1)})
		}, ErrNotIncreasing},
		"a long name": {func(t *testing.T, r request) []byte {
			name := ".1.3.6.1.2.1.1" + strings.Repeat(".4294967295", 120)
			return reply(t, r, []gosnmp.SnmpPDU{number(name, 1), number(name, 1)})
		}, ErrNotIncreasing},
		"genErr in the middle": {func(t *testing.T, r request) []byte {
			if r.number > 1 {
				return reply(t, r, r.Variables, status(gosnmp.GenErr, 1))
			}
			return reply(t, r, m.answer(r))
		}, nil},
		"authorizationError in the middle": {func(t *testing.T, r request) []byte {
			if r.number > 1 {
				return reply(t, r, r.Variables, status(gosnmp.AuthorizationError, 1))
			}
			return reply(t, r, m.answer(r))
		}, nil},
		"noSuchName in v2c": {func(t *testing.T, r request) []byte {
			return reply(t, r, r.Variables, status(gosnmp.NoSuchName, 1))
		}, nil},
		"always too big": {func(t *testing.T, r request) []byte {
			return reply(t, r, r.Variables, status(gosnmp.TooBig, 0))
		}, nil},
		"too big in turns": {func(t *testing.T, r request) []byte {
			if r.number%2 == 1 {
				return reply(t, r, r.Variables, status(gosnmp.TooBig, 0))
			}
			return reply(t, r, m.answer(r))
		}, nil},
		"nothing in it": {func(t *testing.T, r request) []byte { return reply(t, r, nil) }, ErrUnexpected},
		"more than asked": {func(t *testing.T, r request) []byte {
			r.MaxRepetitions *= 3
			return reply(t, r, m.answer(r))
		}, ErrUnexpected},
		"noSuchInstance in the middle": {func(t *testing.T, r request) []byte {
			if r.number > 1 {
				for i := range r.Variables {
					r.Variables[i].Type = gosnmp.NoSuchInstance
				}
				return reply(t, r, r.Variables)
			}
			return reply(t, r, m.answer(r))
		}, ErrNotIncreasing},
		"silence in the middle": {func(t *testing.T, r request) []byte {
			if r.number > 1 {
				return nil
			}
			return reply(t, r, m.answer(r))
		}, ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent, target := startScripted(t, func(r request) [][]byte {
				if message := c.agent(t, r); message != nil {
					return [][]byte{message}
				}
				return nil
			})
			s := dial(t, target)
			got, err := read(t, s, TableRequest{Columns: ifColumns(2, 3), ExpectedRows: 100})
			var refused *StatusError
			if c.want == nil && !errors.As(err, &refused) {
				t.Errorf("error %v, want a status", err)
			} else if c.want == nil {
				checkError(t, err, refused)
			} else {
				checkError(t, err, c.want)
			}
			if agent.requests.Load() > 40 || len(got) >= 200 {
				t.Errorf("%d requests, %d cells", agent.requests.Load(), len(got))
			}
		})
	}
}

// TestRefusedReplies wants replies that are no answer to be ignored, and the right one behind them to count.
func TestRefusedReplies(t *testing.T) {
	t.Parallel()
	uptime := number(".1.3.6.1.2.1.1.3.0", 42)
	for name, spoil := range map[string]func(*gosnmp.SnmpPacket){
		"request id 0":      func(p *gosnmp.SnmpPacket) { p.RequestID = 0 },
		"another id":        func(p *gosnmp.SnmpPacket) { p.RequestID ^= 1 },
		"another community": func(p *gosnmp.SnmpPacket) { p.Community = "private" },
		"another version":   func(p *gosnmp.SnmpPacket) { p.Version = gosnmp.Version1 },
		"a request":         func(p *gosnmp.SnmpPacket) { p.PDUType = gosnmp.GetRequest },
		"a report":          func(p *gosnmp.SnmpPacket) { p.PDUType = gosnmp.Report },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := startScripted(t, func(r request) [][]byte {
				wrong := reply(t, r, []gosnmp.SnmpPDU{number(".1.3.6.1.2.1.1.3.0", 666)}, spoil)
				if r.number == 1 {
					return [][]byte{wrong, []byte("junk"), wrong[:len(wrong)-3], {}, reply(t, r, []gosnmp.SnmpPDU{uptime})}
				}
				return [][]byte{wrong}
			})
			s := dial(t, target)
			got, err := s.Get(t.Context(), "1.3.6.1.2.1.1.3.0")
			if err != nil || got[0].Value.Text() != "42" || s.Stats().Refused != 4 {
				t.Fatalf("%v, error %v, %+v", got, err, s.Stats())
			}
			_, err = s.Get(t.Context(), "1.3.6.1.2.1.1.3.0")
			checkError(t, err, ErrTimeout)
			if !strings.Contains(err.Error(), "1 messages refused") {
				t.Errorf("error %q does not say what came", err)
			}
		})
	}
}

// TestUnexpectedAnswers are answers to our request that do not fit it.
func TestUnexpectedAnswers(t *testing.T) {
	t.Parallel()
	crafted := func(t *testing.T, r request) []byte {
		message := reply(t, r, []gosnmp.SnmpPDU{text(".1.3.6.1.2.1.1.1.0", "abcdefghijklmnopqrst")})
		// The varbind's header becomes one whose length overflows in the decoder.
		header := []byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}
		at := bytes.LastIndexByte(message, 0x30)
		return append(append(bytes.Clone(message[:at]), header...), message[at+len(header):]...)
	}
	for name, c := range map[string]func(*testing.T, request) []byte{
		"another object": func(t *testing.T, r request) []byte {
			return reply(t, r, []gosnmp.SnmpPDU{text(".1.3.6.1.2.1.1.5.0", "x")})
		},
		"one too many": func(t *testing.T, r request) []byte {
			return reply(t, r, []gosnmp.SnmpPDU{text(".1.3.6.1.2.1.1.1.0", "x"), text(".1.3.6.1.2.1.1.2.0", "x")})
		},
		"nothing":        func(t *testing.T, r request) []byte { return reply(t, r, nil) },
		"crafted length": crafted,
		"a number of no bytes": func(t *testing.T, r request) []byte {
			message := reply(t, r, []gosnmp.SnmpPDU{{Name: ".1.3.6.1.2.1.1.1.0", Type: gosnmp.OctetString, Value: ""}})
			message[len(message)-2] = byte(gosnmp.Integer)
			return message
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := startScripted(t, func(r request) [][]byte { return [][]byte{c(t, r)} })
			_, err := dial(t, target).Get(t.Context(), "1.3.6.1.2.1.1.1.0")
			checkError(t, err, ErrUnexpected)
			if name == "crafted length" && errors.Is(err, errUndecodable) {
				t.Errorf("it reached the decoder: %v", err)
			}
		})
	}
}

// TestDecoderPanic wants a panic of the decoder to be an error: for what was encrypted nothing is checked before.
func TestDecoderPanic(t *testing.T) {
	t.Parallel()
	s := newSession(Target{Credentials: Credentials{Version: V2c}}, nil, &conn{network: "udp4"})
	message, err := (&gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: "public", PDUType: gosnmp.GetResponse, RequestID: 7,
		Variables: []gosnmp.SnmpPDU{text(".1.3.6.1.2.1.1.1.0", "abcdefghijklmnopqrst")}}).MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndexByte(message, 0x30)
	copy(message[at:], []byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0})
	_, err = s.decode(message, 7)
	checkError(t, err, ErrUnexpected)
}
