package snmp

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// request is what a scripted agent was asked.
type request struct {
	*gosnmp.SnmpPacket
	raw    []byte
	number int // from 1
}

// script answers a request with any number of messages; nil means silence.
type script func(request) [][]byte

// scripted is an agent of the test itself on 127.0.0.1.
type scripted struct {
	socket   *net.UDPConn
	requests atomic.Int64
}

// startScripted runs an agent for v1 and v2c until the test ends and returns how to reach it.
func startScripted(t testing.TB, answer script) (*scripted, Target) {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	agent := &scripted{socket: socket}
	done := make(chan struct{})
	go func() {
		defer close(done)
		agent.serve(answer)
	}()
	t.Cleanup(func() { socket.Close(); <-done })
	return agent, Target{
		Host: "127.0.0.1", Port: uint16(socket.LocalAddr().(*net.UDPAddr).Port), Timeout: 200 * time.Millisecond,
		Credentials: Credentials{Version: V2c, Community: secret.New("public")},
	}
}

func (a *scripted) serve(answer script) {
	buffer := make([]byte, maxMessage)
	for {
		n, from, err := a.socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		number := a.requests.Add(1)
		raw := slices.Clone(buffer[:n])
		decoder := gosnmp.GoSNMP{Version: gosnmp.Version2c}
		packet, err := decoder.SnmpDecodePacket(slices.Clone(raw))
		if err != nil {
			packet = &gosnmp.SnmpPacket{}
		}
		for _, message := range answer(request{packet, raw, int(number)}) {
			a.socket.WriteToUDPAddrPort(message, from) //nolint:errcheck // the other side may be gone
		}
	}
}

// reply encodes an answer to a request; change may spoil it.
func reply(t testing.TB, r request, variables []gosnmp.SnmpPDU, change ...func(*gosnmp.SnmpPacket)) []byte {
	t.Helper()
	packet := gosnmp.SnmpPacket{
		Version: r.Version, Community: r.Community, PDUType: gosnmp.GetResponse, RequestID: r.RequestID, Variables: variables,
	}
	for _, c := range change {
		c(&packet)
	}
	message, err := packet.MarshalMsg()
	if err != nil {
		t.Errorf("encoding the agent's answer: %v", err)
	}
	return message
}

// status makes an answer an error.
func status(code gosnmp.SNMPError, index uint8) func(*gosnmp.SnmpPacket) {
	return func(p *gosnmp.SnmpPacket) { p.Error, p.ErrorIndex = code, index }
}

// tree is what a well-behaved agent knows, in the order of its names.
type tree []gosnmp.SnmpPDU

func newTree(variables ...gosnmp.SnmpPDU) tree {
	slices.SortFunc(variables, func(a, b gosnmp.SnmpPDU) int { return compareNames(a.Name, b.Name) })
	return variables
}

func number(name string, value uint) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: name, Type: gosnmp.Counter32, Value: value}
}

func text(name, value string) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: name, Type: gosnmp.OctetString, Value: value}
}

// after finds the variable behind a name.
func (m tree) after(name string) gosnmp.SnmpPDU {
	at, found := slices.BinarySearchFunc(m, name, func(v gosnmp.SnmpPDU, name string) int { return compareNames(v.Name, name) })
	if found {
		at++
	}
	if at == len(m) {
		return gosnmp.SnmpPDU{Name: name, Type: gosnmp.EndOfMibView}
	}
	return m[at]
}

// answer is what RFC 3416 wants for a request.
func (m tree) answer(r request) []gosnmp.SnmpPDU {
	var out []gosnmp.SnmpPDU
	switch r.PDUType {
	case gosnmp.GetRequest:
		for _, v := range r.Variables {
			at, ok := slices.BinarySearchFunc(m, v.Name, func(v gosnmp.SnmpPDU, name string) int { return compareNames(v.Name, name) })
			found := gosnmp.SnmpPDU{Name: v.Name, Type: gosnmp.NoSuchInstance}
			if ok {
				found = m[at]
			}
			out = append(out, found)
		}
	case gosnmp.GetNextRequest, gosnmp.GetBulkRequest:
		names := r.Variables
		for row := 0; row < max(1, int(r.MaxRepetitions)); row++ {
			var last []gosnmp.SnmpPDU
			for _, v := range names {
				last = append(last, m.after(v.Name))
			}
			out, names = append(out, last...), last
		}
	}
	return out
}

// interfaces is a table of columns 1.3.6.1.2.1.2.2.1.<from..to> with rows 1..n.
func interfaces(rows int, columns ...int) tree {
	var all []gosnmp.SnmpPDU
	for _, c := range columns {
		for row := 1; row <= rows; row++ {
			all = append(all, number(fmt.Sprintf(".1.3.6.1.2.1.2.2.1.%d.%d", c, row), uint(1000*c+row)))
		}
	}
	return newTree(append(all, text(".1.3.6.1.2.1.31.9.1", "behind"))...)
}

func ifColumns(columns ...int) []OID {
	var all []OID
	for _, c := range columns {
		all = append(all, OID("1.3.6.1.2.1.2.2.1").Append(uint32(c)))
	}
	return all
}

func dial(t testing.TB, target Target) *Session {
	t.Helper()
	s, err := Dial(t.Context(), target, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// read collects a table as "column.index=text" lines in the order delivered.
func read(t testing.TB, s *Session, r TableRequest) ([]string, error) {
	t.Helper()
	var lines []string
	err := s.Table(t.Context(), r, func(c Cell) {
		if c.At.IsZero() || time.Since(c.At) < 0 {
			t.Errorf("cell %d.%s has no time", c.Column, c.Index)
		}
		lines = append(lines, fmt.Sprintf("%d.%s=%s", c.Column, c.Index, c.Value.Text()))
	})
	return lines, err
}

// wantInterfaces compares a read of interfaces(rows, columns...) with what is there.
func wantInterfaces(t *testing.T, got []string, rows int, columns ...int) {
	t.Helper()
	var want []string
	for i, c := range columns {
		for row := 1; row <= rows; row++ {
			want = append(want, fmt.Sprintf("%d.%d=%d", i, row, 1000*c+row))
		}
	}
	got = slices.Clone(got)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("read %d cells, want %d\ngot  %s\nwant %s", len(got), len(want), strings.Join(got, " "), strings.Join(want, " "))
	}
}
