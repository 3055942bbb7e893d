package poller

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pollux/device"
	"pollux/snmp"
)

// tape answers from memory what a device once answered, so that a benchmark measures this package alone.
type tape struct {
	cells map[snmp.OID][]snmp.Cell
	vars  map[snmp.OID]snmp.Variable
}

func record(b *testing.B, s *snmp.Session) *tape {
	t := &tape{cells: map[snmp.OID][]snmp.Cell{}, vars: map[snmp.OID]snmp.Variable{}}
	for _, column := range columns {
		err := s.Table(b.Context(), snmp.TableRequest{Columns: []snmp.OID{column}}, func(c snmp.Cell) {
			t.cells[column] = append(t.cells[column], c)
			oid := column + "." + snmp.OID(c.Index)
			t.vars[oid] = snmp.Variable{OID: oid, Value: c.Value, At: c.At}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	vars, err := s.Get(b.Context(), oidSysUpTime, oidSysDescr, oidSysObjectID, oidSysContact, oidSysName, oidSysLocation, oidSnmpEngineTime)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range vars {
		t.vars[v.OID] = v
	}
	return t
}

func (t *tape) Probe(_ context.Context, oid snmp.OID, _ int, _ time.Duration) (snmp.Variable, error) {
	return t.vars[oid], nil
}

func (t *tape) Greet(ctx context.Context, _ int, _ time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	return t.Get(ctx, oids...)
}

func (t *tape) Get(_ context.Context, oids ...snmp.OID) ([]snmp.Variable, error) {
	vars := make([]snmp.Variable, len(oids))
	for i, oid := range oids {
		vars[i] = t.vars[oid]
	}
	return vars, nil
}

func (t *tape) Table(_ context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
	for i, column := range r.Columns {
		for _, cell := range t.cells[column] {
			cell.Column = i
			each(cell)
		}
	}
	return nil
}

// BenchmarkPoll is this package's share of one poll of 48 known ports.
func BenchmarkPoll(b *testing.B) {
	objects := mib{}.system(360_000)
	for i := range 48 {
		objects.row(10101+i, ethernet(fmt.Sprint("Gi1/0/", i+1)))
	}
	s := record(b, serveOne(b, objects))
	for _, last := range []device.Outcome{device.OutcomeUp, device.OutcomePartial} {
		target := polled(Poll(b.Context(), s, Target{}), last)
		b.Run("last-"+string(last), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := Poll(b.Context(), s, target); len(fromSNMP(r)) != 49 {
					b.Fatal(r.Poll.Reason)
				}
			}
		})
	}
}
