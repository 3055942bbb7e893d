package poller

import (
	"context"
	"errors"
	"strconv"

	"pollux/snmp"
)

// search finds, by their names, the ports that did not answer under their
// ifIndex: the device numbers its ports anew, mostly after a restart. It reads the column of names once. It says
// whether any port was found; those that were not are missing.
func (b *billReader) search(ctx context.Context) (found bool) {
	wanted := make(map[string][]*billed)
	for i := range b.all {
		p := &b.all[i]
		switch {
		case !p.lost || p.miss != "":
		case b.target.Fixed:
			p.miss = BillGone
		default:
			wanted[p.Name] = append(wanted[p.Name], p)
		}
	}
	if len(wanted) == 0 || b.ended {
		return false
	}
	indexes, rows, err := b.names(ctx, fieldName, wanted)
	if err == nil && rows == 0 { // an agent without ifXTable
		indexes, _, err = b.names(ctx, fieldDescr, wanted)
	}
	if err != nil && (hopeless(ctx, err) || errors.Is(err, snmp.ErrAuth)) && !errors.Is(err, snmp.ErrTooLarge) {
		b.end(ctx, err)
		return false
	}
	for name, ports := range wanted {
		for _, p := range ports {
			switch at := indexes[name]; {
			case err != nil: // what was not read may hold the name too
				b.report.Reason = oneLine(err.Error())
				p.miss = BillRefused
			case len(at) == 0:
				p.miss, b.report.Fruitless = BillGone, true
			case len(at) > 1 || len(ports) > 1:
				p.miss, b.report.Fruitless = BillAmbiguous, true
			default:
				found = true
				b.report.Moved++
				p.index = at[0]
			}
		}
	}
	return found
}

// names reads a column of names and tells which rows have the wanted ones, two of each at most, and how many rows there are.
func (b *billReader) names(ctx context.Context, f field, wanted map[string][]*billed) (indexes map[string][]int64, rows int, err error) {
	indexes = make(map[string][]int64, len(wanted))
	b.report.Requests++
	err = b.session.Table(ctx, snmp.TableRequest{Columns: []snmp.OID{columns[f]}, MaxRows: maxRows, MaxBytes: maxBytes}, func(cell snmp.Cell) {
		rows++
		index, wrong := strconv.ParseInt(cell.Index, 10, 64)
		if wrong != nil || !isIndex(index) {
			return
		}
		name := clean(cell.Value.Bytes(), maxText, "")
		if _, ours := wanted[name]; ours && len(indexes[name]) < 2 {
			indexes[name] = append(indexes[name], index)
		}
	})
	return indexes, rows, err
}
