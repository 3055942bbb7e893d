package store

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
)

// The oracle knows what each port truly carried, in whole bytes, and what
// happened to it. It shares no code with package billing.

const (
	oraclePorts = 10_000
	oracleSlots = 30
	oracleBills = 1000
)

// oracleStart is shortly before midnight in several time zones, one of which changes its clocks then: many periods end during the histories.
var oracleStart = time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC)

// wire is a port with all that happened to it.
type wire struct {
	id     int64
	bits   int
	speed  uint64 // bit/s
	index  int64
	phase  int  // seconds into the slot at which it is read
	calm   bool // nothing happens to it
	wraps  bool // its counters are about to pass their highest value
	boot   time.Time
	disc   uint32
	in     uint64 // its counters, modulo 2^bits
	out    uint64
	random *rand.Rand

	// Since the reading that the database took last:
	taken     *billing.Reading
	sentIn    uint64 // truly carried
	sentOut   uint64
	rebooted  bool // the device or its agent started
	cut       bool // the counters began at 0, and said so
	reindexed bool
}

func newWire(id int64, random *rand.Rand) *wire {
	w := &wire{id: id, bits: 64, speed: 1e9, index: id % 1000, phase: 20 + random.IntN(60), random: random, calm: random.IntN(5) == 0}
	w.boot = oracleStart.Add(-time.Duration(random.Int64N(int64(400 * 24 * time.Hour))))
	if random.IntN(10) == 0 { // sysUpTime passes 0 on the way
		w.boot = oracleStart.Add(-time.Duration(math.MaxUint32)*10*time.Millisecond + time.Hour)
	}
	w.in, w.out = random.Uint64N(1<<50), random.Uint64N(1<<50)
	switch random.IntN(5) {
	case 0:
		w.bits, w.speed = 32, 10_000_000
		w.in, w.out = random.Uint64N(1<<32), math.MaxUint32-random.Uint64N(1<<31)
	case 1:
		w.in, w.wraps = math.MaxUint64-random.Uint64N(1<<37), true
	}
	return w
}

// carry lets traffic through for a time, at most 60 % of the port's speed.
func (w *wire) carry(seconds int) {
	most := w.speed / 8 * 6 / 10 * uint64(seconds)
	in, out := w.random.Uint64N(most+1), w.random.Uint64N(most+1)
	w.sentIn, w.sentOut = w.sentIn+in, w.sentOut+out
	w.in, w.out = w.in+in, w.out+out
	if w.bits == 32 {
		w.in, w.out = w.in%(1<<32), w.out%(1<<32)
	}
}

// pass is the time from one reading to the next, with what happens in it.
func (w *wire) pass(read time.Time) {
	if w.calm || w.random.IntN(12) > 0 {
		w.carry(290)
		return
	}
	late := 1 + w.random.IntN(280) // seconds before the reading
	w.carry(290 - late)
	switch w.random.IntN(4) {
	case 0: // the device starts
		if boot := read.Add(-time.Duration(late) * time.Second); w.mayStart(boot) {
			w.boot, w.disc, w.in, w.out = boot, 0, 0, 0
			w.rebooted = true
		}
	case 1: // its agent starts, the counters go on
		boot := read.Add(-time.Duration(late) * time.Second)
		if w.bits == 64 && !w.wraps && !w.rebooted && !w.cut && w.mayStart(boot) {
			w.boot, w.rebooted = boot, true
		}
	case 2: // the card is pulled
		w.in, w.out = 0, 0
		w.disc = ticksSince(w.boot, read.Add(-time.Duration(late)*time.Second))
		w.cut = true
	case 3:
		w.index += 1000
		w.reindexed = true
	}
	w.carry(late)
}

// mayStart leaves out what nobody can tell by sysUpTime: a device that starts
// twice within a minute, or in the minute in which sysUpTime passes 0.
func (w *wire) mayStart(boot time.Time) bool {
	up := boot.Sub(w.boot)
	return up > time.Minute && (up-(1<<32)*10*time.Millisecond).Abs() > time.Minute
}

func ticksSince(boot, at time.Time) uint32 { return uint32(at.Sub(boot) / (10 * time.Millisecond)) }

func (w *wire) read(slot int64, at time.Time) billing.Reading {
	return billing.Reading{
		Port: w.id, Slot: slot, Interval: 300, Read: at, Uptime: ticksSince(w.boot, at), Discontinuity: w.disc,
		In: w.in, Out: w.out, Bits: w.bits, Index: w.index, Speed: w.speed,
	}
}

// take is what the sample of a reading must be; the reading is the last one from then on.
func (w *wire) take(r billing.Reading) sampleRow {
	want := sampleRow{PortID: w.id, Slot: r.Slot, SlotSeconds: 300, Slots: 1, ReadAt: r.Read.UnixMilli(), Flags: 1}
	if old := w.taken; old != nil {
		want.Slots, want.SpanMS = int(r.Slot-old.Slot)/300, r.Read.Sub(old.Read).Milliseconds()
		in, out := w.sentIn, w.sentOut // exact, unless something happened
		flags, span := 0, float64(want.SpanMS)/1000
		fell := r.In < old.In || r.Out < old.Out
		if w.rebooted || w.cut {
			if !fell {
				in, out = r.In-old.In, r.Out-old.Out // the least that it can have been
			} else {
				in, out = r.In, r.Out
				if w.rebooted {
					span = min(span, r.Read.Sub(w.boot).Seconds())
				} else {
					span = min(span, float64(r.Uptime-r.Discontinuity)/100)
				}
			}
			flags = map[bool]int{true: 8, false: 16}[w.rebooted]
		} else if fell {
			flags = 4
		}
		if w.bits == 32 {
			in, out = in%(1<<32), out%(1<<32)
			if float64(w.speed)/8*span >= 1<<32 {
				flags |= 64
			}
		}
		if want.Slots > 1 {
			flags |= 2
		}
		if w.reindexed {
			flags |= 32
		}
		want.In, want.Out, want.Flags = int64(in), int64(out), flags
	}
	w.taken, w.sentIn, w.sentOut, w.rebooted, w.cut, w.reindexed = &r, 0, 0, false, false, false
	return want
}

