package snmp

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// engine3 is a scripted v3 agent with one user: SHA and AES.
type engine3 struct {
	id    string
	boots uint32
	level gosnmp.SnmpV3MsgFlags
	wrong bool // use keys of other passwords
}

func newEngine3(id string) engine3 { return engine3{id: id, boots: 5, level: gosnmp.AuthPriv} }

func (a engine3) credentials() Credentials {
	return Credentials{Version: V3, User: "user", AuthProtocol: "SHA", AuthPassword: secret.New(authPassword), PrivProtocol: "AES", PrivPassword: secret.New(privPassword)}
}

// message is a v3 message of this engine with the id of the request.
func (a engine3) message(t testing.TB, id uint32, pdu gosnmp.PDUType, variable gosnmp.SnmpPDU, change ...func(*gosnmp.SnmpPacket)) []byte {
	t.Helper()
	c := a.credentials()
	if a.wrong {
		c.PrivPassword = secret.New("something else")
	}
	var keys *KeyCache
	privKey, err := keys.privKey(gosnmp.SHA, gosnmp.AES, c.PrivPassword, a.id)
	if err != nil {
		t.Fatal(err)
	}
	packet := gosnmp.SnmpPacket{
		Version: gosnmp.Version3, MsgFlags: a.level, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: &gosnmp.UsmSecurityParameters{
			UserName: c.User, AuthoritativeEngineID: a.id, AuthoritativeEngineBoots: a.boots, AuthoritativeEngineTime: 100,
			AuthenticationProtocol: gosnmp.SHA, SecretKey: keys.authKey(gosnmp.SHA, c.AuthPassword, a.id),
			PrivacyProtocol: gosnmp.AES, PrivacyKey: privKey, PrivacyParameters: []byte("saltsalt"),
		},
		ContextEngineID: a.id, PDUType: pdu, MsgID: id, RequestID: id, Variables: []gosnmp.SnmpPDU{variable},
	}
	for _, c := range change {
		c(&packet)
	}
	message, err := packet.MarshalMsg()
	if err != nil {
		t.Error(err)
	}
	return message
}

// report is an unauthenticated Report, or an authenticated one for the time window.
func (a engine3) report(t testing.TB, id uint32, number int) []byte {
	a.level = gosnmp.NoAuthNoPriv
	if number == 2 {
		a.level = gosnmp.AuthNoPriv
	}
	return a.message(t, id, gosnmp.Report, gosnmp.SnmpPDU{Name: fmt.Sprintf(".1.3.6.1.6.3.15.1.1.%d.0", number), Type: gosnmp.Counter32, Value: uint(1)})
}

func (a engine3) answer(t testing.TB, id uint32, change ...func(*gosnmp.SnmpPacket)) []byte {
	return a.message(t, id, gosnmp.GetResponse, number(".1.3.6.1.2.1.1.3.0", 42), change...)
}

