package store

import (
	"testing"

	"github.com/uptrace/bun"

	"pollux/billing"
)

// checkSamples compares each sample with the oracle's, and both with what the ports truly carried.
func (o *oracle) checkSamples(t *testing.T) {
	t.Helper()
	var rows []sampleRow
	if err := o.db.NewSelect().Model(&rows).Order("port_id", "slot").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong, riddles, sound := 0, 0, 0
	flagged := map[billing.Flag]int{}
	sums := map[int64][2]uint64{}
	for _, row := range rows {
		row.BaseModel = bun.BaseModel{}
		key := [2]int64{row.PortID, row.Slot}
		want, found := o.want[key]
		delete(o.want, key)
		why := want.differs(row)
		if !found || why != "" {
			if wrong++; wrong < 10 {
				t.Errorf("%s\ngot  %+v %v\nwant %+v %v", why, row, billing.Flag(row.Flags), want, billing.Flag(want.row.Flags))
			}
		}
		for i := range 11 {
			if row.Flags>>i&1 != 0 {
				flagged[1<<i]++
			}
		}
		if sums[row.PortID] = [2]uint64{sums[row.PortID][0] + uint64(row.In), sums[row.PortID][1] + uint64(row.Out)}; want.riddle {
			riddles++
		}
		if want.sound {
			sound++
		}
	}
	if wrong > 0 || len(o.want) > 0 {
		t.Errorf("%d of %d samples are wrong, %d are missing", wrong, len(rows), len(o.want))
	}
	for i := range 9 {
		if flag := billing.Flag(1 << i); flagged[flag] < 200 {
			t.Errorf("only %d samples are %v: the histories are too calm", flagged[flag], flag)
		}
	}
	if sound < len(rows)/4 || riddles > len(rows)/50 {
		t.Errorf("of %d samples %d are sound, and nobody can tell of %d", len(rows), sound, riddles)
	}
	o.checkSums(t, sums)
	t.Logf("%d samples, %d sound, %d riddles: %v", len(rows), sound, riddles, flagged)
}

// differs says what is wrong with a sample; "" for nothing.
func (k reckoned) differs(row sampleRow) string {
	exact := row.Flags&oInexact == 0
	all := uint64(row.In) == k.in && uint64(row.Out) == k.out
	switch {
	case k.sound && (!all || row.Flags&^(oSpread|oWrap) != 0):
		return "nothing happened, and it is inexact or flagged"
	case !k.riddle && (uint64(row.In) > k.in || uint64(row.Out) > k.out):
		return "more bytes than the port carried"
	case !k.riddle && exact && !all:
		return "inexact, and not flagged"
	case row != k.row:
		return "another sample"
	}
	return ""
}

// checkSums adds up the samples of the ports to which nothing happened: last minus first counter.
func (o *oracle) checkSums(t *testing.T, sums map[int64][2]uint64) {
	t.Helper()
	wrong, calm := 0, 0
	for _, w := range o.wires {
		if !w.calm || w.taken == nil {
			continue
		}
		calm++
		first := o.first[w.id]
		if want := [2]uint64{w.gone(first.In, w.taken.In), w.gone(first.Out, w.taken.Out)}; w.modulo(sums[w.id]) != want {
			if wrong++; wrong < 5 {
				t.Errorf("port %d: %d, want %d", w.id, sums[w.id], want)
			}
		}
	}
	if wrong > 0 || calm < oraclePorts/10 {
		t.Errorf("%d of %d calm ports have wrong sums", wrong, calm)
	}
}
