package snmp

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// puppet is a socket whose other side is a function: nothing waits. answer gets
// what was written, or nil for each further read, and returns nil for a timeout.
type puppet struct {
	net.Conn // nil: what is not below is never called
	answer   func([]byte) []byte
	asked    []byte
}

func (p *puppet) Write(message []byte) (int, error) {
	p.asked = slices.Clone(message)
	return len(message), nil
}

func (p *puppet) Read(into []byte) (int, error) {
	message := p.answer(p.asked)
	p.asked = nil
	if message == nil {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(into, message), nil
}

func (p *puppet) SetDeadline(time.Time) error     { return nil }
func (p *puppet) SetReadDeadline(time.Time) error { return nil }
func (p *puppet) Close() error                    { return nil }

// whimsical is an agent that has a table and does with each request what the
// next bytes of its script say: answers, stays silent, fails, or spoils its
// answer. At the end of the script it becomes honest.
type whimsical struct {
	tree     tree
	script   []byte
	requests int
}

// take is the next byte of the script, 0 at its end.
func (a *whimsical) take() int {
	if len(a.script) == 0 {
		return 0
	}
	b := a.script[0]
	a.script = a.script[1:]
	return int(b)
}

func (a *whimsical) answer(message []byte) (reply []byte) {
	if message == nil {
		return nil
	}
	a.requests++
	packet, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c}).SnmpDecodePacket(message)
	if err != nil {
		return nil
	}
	r := request{SnmpPacket: packet, number: a.requests}
	p := gosnmp.SnmpPacket{Version: r.Version, Community: r.Community, PDUType: gosnmp.GetResponse, RequestID: r.RequestID}
	defer func() {
		if recover() != nil {
			reply = nil // what the encoder cannot write is not sent
		}
	}()
	switch mood := a.take() % 12; mood {
	case 1:
		return nil
	case 2:
		p.Error, p.ErrorIndex, p.Variables = gosnmp.SNMPError(a.take()%20), uint8(a.take()), r.Variables
	case 3, 4, 5, 6, 7:
		p.Variables = a.tree.answer(r)
		for range mood - 2 {
			p.Variables = a.spoil(p.Variables, r.Variables)
		}
	default:
		p.Variables = a.tree.answer(r)
	}
	message, err = p.MarshalMsg()
	if err != nil {
		return nil
	}
	return message
}

// spoil changes one variable of an answer, or how many there are.
func (a *whimsical) spoil(variables, asked []gosnmp.SnmpPDU) []gosnmp.SnmpPDU {
	if len(variables) == 0 {
		return variables
	}
	i := a.take() % len(variables)
	v := &variables[i]
	switch a.take() % 12 {
	case 0:
		return variables[:i]
	case 1:
		return append(variables, variables[i])
	case 2:
		return slices.Delete(variables, i, i+1)
	case 3:
		v.Name = variables[a.take()%len(variables)].Name
	case 4:
		v.Name = asked[a.take()%len(asked)].Name
	case 5:
		v.Name = fmt.Sprintf(".1.3.6.1.2.1.2.2.1.%d.%d", a.take()%8, a.take())
	case 6:
		v.Name += strings.Repeat(".4294967295", a.take())
	case 7:
		v.Type, v.Value = gosnmp.NoSuchInstance, nil
	case 8:
		v.Type, v.Value = gosnmp.EndOfMibView, nil
	case 9:
		v.Type, v.Value = gosnmp.Null, nil
	case 10:
		v.Type, v.Value = gosnmp.OctetString, strings.Repeat(string(rune(a.take())), a.take()*8)
	case 11:
		v.Type, v.Value = gosnmp.NoSuchObject, nil
	}
	return variables
}

// FuzzTable reads a table and objects from an agent that follows its script: the
// read ends after few requests, an honest agent's table is whole, and of any other there is no row twice, out of order or of another column.
func FuzzTable(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte{}, true)
	f.Add([]byte{1, 1, 1, 0, 2, 1, 0, 2, 5, 1}, false)         // silence, tooBig, genErr
	f.Add([]byte{3, 0, 4, 0, 3, 1, 5, 3, 9, 7, 2, 7, 1}, true) // spoilt names and types
	f.Add([]byte{2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0}, false)
	columns := []int{2, 3, 5}
	const rows = 12
	m := interfaces(rows, columns...)
	f.Fuzz(func(t *testing.T, script []byte, old bool) {
		script = script[:min(len(script), 200)]
		agent := &whimsical{tree: m, script: script}
		s := newSession(Target{Credentials: Credentials{Version: V2c, Community: secret.New("public")}, Timeout: time.Second, Retries: 1}, nil,
			&conn{network: "udp4", buffer: make([]byte, firstBuffer), socket: &puppet{answer: agent.answer}})
		if old {
			s.packet.Version, s.decoder.Version = gosnmp.Version1, gosnmp.Version1
		}
		last, cells := make([]string, len(columns)), 0
		err := s.Table(t.Context(), TableRequest{Columns: ifColumns(columns...), MaxRows: 50}, func(c Cell) {
			cells++
			if c.Column < 0 || c.Column >= len(columns) || c.Index == "" || !c.Value.Exists() || len(c.Value.Text()) > maxText {
				t.Fatalf("cell %+v", c)
			}
			name := ".1." + c.Index
			if before := last[c.Column]; before != "" && compareNames(name, before) <= 0 {
				t.Fatalf("row %s of column %d follows %s", name, c.Column, before)
			}
			last[c.Column] = name
		})
		if err != nil {
			checkText(t, err)
		}
		if len(script) == 0 && (err != nil || cells != rows*len(columns)) {
			t.Errorf("an honest agent: %d cells, %v", cells, err)
		}
		if cells > 50*len(columns) || agent.requests > 200+4*len(script) {
			t.Errorf("%d cells in %d requests", cells, agent.requests)
		}
		asked := []OID{"1.3.6.1.2.1.2.2.1.2.1", "1.3.6.1.2.1.2.2.1.9.1", "1.3.6.1.2.1.2.2.1.3.4"}
		got, err := s.Get(t.Context(), asked...)
		if err != nil {
			checkText(t, err)
			return
		}
		for i, v := range got {
			if len(got) != len(asked) || v.OID != asked[i] {
				t.Fatalf("%v in place of %v", got, asked)
			}
		}
	})
}
