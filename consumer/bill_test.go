package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"pollux/billing"
	"pollux/device"
	"pollux/poller"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
	"pollux/tasks"
)

var (
	_ Bills = (*store.Store)(nil)
	_ Bills = (*fakeBills)(nil)
)

// fakeBills keeps readings of billed ports as the store does, without the maths; err makes it fail.
type fakeBills struct {
	mu      sync.Mutex
	devices *fakeStore
	ports   map[int64][]billing.Port // by device
	last    map[int64]int64          // slot of the last sample by port
	samples []billing.Sample
	calls   []int // readings of each call
	flags   billing.Flag
	err     error // of reading
	saveErr error
	saving  func() // before readings are kept
}

func (f *fakeBills) Device(_ context.Context, id int64) (device.Device, error) {
	f.devices.mu.Lock()
	defer f.devices.mu.Unlock()
	d, known := f.devices.devices[id]
	if !known {
		return d, store.ErrNotFound
	}
	return d, nil
}

func (f *fakeBills) BilledPorts(_ context.Context, id int64) ([]billing.Port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ports := slices.Clone(f.ports[id])
	for i := range ports {
		ports[i].Last = f.last[ports[i].ID]
	}
	return ports, f.err
}

func (f *fakeBills) Collect(_ context.Context, readings []billing.Reading, _ time.Time) ([]billing.Sample, error) {
	if f.saving != nil {
		f.saving()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, len(readings))
	if f.saveErr != nil {
		return nil, f.saveErr
	}
	var written []billing.Sample
	for _, r := range readings {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		if f.last[r.Port] >= r.Slot {
			continue
		}
		f.last[r.Port] = r.Slot
		written = append(written, billing.Sample{Port: r.Port, Slot: r.Slot, In: r.In, Out: r.Out, Flags: f.flags})
	}
	f.samples = append(f.samples, written...)
	return written, nil
}

func (f *fakeBills) kept() []billing.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.samples)
}

// counting is a session with an agent whose ports are called "p<ifIndex>".
type counting struct {
	fakeSession
	asked  *atomic.Int64
	before func() // each answer
}

func (s counting) Get(_ context.Context, oids ...snmp.OID) ([]snmp.Variable, error) {
	s.asked.Add(1)
	if s.before != nil {
		s.before()
	}
	return nil, snmp.ErrUnexpected
}

// billing gives the rig bills: each of its devices has a billed port with 100 more than the device's id.
func (r *rig) billing(t *testing.T) *fakeBills {
	t.Helper()
	bills := &fakeBills{devices: r.store, ports: map[int64][]billing.Port{}, last: map[int64]int64{}}
	for id := range r.store.devices {
		bills.ports[id] = []billing.Port{{ID: 100 + id, Device: id, Index: 1, Name: "p1", Speed: 1e9}}
	}
	r.deps.Billing = &Billing{Store: bills}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.biller.writer.run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	return bills
}

// collectNow is a reading of a device in the present slot, which began a while ago.
func (r *rig) collectNow(id int64) *collectTurn {
	slot := (r.clock.Now().Unix() - 30) / 300 * 300
	return &collectTurn{BillingCollect: tasks.BillingCollect{DeviceID: id, Slot: slot, Interval: 300}, group: -1}
}

// halfway puts the clock into the middle of a collect slot.
func (r *rig) halfway() {
	now := time.Now().Unix()
	r.clock.offset.Store((300 - now%300 + 150) * int64(time.Second))
}

func endOf(err error) string {
	var end *collectEndError
	var back *handBackError
	switch {
	case err == nil:
		return collectDone
	case errors.As(err, &back):
		return "back: " + back.reason
	case errors.As(err, &end):
		return end.result
	default:
		return err.Error()
	}
}