// TestEngines reads one object from v3 agents in trouble. answer gets the
// requests behind the first discovery, numbered from 1.
func TestEngines(t *testing.T) {
	t.Parallel()
	a, other := newEngine3("\x80\x00\x00\x00\x01A"), newEngine3("\x80\x00\x00\x00\x01B")
	forged := func(m []byte) []byte { m[len(m)-1] ^= 1; return m }
	unauthenticated, plain, wrong, rebooted := a, a, a, a
	unauthenticated.level, plain.level = gosnmp.NoAuthNoPriv, gosnmp.AuthNoPriv
	wrong.wrong, rebooted.boots = true, 6
	for name, c := range map[string]struct {
		answer func(t *testing.T, e envelope, n int) []byte
		want   error
	}{
		"good": {func(t *testing.T, e envelope, n int) []byte { return a.answer(t, e.id) }, nil},
		"rebooted": {func(t *testing.T, e envelope, n int) []byte {
			if e.boots == 6 {
				return rebooted.answer(t, e.id)
			}
			return rebooted.report(t, e.id, 2)
		}, nil},
		"another engine by now": {func(t *testing.T, e envelope, n int) []byte {
			if string(e.engineID) == other.id {
				return other.answer(t, e.id)
			}
			return other.report(t, e.id, 4)
		}, nil},
		"another time for ever": {func(t *testing.T, e envelope, n int) []byte { return a.report(t, e.id, 2) }, ErrAuth},
		"another engine for ever": {func(t *testing.T, e envelope, n int) []byte {
			return newEngine3(fmt.Sprintf("engine %d", n)).report(t, e.id, 4)
		}, ErrAuth},
		"unknown user": {func(t *testing.T, e envelope, n int) []byte { return a.report(t, e.id, 3) }, ErrAuth},
		"level":        {func(t *testing.T, e envelope, n int) []byte { return a.report(t, e.id, 1) }, ErrAuth},
		"digest":       {func(t *testing.T, e envelope, n int) []byte { return a.report(t, e.id, 5) }, ErrAuth},
		"decryption":   {func(t *testing.T, e envelope, n int) []byte { return a.report(t, e.id, 6) }, ErrAuth},
		"a report of no kind": {func(t *testing.T, e envelope, n int) []byte {
			return a.message(t, e.id, gosnmp.Report, number(".1.3.6.1", 1))
		}, ErrUnexpected},
		"another privacy key":     {func(t *testing.T, e envelope, n int) []byte { return wrong.answer(t, e.id) }, ErrAuth},
		"no authentication":       {func(t *testing.T, e envelope, n int) []byte { return unauthenticated.answer(t, e.id) }, ErrTimeout},
		"no privacy":              {func(t *testing.T, e envelope, n int) []byte { return plain.answer(t, e.id) }, ErrTimeout},
		"a forged digest":         {func(t *testing.T, e envelope, n int) []byte { return forged(a.answer(t, e.id)) }, ErrTimeout},
		"another engine's answer": {func(t *testing.T, e envelope, n int) []byte { return other.answer(t, e.id) }, ErrTimeout},
		"another message id": {func(t *testing.T, e envelope, n int) []byte {
			return a.answer(t, e.id^1)
		}, ErrTimeout},
		"request id 0": {func(t *testing.T, e envelope, n int) []byte {
			return a.answer(t, e.id, func(p *gosnmp.SnmpPacket) { p.RequestID = 0 })
		}, ErrUnexpected},
		"dies": {func(t *testing.T, e envelope, n int) []byte { return nil }, ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			behind := 0
			agent, target := startScripted(t, func(r request) [][]byte {
				e, ok := parseEnvelope(r.raw)
				if !ok {
					t.Errorf("a request that cannot be read: %x", r.raw)
				}
				switch {
				case len(e.engineID) == 0 && behind == 0:
					return [][]byte{a.report(t, e.id, 4)}
				case len(e.engineID) == 0 && name == "another engine by now":
					return [][]byte{other.report(t, e.id, 4)}
				case len(e.engineID) == 0 && errors.Is(c.want, ErrTimeout):
					return nil // it is dead by then
				case len(e.engineID) == 0:
					return [][]byte{newEngine3(fmt.Sprintf("engine %d", behind)).report(t, e.id, 4)}
				}
				behind++
				if message := c.answer(t, e, behind); message != nil {
					return [][]byte{message}
				}
				return nil
			})
			target.Credentials, target.Timeout = a.credentials(), 150*time.Millisecond
			s := dial(t, target)
			got, err := s.Get(t.Context(), "1.3.6.1.2.1.1.3.0")
			if c.want == nil && (err != nil || got[0].Value.Text() != "42") {
				t.Errorf("%v, error %v", got, err)
			} else if c.want != nil {
				checkError(t, err, c.want)
			}
			if n := agent.requests.Load(); n > 7 {
				t.Errorf("%d requests", n)
			}
			if c.want == nil { // the session stays in step
				before := agent.requests.Load()
				if _, err := s.Get(t.Context(), "1.3.6.1.2.1.1.3.0"); err != nil || agent.requests.Load() != before+1 {
					t.Errorf("second request: %v, %d messages", err, agent.requests.Load()-before)
				}
			}
		})
	}
}

// TestDeadEngine wants a v3 agent that is not there to be no answer, and one
// whose discovery is senseless as well.
func TestDeadEngine(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"silent": "", "short": "abc", "long": "123456789012345678901234567890123"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agent, target := startScripted(t, func(r request) [][]byte {
				if e, ok := parseEnvelope(r.raw); ok && id != "" {
					return [][]byte{newEngine3(id).report(t, e.id, 4)}
				}
				return nil
			})
			target.Credentials = newEngine3("").credentials()
			_, err := dial(t, target).Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 2, 50*time.Millisecond)
			checkError(t, err, ErrTimeout)
			if n := agent.requests.Load(); n != 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestJudgeWithoutAuthentication wants engine and user to be checked where no digest does it.
func TestJudgeWithoutAuthentication(t *testing.T) {
	t.Parallel()
	s := newSession(Target{Credentials: Credentials{Version: V3, User: "user"}}, nil, &conn{network: "udp4"})
	if err := s.adopt(&envelope{engineID: []byte("engine")}); err != nil {
		t.Fatal(err)
	}
	good := envelope{engineID: []byte("engine"), user: []byte("user"), model: 3, sound: true, pdu: byte(gosnmp.GetResponse)}
	if err := s.usm.judge(nil, &good); err != nil {
		t.Errorf("good: %v", err)
	}
	for name, change := range map[string]func(*envelope){
		"engine": func(e *envelope) { e.engineID = []byte("another") },
		"user":   func(e *envelope) { e.user = nil },
		"model":  func(e *envelope) { e.model = 4 },
		"length": func(e *envelope) { e.sound = false },
		"level":  func(e *envelope) { e.encrypted = true },
	} {
		e := good
		change(&e)
		if err := s.usm.judge(nil, &e); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
