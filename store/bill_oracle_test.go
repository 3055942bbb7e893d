package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pollux/billing"
)

// The oracle knows what each port truly carried, in whole bytes, and what
// happened to it. It shares no code with package billing.

const (
	oraclePorts = 10_000
	oracleBills = 1000
)

// oracleStart is shortly before midnight in several time zones, one of which changes its clocks then: many periods end during the histories.
var oracleStart = time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)

// turn is one reading of all ports: from when on, in true time, and at which collect interval in seconds.
type turn struct {
	at    time.Time
	width int
}

// oracleTurns changes the collect interval four times, in the midst of a slot, which is read anew then where it is a later one.
func oracleTurns() (turns []turn) {
	for _, part := range []struct{ from, turns, width int }{{0, 11, 300}, {52, 5, 60}, {57, 1, 900}, {60, 2, 900}, {76, 2, 120}, {80, 13, 300}} {
		at := oracleStart.Add(time.Duration(part.from) * time.Minute)
		for range part.turns {
			turns = append(turns, turn{at, part.width})
			at = at.Add(time.Duration(part.width) * time.Second)
		}
	}
	return turns
}

// TestBillsEqualTheOracle runs 10,000 histories on each engine: slots that are
// missed, readings that are delivered twice, late, or by two nodes at once,
// commits whose answer is lost and readings that are lost before them, wraps,
// restarts, cut and moved ports, counters that are cleared or leap, that pass 0
// too fast or change their width, clocks that step ahead and back, devices that do not say how
// long they are up, ports that change their speed, and collect intervals of 60 to 900 s. Each sample must be what the oracle says; then
// 1,000 bills over them, calculated bit by bit on the way, must be what SQL says.
func TestBillsEqualTheOracle(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			o := newOracle(t, e)
			for n := range o.turns {
				o.turn(t, n)
			}
			o.finish(t)
			o.checkSamples(t)
			o.checkPeriods(t)
			o.checkBills(t)
		})
	}
}

type oracle struct {
	engine
	random *rand.Rand
	wires  []*wire
	bills  []int64
	turns  []turn
	want   map[[2]int64]reckoned // by port and slot
	first  map[int64]billing.Reading
	former []billing.Reading // of the turn before, that are delivered again
}

