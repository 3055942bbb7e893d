package poller

import (
	"context"
	"slices"
	"testing"

	"pollux/device"
	"pollux/snmp"
)

// A condition that the device did not answer in time lets no row through: what is
// left out as a rule would be found. One at which the agent fails is as one that it does not have.
func TestRowsThatCannotBeJudgedAreNotFound(t *testing.T) {
	t.Parallel()
	const there, plugged = snmp.OID("1.3.6.1.4.1.99999.8.1"), snmp.OID("1.3.6.1.4.1.99999.8.2.0")
	set := defined(t, `
sensors:
  - table: 1.3.6.1.4.1.99999.6.1
    columns: {raw: 2, there: {oid: 1.3.6.1.4.1.99999.8.1}}
    class: temperature
    value: raw
    skip: [{of: there, is: 0}]
  - scalars: 1.3.6.1.4.1.99999.8
    columns: {raw: 3, plugged: 2}
    class: temperature
    value: raw
    skip: [{of: plugged, is: 0}]
`)
	objects := mib{
		"1.3.6.1.4.1.99999.6.1.2.1": "2|20", "1.3.6.1.4.1.99999.6.1.2.2": "2|21", string(there) + ".1": "2|1", string(there) + ".2": "2|0",
		string(plugged): "2|0", "1.3.6.1.4.1.99999.8.3.0": "2|22",
	}.system(1000)
	for fault, want := range map[error]int{nil: 1, snmp.ErrTimeout: 0, &snmp.StatusError{Status: "genErr"}: 3} {
		inner := serveOne(t, objects)
		s := &scripted{Session: inner}
		if fault != nil {
			s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
				if slices.Contains(r.Columns, there) {
					return fault
				}
				return inner.Table(ctx, r, each)
			}
			s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
				if slices.Contains(oids, plugged) {
					return nil, fault
				}
				return inner.Get(ctx, oids...)
			}
		}
		d, _ := Discover(t.Context(), s, Target{}, set)
		sensors := 0
		for i := range d.Components {
			if d.Components[i].Kind == device.KindSensor {
				sensors++
			}
		}
		if sensors != want || d.Complete[device.KindSensor] != (fault == nil) {
			t.Errorf("%v: %d sensors, want %d; complete %v", fault, sensors, want, d.Complete)
		}
	}
}

// What is kept of a table does not hold the replies, which may be far larger.
func TestReadTablesLetGoOfTheReplies(t *testing.T) {
	t.Parallel()
	const column, scalar = snmp.OID("1.3.6.1.4.1.99999.1"), snmp.OID("1.3.6.1.4.1.99999.2.0")
	inner := serveOne(t, mib{string(column) + ".1": "4|octets", string(scalar): "4|octets"})
	var replies []*byte
	s := &scripted{Session: inner}
	s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		return inner.Table(ctx, r, func(c snmp.Cell) {
			replies = append(replies, &c.Value.Bytes()[0])
			each(c)
		})
	}
	s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		vars, err := inner.Get(ctx, oids...)
		replies = append(replies, &vars[0].Value.Bytes()[0])
		return vars, err
	}
	r := newTableReader(s)
	if err := r.walk(t.Context(), []snmp.OID{column}); err != nil {
		t.Fatal(err)
	}
	answers, err := r.scalars(t.Context(), []snmp.OID{scalar})
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []snmp.Value{r.columns[column]["1"], answers[scalar]} {
		if kept.Text() != "octets" || slices.Contains(replies, &kept.Bytes()[0]) {
			t.Errorf("kept %q of a reply", kept.Text())
		}
	}
	if len(replies) != 2 {
		t.Errorf("%d replies", len(replies))
	}
}