func TestHowAReadingForBillingEnds(t *testing.T) {
	t.Parallel()
	late := func(r *rig, _ *collectTurn) { r.clock.offset.Add(145 * int64(time.Second)) }
	for name, c := range map[string]struct {
		prepare func(r *rig, b *fakeBills, turn *collectTurn)
		want    string
		asked   bool
	}{
		"read":               {func(*rig, *fakeBills, *collectTurn) {}, collectDone, true},
		"read before":        {func(_ *rig, b *fakeBills, turn *collectTurn) { b.last[101] = turn.Slot }, collectRepeat, false},
		"its slot is over":   {func(_ *rig, _ *fakeBills, turn *collectTurn) { turn.Slot -= 300 }, collectExpired, false},
		"no billed port":     {func(_ *rig, b *fakeBills, _ *collectTurn) { delete(b.ports, 1) }, collectNothing, false},
		"removed":            {func(r *rig, _ *fakeBills, _ *collectTurn) { delete(r.store.devices, 1) }, collectNothing, false},
		"disabled":           {func(r *rig, _ *fakeBills, _ *collectTurn) { r.store.devices[1] = device.Device{ID: 1, Disabled: true} }, collectNothing, false},
		"asked by ICMP only": {func(r *rig, _ *fakeBills, _ *collectTurn) { r.store.devices[1] = device.Device{ID: 1, PingOnly: true} }, collectNothing, false},
		"in another group":   {func(_ *rig, _ *fakeBills, turn *collectTurn) { turn.group = 7 }, collectMoved, false},
		"in its group":       {func(_ *rig, _ *fakeBills, turn *collectTurn) { turn.group = 0 }, collectDone, true},
		"in its group, distributed": {func(r *rig, _ *fakeBills, turn *collectTurn) {
			turn.group = 0
			r.set(settings.KeyDistributedBilling, "true")
		}, collectDone, true},
		"in no group, distributed": {func(r *rig, _ *fakeBills, _ *collectTurn) { r.set(settings.KeyDistributedBilling, "true") }, "back: collect_queue", false},
		"in no group, distributed, for long": {func(r *rig, _ *fakeBills, turn *collectTurn) {
			r.set(settings.KeyDistributedBilling, "true")
			turn.retried = queueTries
		}, collectMoved, false},
		"while a poll runs":            {func(r *rig, _ *fakeBills, _ *collectTurn) { r.leases.busy = true }, "back: collect_busy", false},
		"while a poll runs to the end": {func(r *rig, _ *fakeBills, turn *collectTurn) { late(r, turn); r.leases.busy = true }, collectBusy, false},
		"without Redis":                {func(r *rig, _ *fakeBills, _ *collectTurn) { r.leases.err = errors.New("away") }, collectDone, true},
		"the agent is busy": {func(r *rig, _ *fakeBills, _ *collectTurn) {
			agents := map[string]bool{"127.0.0.1:1": true}
			r.shared.agents.Store(&agents)
		}, "back: agent", false},
		"down, and all probes run": {func(r *rig, _ *fakeBills, _ *collectTurn) {
			d := r.store.devices[1]
			d.Status = device.StatusDown
			r.store.devices[1] = d
			r.biller.probes.resize(0)
		}, "back: probe", false},
		"the database does not read":            {func(_ *rig, b *fakeBills, _ *collectTurn) { b.err = errors.New("away") }, "back: collect_database", false},
		"the database does not read to the end": {func(r *rig, b *fakeBills, turn *collectTurn) { late(r, turn); b.err = errors.New("away") }, collectDatabase, false},
		"while the node stops":                  {func(r *rig, _ *fakeBills, _ *collectTurn) { r.biller.workers.resize(0); r.drain() }, "back: stopping", false},
		"no worker":                             {func(r *rig, _ *fakeBills, _ *collectTurn) { r.biller.workers.resize(0) }, "back: worker", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 300, nil)
			bills := r.billing(t)
			r.halfway()
			var asked atomic.Int64
			r.deps.Dial = func(context.Context, snmp.Target) (Session, error) {
				return counting{fakeSession{stats: r.stats}, &asked, nil}, nil
			}
			turn := r.collectNow(1)
			c.prepare(r, bills, turn)
			if got := endOf(r.collect(turn)); got != c.want {
				t.Errorf("it ended as %q, want %q", got, c.want)
			}
			if (asked.Load() > 0) != c.asked {
				t.Errorf("the device was asked %d times", asked.Load())
			}
			if r.leases.held != 0 || r.agents.inside != 0 || r.biller.workers.holders != 0 || r.biller.probes.holders != 0 {
				t.Error("something is held after the end")
			}
		})
	}
}

func TestATaskOfBillingIsNotTrusted(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	r.billing(t)
	for _, task := range []*asynq.Task{
		asynq.NewTask(tasks.TypeBillingCollect, []byte(`{"device_id":1}`)),
		asynq.NewTask(tasks.TypeBillingCollect, []byte(`{"device_id":1,"slot":1795339800,"interval":300}`)), // from no queue of ours
		asynq.NewTask(tasks.TypeBillingCalculate, []byte(`{"slot":1795339800,"interval":300}`)),
		asynq.NewTask(tasks.TypeBillingCalculate, []byte(`{"slot":0}`)),
		asynq.NewTask(tasks.TypePoll, []byte(`{"device_id":1,"slot":1795340000,"interval":300}`)),
	} {
		if err := r.HandleBilling(t.Context(), task); !errors.Is(err, asynq.SkipRetry) || !errors.Is(err, tasks.ErrPayload) {
			t.Errorf("%s %s: %v", task.Type(), task.Payload(), err)
		}
	}
}