func newOracle(t *testing.T, e engine) *oracle {
	t.Helper()
	o := &oracle{engine: e, random: rand.New(rand.NewPCG(1, 2)), turns: oracleTurns(), want: map[[2]int64]reckoned{}, first: map[int64]billing.Reading{}}
	d := added(t, e)
	rows := make([]portRow, 1000)
	for n := 0; n < oraclePorts; n += len(rows) {
		for i := range rows {
			rows[i] = portRow{DeviceID: d.ID, stateRow: stateRow{IfIndex: int64(n + i + 1), IfName: fmt.Sprintf("xe-%d", n+i+1)}}
		}
		if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var ids []int64
	if err := e.db.NewSelect().Table("ports").Column("id").Where("device_id = ?", d.ID).Order("id").Scan(t.Context(), &ids); err != nil || len(ids) != oraclePorts {
		t.Fatal(len(ids), err)
	}
	for _, id := range ids {
		o.wires = append(o.wires, newWire(id, o.random))
	}
	o.addBills(t, ids)
	return o
}

// addBills adds bills of every kind; each port is in one of them at least.
func (o *oracle) addBills(t *testing.T, ids []int64) {
	t.Helper()
	zones := []string{"UTC", "Europe/Berlin", "Asia/Beirut", "Asia/Kathmandu", "America/New_York", "Atlantic/Azores"}
	for n := range oracleBills {
		var ports []int64
		for i := n; i < len(ids); i += oracleBills {
			ports = append(ports, ids[i])
		}
		for range o.random.IntN(4) {
			ports = append(ports, ids[o.random.IntN(len(ids))])
		}
		b := billing.Bill{
			Name: fmt.Sprintf("bill-%d", n), Type: []billing.Type{billing.CDR, billing.Quota}[o.random.IntN(2)], Allowed: o.random.Int64N(1e10),
			Direction: []billing.Direction{billing.In, billing.Out, billing.Max, billing.Aggregate}[o.random.IntN(4)],
			Day:       []int{1, 28, 29, 29, 31}[o.random.IntN(5)], Zone: zones[o.random.IntN(len(zones))],
		}
		kept, err := o.AddBill(t.Context(), b, ports, oracleStart, "test")
		if err != nil {
			t.Fatal(err)
		}
		o.bills = append(o.bills, kept.ID)
	}
}

// turn lets the time until a turn pass, and reads every port.
func (o *oracle) turn(t *testing.T, n int) {
	t.Helper()
	now := o.turns[n].at.Add(55 * time.Second)
	readings, twice := o.read(n)
	// Two nodes at once, each with some of the other's and some of the turn before.
	half := len(readings[0]) / 2
	parts := [][]billing.Reading{slices.Concat(o.former, readings[0][:half]), slices.Concat(readings[0][half:], twice[:len(twice)/2])}
	var wait sync.WaitGroup
	failed := make([]error, len(parts))
	for i, part := range parts {
		wait.Go(func() { _, failed[i] = o.Collect(t.Context(), part, now) })
	}
	wait.Wait()
	for skew, some := range readings { // by a clock that has stepped
		if skew != 0 {
			if _, err := o.Collect(t.Context(), some, now.Add(skew)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	if samples, err := o.Collect(t.Context(), twice, now); err != nil || len(samples) != 0 {
		t.Fatalf("turn %d: delivered twice: %d samples, %v", n, len(samples), err)
	}
	o.former = twice
	o.random.Shuffle(len(o.bills), func(i, j int) { o.bills[i], o.bills[j] = o.bills[j], o.bills[i] })
	o.calculate(t, o.bills[:len(o.bills)/5], now, o.turns[n].width)
	if n == 9 {
		o.moveSome(t, now)
	}
}

// read reads the ports in a turn, by the clocks that they are read by, and says which readings are delivered a second time.
func (o *oracle) read(n int) (readings map[time.Duration][]billing.Reading, twice []billing.Reading) {
	away := len(o.turns)-n == 6 || len(o.turns)-n == 7 // the database, Redis or every node is away
	readings = map[time.Duration][]billing.Reading{}
	for _, w := range o.wires {
		at := o.turns[n].at.Add(w.phase + time.Duration(o.random.IntN(1000))*time.Millisecond)
		if n == 0 {
			w.at = at
		}
		w.pass(at)
		if away || !w.calm && o.random.IntN(10) == 0 {
			continue // no answer, or the node was killed before its commit
		}
		r := w.read(o.turns[n].width, at)
		if want, taken := w.take(r); taken {
			o.want[[2]int64{w.id, r.Slot}] = want
			if _, later := o.first[w.id]; !later {
				o.first[w.id] = r
			}
		}
		readings[w.skew] = append(readings[w.skew], r)
		if !w.calm && o.random.IntN(10) == 0 {
			twice = append(twice, r) // the answer to the commit was lost
		}
	}
	for _, some := range readings {
		o.random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	}
	return readings, twice
}

// moveSome takes ports out of bills and puts some back, and others in.
func (o *oracle) moveSome(t *testing.T, now time.Time) {
	t.Helper()
	for _, id := range o.bills[:oracleBills/10] {
		members, err := o.BillPorts(t.Context(), id)
		if err != nil || len(members) == 0 {
			t.Fatal(err)
		}
		port := []int64{members[0].Port}
		if err := o.RemoveBillPorts(t.Context(), id, port, now, "test"); err != nil {
			t.Fatal(err)
		}
		if id%2 == 0 {
			if err := o.AddBillPorts(t.Context(), id, port, now.Add(time.Duration(o.random.IntN(3))*20*time.Minute), "test"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (o *oracle) calculate(t *testing.T, ids []int64, now time.Time, interval int) {
	t.Helper()
	if err := o.CalculateBills(t.Context(), ids, billing.Calculation{Now: now, Interval: interval, Method: billing.Nearest}); err != nil {
		t.Fatal(err)
	}
}

// end is when the periods that ended can be closed.
func (o *oracle) end() time.Time { return o.turns[len(o.turns)-1].at.Add(5*time.Minute + CloseAfter) }

// finish calculates every bill, by two nodes at once, when the periods that ended can be closed.
func (o *oracle) finish(t *testing.T) {
	t.Helper()
	now := o.end()
	var wait sync.WaitGroup
	failed := make([]error, 2)
	for i := range failed {
		wait.Go(func() {
			failed[i] = o.CalculateBills(context.WithoutCancel(t.Context()), o.bills, billing.Calculation{Now: now, Interval: 300, Method: billing.Nearest})
		})
	}
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
}