// TestBillsEqualTheOracle runs 10,000 histories on each engine: slots that are
// missed, readings that are delivered twice, late, or by two nodes at once,
// commits whose answer is lost and readings that are lost before them, wraps,
// restarts, cut and moved ports. Each sample must be what the oracle says; then
// 1,000 bills over them, calculated bit by bit on the way, must be what SQL says.
func TestBillsEqualTheOracle(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			o := newOracle(t, e)
			for n := range oracleSlots {
				o.slot(t, n)
			}
			o.finish(t)
			o.checkSamples(t)
			o.checkBills(t)
		})
	}
}

type oracle struct {
	engine
	random *rand.Rand
	wires  []*wire
	bills  []int64
	want   map[[2]int64]sampleRow // by port and slot
	former []billing.Reading      // of the slot before, that are delivered again
}

func newOracle(t *testing.T, e engine) *oracle {
	t.Helper()
	o := &oracle{engine: e, random: rand.New(rand.NewPCG(1, 2)), want: map[[2]int64]sampleRow{}}
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

// slot lets one slot pass for every port.
func (o *oracle) slot(t *testing.T, n int) {
	t.Helper()
	slot := oracleStart.Unix() + int64(300*n)
	away := n == 11 || n == 12 // the database, Redis or every node is away
	var readings, twice []billing.Reading
	for _, w := range o.wires {
		at := time.Unix(slot+int64(w.phase), int64(o.random.IntN(1000))*1e6).UTC()
		if n > 0 {
			w.pass(at)
		}
		if away || !w.calm && o.random.IntN(10) == 0 {
			continue // no answer, or the node was killed before its commit
		}
		r := w.read(slot, at)
		o.want[[2]int64{w.id, slot}] = w.take(r)
		readings = append(readings, r)
		if !w.calm && o.random.IntN(10) == 0 {
			twice = append(twice, r) // the answer to the commit was lost
		}
	}
	o.random.Shuffle(len(readings), func(i, j int) { readings[i], readings[j] = readings[j], readings[i] })
	now := time.Unix(slot+120, 0)
	// Two nodes at once, each with some of the other's and some of the slot before.
	half := len(readings) / 2
	parts := [][]billing.Reading{slices.Concat(o.former, readings[:half]), slices.Concat(readings[half:], twice[:len(twice)/2])}
	var wait sync.WaitGroup
	failed := make([]error, len(parts))
	for i, part := range parts {
		wait.Go(func() { _, failed[i] = o.Collect(t.Context(), part, now) })
	}
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	if samples, err := o.Collect(t.Context(), twice, now); err != nil || len(samples) != 0 {
		t.Fatalf("slot %d: delivered twice: %d samples, %v", n, len(samples), err)
	}
	o.former = twice
	if n%4 == 3 {
		o.random.Shuffle(len(o.bills), func(i, j int) { o.bills[i], o.bills[j] = o.bills[j], o.bills[i] })
		o.calculate(t, o.bills[:len(o.bills)/2], time.Unix(slot+310, 0))
	}
	if n == 9 {
		o.moveSome(t, now)
	}
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

func (o *oracle) calculate(t *testing.T, ids []int64, now time.Time) {
	t.Helper()
	if err := o.CalculateBills(t.Context(), ids, billing.Calculation{Now: now, Interval: 300, Method: billing.Nearest}); err != nil {
		t.Fatal(err)
	}
}

// finish calculates every bill, by two nodes at once, when the periods that ended can be closed.
func (o *oracle) finish(t *testing.T) {
	t.Helper()
	now := oracleStart.Add(oracleSlots*300*time.Second + CloseAfter)
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

func (o *oracle) checkSamples(t *testing.T) {
	t.Helper()
	var rows []sampleRow
	if err := o.db.NewSelect().Model(&rows).Order("port_id", "slot").Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	flagged := map[billing.Flag]int{}
	for _, row := range rows {
		row.BaseModel = bun.BaseModel{}
		want, found := o.want[[2]int64{row.PortID, row.Slot}]
		if delete(o.want, [2]int64{row.PortID, row.Slot}); !found || row != want {
			if wrong++; wrong < 10 {
				t.Errorf("got  %+v %v\nwant %+v %v", row, billing.Flag(row.Flags), want, billing.Flag(want.Flags))
			}
		}
		flagged[billing.Flag(row.Flags)]++
	}
	if wrong > 0 || len(o.want) > 0 {
		t.Errorf("%d of %d samples are wrong, %d are missing", wrong, len(rows), len(o.want))
	}
	for _, flag := range []billing.Flag{0, billing.First, billing.Spread, billing.Wrap, billing.Reboot, billing.Discontinuity, billing.Reindexed, billing.Reboot | billing.Spread} {
		if flagged[flag] < 100 {
			t.Errorf("only %d samples are %v: the histories are too calm", flagged[flag], flag)
		}
	}
	t.Logf("%d samples: %v", len(rows), flagged)
}
