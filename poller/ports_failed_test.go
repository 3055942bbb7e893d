package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/snmp"
)

// A session that stops answering in the middle of the counters.
func TestTableThatFailsMidway(t *testing.T) {
	t.Parallel()
	objects := mib{}.system(100)
	for i := range 20 {
		objects.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	s := &scripted{Session: serveOne(t, objects)}
	known := knownAs(Poll(t.Context(), s, Target{}))
	if len(known) != 20 {
		t.Fatalf("%d ports", len(known))
	}
	counting := false
	s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		counting = r.Columns[0] == columns[wideInOctets]
		err := s.Session.Table(ctx, r, func(c snmp.Cell) {
			if !counting || len(c.Index) == 1 { // ports 1 to 9
				each(c)
			}
		})
		if counting {
			err = fmt.Errorf("snmp table: %w", snmp.ErrTimeout)
		}
		return err
	}
	s.tables, s.gets = nil, nil
	r := Poll(t.Context(), s, Target{Ports: known})
	if r.Poll.Outcome != device.OutcomePartial || r.Poll.PortsComplete ||
		r.Poll.Reason != "module ports: read counters: snmp table: no answer" {
		t.Errorf("outcome %s, complete %v, reason %q", r.Poll.Outcome, r.Poll.PortsComplete, r.Poll.Reason)
	}
	if len(r.Poll.Ports) != 9 || len(portMeasurements(r)) != 9 {
		t.Errorf("%d ports, %d measurements, want the 9 that were read", len(r.Poll.Ports), len(portMeasurements(r)))
	}
	if len(s.tables) != 2 || len(s.gets) != 1 {
		t.Errorf("a silent device was asked %d tables and %d GETs more", len(s.tables)-2, len(s.gets)-1)
	}
	for _, p := range r.Poll.Ports {
		if p.State != known[p.PortID-100].State {
			t.Errorf("state %+v", p.State)
		}
	}
}

// An agent that loops in single columns loses these only, and the inventory keeps its values.
func TestColumnsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &scripted{Session: serveOne(t, mib{}.system(100).row(1, ethernet("a")).row(2, ethernet("b")))}
	known := knownAs(Poll(t.Context(), s, Target{}))
	bad := map[snmp.OID]bool{}
	s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		for _, column := range r.Columns {
			if bad[column] {
				return snmp.ErrNotIncreasing
			}
		}
		return s.Session.Table(ctx, r, each)
	}
	first := Poll(t.Context(), s, Target{})
	for k := range 3 * int(fieldCount) {
		f, target := field(k%int(fieldCount)), Target{Ports: known}
		if k >= int(fieldCount) { // the fixed columns come from the inventory
			target = polled(first, []device.Outcome{device.OutcomeUp, device.OutcomePartial}[k/int(fieldCount)-1])
		}
		clear(bad)
		bad[columns[f]] = true
		r := Poll(t.Context(), s, target)
		stand := f == fieldSpeed || f >= narrowInOctets || target.Device.LastOutcome == device.OutcomeUp && slices.Contains(fixedFields, f)
		if r.Poll.PortsComplete != stand || len(r.Poll.Ports) != 2 || len(portMeasurements(r)) != 2 {
			t.Errorf("column %s after %q: complete %v, %d ports, %d measurements; %s",
				columns[f], target.Device.LastOutcome, r.Poll.PortsComplete, len(r.Poll.Ports), len(portMeasurements(r)), r.Poll.Reason)
			continue
		}
		for i, p := range r.Poll.Ports {
			if p.State != known[i].State || p.PortID != known[i].ID {
				t.Errorf("column %s after %q: state became %+v", columns[f], target.Device.LastOutcome, p.State)
			}
		}
	}
	clear(bad)
	bad[columns[fieldDescr]], bad[columns[fieldName]] = true, true
	if r := Poll(t.Context(), s, Target{Ports: known}); r.Poll.PortsComplete || len(r.Poll.Ports) != 0 {
		t.Errorf("ports without any name: %+v", r.Poll.Ports)
	}
}

