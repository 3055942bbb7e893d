package snmp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

// TestTable reads the same table from agents that answer in every legal way.
func TestTable(t *testing.T) {
	t.Parallel()
	columns := []int{2, 8, 10, 13, 16, 20}
	cut := func(n int) func(*gosnmp.SnmpPacket) {
		return func(p *gosnmp.SnmpPacket) { p.Variables = p.Variables[:min(n, len(p.Variables))] }
	}
	for name, c := range map[string]struct {
		rows, expected int
		most           int64 // requests
		agent          func(t *testing.T, m tree, r request) []byte
	}{
		"plain":       {rows: 48, expected: 48, most: 6},
		"unknown":     {rows: 48, most: 7},
		"fewer":       {rows: 10, expected: 48, most: 2},
		"more":        {rows: 48, expected: 10, most: 9},
		"very many":   {rows: 1500, most: 160}, // more replies than an int has bits
		"one request": {rows: 8, expected: 8, most: 1},
		"empty":       {rows: 0, expected: 8, most: 1},
		"cut in the middle of a row": {rows: 20, expected: 20, most: 25, agent: func(t *testing.T, m tree, r request) []byte {
			return reply(t, r, m.answer(r), cut(7))
		}},
		"one variable a reply": {rows: 4, expected: 4, most: 40, agent: func(t *testing.T, m tree, r request) []byte {
			return reply(t, r, m.answer(r), cut(1))
		}},
		"too big above 10 variables": {rows: 20, expected: 20, most: 40, agent: func(t *testing.T, m tree, r request) []byte {
			if answer := m.answer(r); len(answer) <= 10 {
				return reply(t, r, answer)
			}
			return reply(t, r, r.Variables, status(gosnmp.TooBig, 0))
		}},
		"too big above 2 variables": {rows: 4, expected: 4, most: 40, agent: func(t *testing.T, m tree, r request) []byte {
			if answer := m.answer(r); len(answer) <= 2 {
				return reply(t, r, answer)
			}
			return reply(t, r, nil, status(gosnmp.TooBig, 0))
		}},
		"genErr on GETBULK": {rows: 10, expected: 10, most: 24, agent: func(t *testing.T, m tree, r request) []byte {
			if r.PDUType == gosnmp.GetBulkRequest {
				return reply(t, r, r.Variables, status(gosnmp.GenErr, 1))
			}
			return reply(t, r, m.answer(r))
		}},
		"silence on GETBULK": {rows: 10, expected: 10, most: 24, agent: func(t *testing.T, m tree, r request) []byte {
			if r.PDUType == gosnmp.GetBulkRequest {
				return nil
			}
			return reply(t, r, m.answer(r))
		}},
		"noSuchObject for no column": {rows: 0, most: 1, agent: func(t *testing.T, _ tree, r request) []byte {
			answer := r.Variables
			for i := range answer {
				answer[i].Type = gosnmp.NoSuchObject
			}
			return reply(t, r, answer)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := interfaces(c.rows, columns...)
			agent, target := startScripted(t, func(r request) [][]byte {
				if c.agent == nil {
					return [][]byte{reply(t, r, m.answer(r))}
				}
				if message := c.agent(t, m, r); message != nil {
					return [][]byte{message}
				}
				return nil
			})
			s := dial(t, target)
			got, err := read(t, s, TableRequest{Columns: ifColumns(columns...), ExpectedRows: c.expected})
			if err != nil {
				t.Fatal(err)
			}
			wantInterfaces(t, got, c.rows, columns...)
			if n := agent.requests.Load(); n > c.most {
				t.Errorf("%d requests, want at most %d", n, c.most)
			}
		})
	}
}

// TestTableV1 wants GETNEXT, and noSuchName as the end of the MIB and of nothing else.
func TestTableV1(t *testing.T) {
	t.Parallel()
	columns := []int{2, 8, 20}
	for name, index := range map[string]func(first int) uint8{
		"index": func(first int) uint8 { return uint8(first) },
		"none":  func(int) uint8 { return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := interfaces(5, columns...)
			m = m[:len(m)-1] // column 20 is the end of the MIB
			_, target := startScripted(t, func(r request) [][]byte {
				answer := m.answer(r)
				for i, v := range answer {
					if v.Type == gosnmp.EndOfMibView {
						return [][]byte{reply(t, r, r.Variables, status(gosnmp.NoSuchName, index(i+1)))}
					}
				}
				if r.PDUType != gosnmp.GetNextRequest {
					t.Errorf("v1 was asked with %v", r.PDUType)
				}
				return [][]byte{reply(t, r, answer)}
			})
			target.Credentials.Version = V1
			got, err := read(t, dial(t, target), TableRequest{Columns: ifColumns(append(columns, 21)...)})
			if err != nil {
				t.Fatal(err)
			}
			wantInterfaces(t, got, 5, columns...)
		})
	}
}