// readingOf is a reading of a device's port.
func readingOf(t *collectTurn, at time.Time) billing.Reading {
	return billing.Reading{Port: 100 + t.DeviceID, Slot: t.Slot, Interval: t.Interval, Read: at, In: 7, Out: 8, Bits: 64, Index: 1}
}

func TestReadingsOfManyDevicesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	bills := r.billing(t)
	r.halfway()
	var writing sync.WaitGroup
	for id := range int64(40) {
		writing.Go(func() {
			turn := r.collectNow(id + 1)
			if err := r.keepReadings(turn, []billing.Reading{readingOf(turn, r.clock.Now())}); err != nil {
				t.Errorf("device %d: %v", id+1, err)
			}
		})
	}
	writing.Wait()
	if kept := bills.kept(); len(kept) != 40 {
		t.Errorf("%d samples are kept, want 40", len(kept))
	}
	if len(bills.calls) > 5 {
		t.Errorf("they were written in %d statements: %v", len(bills.calls), bills.calls)
	}
	if n := r.metric(t, "pollux_billing_samples_total", "result=ok"); n != 40 {
		t.Errorf("%v samples are counted", n)
	}
	// The same once more makes no sample.
	turn := r.collectNow(1)
	if err := r.keepReadings(turn, []billing.Reading{readingOf(turn, r.clock.Now())}); err != nil || len(bills.kept()) != 40 {
		t.Errorf("written twice: %v, %d samples", err, len(bills.kept()))
	}
	if n := r.metric(t, "pollux_billing_samples_total", "result=refused"); n != 1 {
		t.Errorf("%v refused readings are counted", n)
	}
}

// However few ports a device has, and however slowly the devices come, a statement gets 500 to 1,000 rows when there are so many.
func TestReadingsAreGathered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		devices, ports int
		every          time.Duration
		interval       int           // seconds of a slot
		stops          time.Duration // when the node begins to drain; 0 for never, negative for before
		want           int           // devices in the first batch
		waits          time.Duration
	}{
		"all at once":                         {100, 48, 0, 300, 0, 17, 0},
		"as fast as 100,000 ports in 150 s":   {100, 50, 75 * time.Millisecond, 300, 0, 16, 1125 * time.Millisecond},
		"a third of them":                     {100, 50, 230 * time.Millisecond, 300, 0, 16, 3450 * time.Millisecond},
		"a third of them in a short slot":     {100, 50, 230 * time.Millisecond, 60, 0, 14, 3 * time.Second},
		"13 devices of 10 ports in a second":  {100, 10, 77 * time.Millisecond, 300, 0, 80, 79 * 77 * time.Millisecond},
		"13 of 5 ports":                       {200, 5, 77 * time.Millisecond, 300, 0, 104, 8 * time.Second},
		"devices of one port":                 {640, 1, 0, 300, 0, 512, 0},
		"few devices":                         {8, 3, 0, 300, 0, 8, 3 * time.Second},
		"few devices in a short slot":         {8, 3, 0, 60, 0, 8, time.Second},
		"few devices, one after the other":    {8, 3, 1900 * time.Millisecond, 300, 0, 5, 8 * time.Second},
		"one after the other in a short slot": {8, 3, 1500 * time.Millisecond, 60, 0, 1, time.Second},
		"one of more ports than a batch has":  {3, 4000, 0, 300, 0, 1, 0},
		"the longest slot":                    {1, 3, 0, 900, 0, 1, 3 * time.Second},
		"the node drains":                     {8, 3, 1900 * time.Millisecond, 300, 5 * time.Second, 3, 5 * time.Second},
		"the node has drained for a while":    {8, 3, 1900 * time.Millisecond, 300, -1, 1, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				draining, drain := context.WithCancel(ctx)
				w := newCollector(&Consumer{draining: draining})
				var coming sync.WaitGroup
				coming.Go(func() {
					for range c.devices {
						select {
						case w.in <- gathered{readings: slices.Repeat([]billing.Reading{{Interval: c.interval}}, c.ports)}:
						case <-ctx.Done():
							return
						}
						time.Sleep(c.every)
					}
				})
				if c.stops < 0 {
					drain()
				} else if c.stops > 0 {
					time.AfterFunc(c.stops, drain)
				}
				began := time.Now()
				if got := w.gather(ctx, <-w.in); len(got) != c.want {
					t.Errorf("%d devices are written together, want %d", len(got), c.want)
				}
				if waited := time.Since(began); waited != c.waits {
					t.Errorf("the first one waited for %v, want %v", waited, c.waits)
				}
				stop()
				drain()
				coming.Wait()
			})
		})
	}
}