// What is filed has the time of the PDU that carried the octets.
func TestSampleTimeIsThatOfTheOctets(t *testing.T) {
	t.Parallel()
	base := time.Now()
	s := &scripted{Session: serveOne(t, mib{}.system(100).row(1, ethernet("wide")).row(2, narrow("narrow")))}
	s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
		return s.Session.Table(ctx, r, func(c snmp.Cell) {
			c.At = base
			if r.Columns[c.Column] == columns[wideInOctets] {
				c.At = base.Add(time.Hour)
			}
			each(c)
		})
	}
	s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
		vars, err := s.Session.Get(ctx, oids...)
		for i := range vars {
			vars[i].At = base
			if strings.HasPrefix(string(vars[i].OID), string(columns[narrowInOctets])+".") {
				vars[i].At = base.Add(2 * time.Hour)
			}
		}
		return vars, err
	}
	known := knownAs(Poll(t.Context(), s, Target{}))
	m := portMeasurements(Poll(t.Context(), s, Target{Ports: known}))
	if !m[100].Time.Equal(base.Add(time.Hour)) {
		t.Errorf("64-bit octets: %s after the start", m[100].Time.Sub(base))
	}
	if !m[101].Time.Equal(base.Add(2 * time.Hour)) {
		t.Errorf("32-bit octets: %s after the start", m[101].Time.Sub(base))
	}
}

// A port that the tables lack has vanished only if the device does not have it.
func TestAbsentPortsAreAskedFor(t *testing.T) {
	t.Parallel()
	const rows = 20
	objects := mib{}.system(100)
	for i := range rows {
		objects.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	less := mib{}.system(100)
	for i := range rows - 3 {
		less.row(i+1, ethernet(fmt.Sprint("p", i+1)))
	}
	dial := serve(t, map[string]mib{"all": objects, "less": less})
	known := knownAs(Poll(t.Context(), dial("all", snmp.V2c), Target{}))
	for _, c := range []struct {
		name, device string
		version      snmp.Version
		hide         string // the row that table requests do not bring
		refuse       error  // of a GET for an absent port
		complete     bool
	}{
		{"nothing is missing", "all", snmp.V2c, "", nil, true},
		{"rows are gone", "less", snmp.V2c, "", nil, true},
		{"rows are gone, v1", "less", snmp.V1, "", nil, true},
		{"the tables hide a row", "all", snmp.V2c, "7", nil, false},
		{"the tables hide a row, v1", "all", snmp.V1, "7", nil, false},
		{"rows are gone, and a GET of them is refused", "less", snmp.V2c, "", &snmp.StatusError{Status: "genErr"}, true},
		{"rows are gone, and a GET of them is answered with others", "less", snmp.V2c, "", snmp.ErrUnexpected, false},
		{"rows are gone, and a GET of them is not answered", "less", snmp.V2c, "", snmp.ErrTimeout, false},
	} {
		s := &scripted{Session: dial(c.device, c.version)}
		s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			return s.Session.Table(ctx, r, func(cell snmp.Cell) {
				if cell.Index != c.hide {
					each(cell)
				}
			})
		}
		s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
			confirms := strings.HasPrefix(string(oids[0]), string(columns[fieldOperStatus])+".")
			if confirms && len(oids) > 2*maxConfirmed {
				t.Errorf("%s: %d objects asked for", c.name, len(oids))
			}
			if confirms && c.refuse != nil {
				return nil, c.refuse
			}
			return s.Session.Get(ctx, oids...)
		}
		r := Poll(t.Context(), s, Target{Ports: known})
		if r.Poll.PortsComplete != c.complete || (r.Poll.Outcome == device.OutcomeUp) != c.complete {
			t.Errorf("%s: complete %v, %s: %s", c.name, r.Poll.PortsComplete, r.Poll.Outcome, r.Poll.Reason)
		}
	}
}

func TestTableThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := &scripted{Session: serveOne(t, mib{}.system(100))}
	s.table = func(_ context.Context, r snmp.TableRequest, _ func(snmp.Cell)) error {
		most := likelyRows // that are kept
		if len(s.tables) == 2 {
			most = maxRows // that are counted
		}
		if r.MaxRows != most || r.MaxBytes != maxBytes || len(s.tables) == 2 && len(r.Columns) != 1 {
			t.Errorf("bounds %d rows, %d bytes, of %v", r.MaxRows, r.MaxBytes, r.Columns)
		}
		return snmp.ErrTooLarge
	}
	r := Poll(t.Context(), s, Target{})
	if len(s.tables) != 2 || !errors.Is(r.Modules[1].Err, snmp.ErrTooLarge) || r.Poll.Outcome != device.OutcomePartial {
		t.Errorf("%d tables, %s: %v", len(s.tables), r.Poll.Outcome, r.Modules[1].Err)
	}
}