// TestTableCaps wants the error of each cap, and no more cells than it.
func TestTableCaps(t *testing.T) {
	t.Parallel()
	endless := func(t *testing.T) script {
		return func(r request) [][]byte {
			var row uint32
			if _, err := fmt.Sscanf(r.Variables[0].Name, ".1.3.6.1.2.1.2.2.1.2.%d", &row); err != nil {
				row = 0
			}
			var answer []gosnmp.SnmpPDU
			for i := range r.MaxRepetitions {
				answer = append(answer, number(fmt.Sprintf(".1.3.6.1.2.1.2.2.1.2.%d", row+i+1), 1))
			}
			return [][]byte{reply(t, r, answer)}
		}
	}
	for name, r := range map[string]TableRequest{
		"rows":  {MaxRows: 1000},
		"bytes": {MaxBytes: 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := startScripted(t, endless(t))
			r.Columns = ifColumns(2)
			got, err := read(t, dial(t, target), r)
			if !errors.Is(err, ErrTooLarge) || len(got) == 0 || len(got) > 1000 {
				t.Errorf("%d cells, error %v", len(got), err)
			}
		})
	}
}

// TestTimeOfACell wants the middle between sending the try that was answered and its reply.
func TestTimeOfACell(t *testing.T) {
	t.Parallel()
	m := interfaces(1, 2)
	_, target := startScripted(t, func(r request) [][]byte {
		if r.number == 1 {
			return nil
		}
		return [][]byte{reply(t, r, m.answer(r))}
	})
	target.Retries = 1
	s := dial(t, target)
	begin := time.Now()
	var at time.Time
	if err := s.Table(t.Context(), TableRequest{Columns: ifColumns(2), ExpectedRows: 1}, func(c Cell) { at = c.At }); err != nil {
		t.Fatal(err)
	}
	if at.Before(begin.Add(target.Timeout)) || time.Since(at) < 0 {
		t.Errorf("read %v after the begin; the try that was answered was sent after %v", at.Sub(begin), target.Timeout)
	}
	if got := s.Stats(); got.Retries != 1 || got.Requests != 2 || got.Replies != 1 || got.Timeouts != 0 {
		t.Errorf("%+v", got)
	}
}

// TestTooManyArcs wants a name that could not be asked for again to be an error of the agent.
func TestTooManyArcs(t *testing.T) {
	t.Parallel()
	s := newSession(Target{Credentials: Credentials{Version: V2c}}, nil, &conn{network: "udp4"})
	r := reader{s: s, request: TableRequest{MaxRows: 10, MaxBytes: 10_000}, each: func(Cell) { t.Error("delivered") }}
	c := &column{prefix: ".1.3.", next: ".1.3"}
	a := answer{variables: []gosnmp.SnmpPDU{number(".1.3"+strings.Repeat(".400", 127), 1)}}
	checkError(t, r.take(&a, []*column{c}, 1), ErrUnexpected)
}

// The first row of each column is all that is asked for.
func TestFirstRows(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int64{"whole replies": 1, "one variable a reply": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := interfaces(5, 2, 8, 20)
			agent, target := startScripted(t, func(r request) [][]byte {
				answer := m.answer(r)
				if most > 1 {
					answer = answer[:1]
				}
				return [][]byte{reply(t, r, answer)}
			})
			got, err := read(t, dial(t, target), TableRequest{Columns: ifColumns(2, 8, 20), FirstRows: 1})
			if err != nil {
				t.Fatal(err)
			}
			wantInterfaces(t, got, 1, 2, 8, 20)
			if n := agent.requests.Load(); n != most {
				t.Errorf("%d requests, want %d", n, most)
			}
		})
	}
}