// oneAgent is the address of a simulated device that has port 1, called p1 in the inventory of a rig.
func oneAgent(t *testing.T) netip.AddrPort {
	t.Helper()
	agent, err := simulator.New(simulator.Config{Listen: "127.0.0.1:0", Devices: 1, Ports: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	<-agent.Ready()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return agent.Addr(0)
}

// A device that has been read keeps no worker from the next one while its readings wait to be written.
func TestReadingsWaitWithoutAWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	bills := r.billing(t)
	r.halfway()
	held := -1
	bills.saving = func() {
		r.biller.workers.mu.Lock()
		defer r.biller.workers.mu.Unlock()
		held = r.biller.workers.holders
	}
	agent := oneAgent(t)
	bills.ports[1][0].Name = "GigabitEthernet0/1"
	r.deps.Dial = func(ctx context.Context, _ snmp.Target) (Session, error) {
		return snmp.Dial(ctx, snmp.Target{Host: agent.Addr().String(), Port: agent.Port(), Credentials: r.store.devices[1].Credentials, Timeout: 5 * time.Second}, nil)
	}
	if got := endOf(r.collect(r.collectNow(1))); got != collectDone || len(bills.kept()) != 1 {
		t.Errorf("it ended as %s, with %d samples", got, len(bills.kept()))
	}
	if held != 0 {
		t.Errorf("%d workers are held while its reading is written", held)
	}
}

// One reading that cannot be costs no other device its sample, and a database that is away brings the task back.
func TestReadingsThatAreNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	bills := r.billing(t)
	r.halfway()
	wrong, right := r.collectNow(1), r.collectNow(2)
	bad := readingOf(wrong, r.clock.Now())
	bad.Bits = 17
	first := gathered{[]billing.Reading{bad}, make(chan error, 1)}
	second := gathered{[]billing.Reading{readingOf(right, r.clock.Now())}, make(chan error, 1)}
	r.biller.writer.write([]gathered{first, second})
	if err := <-first.written; !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a reading that cannot be: %v", err)
	}
	if err := <-second.written; err != nil || len(bills.kept()) != 1 {
		t.Errorf("the other one: %v, %d samples", err, len(bills.kept()))
	}
	bills.mu.Lock()
	bills.saveErr = errors.New("away")
	bills.mu.Unlock()
	turn := r.collectNow(3)
	if got := endOf(r.keepReadings(turn, []billing.Reading{readingOf(turn, r.clock.Now())})); got != "back: collect_database" {
		t.Errorf("while the database is away: %s", got)
	}
	r.clock.offset.Add(140 * int64(time.Second))
	if got := endOf(r.keepReadings(turn, []billing.Reading{readingOf(turn, r.clock.Now())})); got != collectDatabase {
		t.Errorf("while the database is away, at the slot's end: %s", got)
	}
}

// A reading that comes when its slot is over would be filed to a time it does not belong to.
func TestAReadingOutsideItsSlotIsNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	r.billing(t)
	r.halfway()
	turn := r.collectNow(1)
	end := time.Unix(turn.End(), 0)
	offset := time.Duration(r.clock.offset.Load())
	for at, kept := range map[time.Time]bool{
		end.Add(-time.Second): true, end: false, end.Add(time.Minute): false,
		time.Unix(turn.Slot, 0): true, time.Unix(turn.Slot-1, 0): true, time.Unix(turn.Slot-10, 0): false,
	} {
		report := poller.BillReport{Readings: []billing.Reading{readingOf(turn, at.Add(-offset))}}
		if got := r.dateReadings(turn, report); (len(got) == 1) != kept || kept && !got[0].Read.Equal(at) {
			t.Errorf("read %v before the slot's end: %+v", end.Sub(at), got)
		}
	}
	if n := r.metric(t, "pollux_billing_missing_total", "reason=late"); n != 3 {
		t.Errorf("%v readings are counted as late", n)
	}
}

// A port that is gone does not have all names of its device read in each slot.
func TestSearchesInVainAreRemembered(t *testing.T) {
	t.Parallel()
	s := newSought()
	if s.lately(1) {
		t.Error("a device that was never searched")
	}
	s.note(1)
	if !s.lately(1) || s.lately(2) {
		t.Error("a device that was searched a moment ago")
	}
	s.ids[1] = time.Now().Add(-soughtFor - time.Second)
	if s.lately(1) || len(s.ids) != 0 {
		t.Error("a device that was searched long ago")
	}
	for id := range int64(maxSought + 10) {
		s.note(id)
	}
	if len(s.ids) > maxSought {
		t.Errorf("%d devices are remembered", len(s.ids))
	}
}
