package producer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"pollux/billing"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/settings"
	"pollux/store"
	"pollux/tasks"
)

var (
	_ Billed      = (*store.Store)(nil)
	_ BilledPorts = (*store.Store)(nil)
)

// fakeBilled knows devices with billed ports; broken makes it fail.
type fakeBilled struct {
	mu      sync.Mutex
	devices []billing.Device
	tally   store.BillTally
	broken  bool
}

func (f *fakeBilled) BilledDevices(_ context.Context, after int64, limit int) ([]billing.Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return nil, errors.New("the database is away")
	}
	var page []billing.Device
	for _, d := range f.devices {
		if d.ID > after && len(page) < limit {
			page = append(page, d)
		}
	}
	return page, nil
}

func (f *fakeBilled) TallyBills(context.Context) (store.BillTally, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally, nil
}

func (f *fakeBilled) PurgeBilling(context.Context, time.Time) (int64, error) { return 0, nil }

func (f *fakeBilled) BilledPorts(_ context.Context, id int64) ([]billing.Port, error) {
	return []billing.Port{{ID: id, Device: id, Last: epoch}}, nil
}

// billed are devices with the ids 1 to n, in two poller groups.
func billed(n int) []billing.Device {
	devices := make([]billing.Device, n)
	for i := range devices {
		devices[i] = billing.Device{ID: int64(i + 1), Group: int64(i % 2), Ports: 1}
	}
	return devices
}

// slotStart is the begin of a collect slot of 300 s.
const slotStart = int64(1_795_339_800)

func TestEachDeviceIsReadOnceInEachSlot(t *testing.T) {
	t.Parallel()
	c := newCollects(append(billed(100), billing.Device{ID: 1}, billing.Device{ID: -1}, billing.Device{ID: 200, Group: -3}), 300, false)
	first, again := map[int64]int{}, map[int64]int{}
	seen := map[string]int64{}
	for now := slotStart; now < slotStart+900; now++ {
		for _, o := range c.due(now-1, now) {
			if o.Slot%300 != 0 || now < o.Slot || now >= o.Slot+300 || o.Interval != 300 || o.Queue != "billing" {
				t.Fatalf("at second %d: %+v", now-slotStart, o)
			}
			if began, known := seen[o.ID()]; !known {
				seen[o.ID()] = now
				first[o.Slot]++
				if moment := o.Slot + device.Phase(o.DeviceID, 150); now != moment {
					t.Errorf("device %d is offered at %d, want %d", o.DeviceID, now, moment)
				}
			} else {
				again[o.Slot]++
				if now != began+60 {
					t.Errorf("device %d is offered again after %d s", o.DeviceID, now-began)
				}
			}
		}
	}
	for slot := slotStart; slot < slotStart+900; slot += 300 {
		if first[slot] != 100 || again[slot] != 100 {
			t.Errorf("in the slot %+d: %d offers, %d second ones", slot-slotStart, first[slot], again[slot])
		}
	}
	if len(first) != 3 {
		t.Errorf("slots %v", first)
	}
}

// After a start those readings are offered whose moment has come in the present slot, and none of a slot that is over.
func TestOnlyThePresentSlotIsOffered(t *testing.T) {
	t.Parallel()
	c := newCollects(billed(200), 300, true)
	for second := range int64(300) {
		now := slotStart + second
		offers := c.due(0, now)
		want := 0
		for _, e := range c.entries {
			if e.phase <= second {
				want++
			}
		}
		if len(offers) != want {
			t.Fatalf("at second %d: %d offers, want %d", second, len(offers), want)
		}
		for _, o := range offers {
			if o.Slot != slotStart || o.Queue != tasks.Queue(tasks.KindBilling, (o.DeviceID-1)%2) {
				t.Fatalf("at second %d: %+v", second, o)
			}
		}
	}
}

// billingRig is a leader with 30 devices that have billed ports, in two groups, half a minute before the second half of a collect slot.
func billingRig(t *testing.T) (*rig, *fakeBilled, *biller, func(pairs ...string)) {
	t.Helper()
	r := newRig(t, polluxtest.Redis(t), "p1")
	bills := &fakeBilled{devices: billed(30)}
	r.deps.Billed = bills
	set := func(pairs ...string) {
		stored := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			stored[pairs[i]] = pairs[i+1]
		}
		values := settings.NewValues(stored)
		r.deps.Settings = func() settings.Values { return values }
	}
	set()
	term := r.leads(t)
	b := &biller{term: term, client: asynq.NewClientFromRedisClient(r.client)}
	b.load(t, bills)
	return r, bills, b, set
}

// load has the term read the devices, as keepBilled does.
func (b *biller) load(t *testing.T, bills *fakeBilled) {
	t.Helper()
	devices, err := listBilled(t.Context(), bills)
	if err != nil {
		t.Fatal(err)
	}
	b.billed.Store(&devices)
}

// waiting are the readings that wait in a queue.
func (r *rig) waiting(t *testing.T, queue string) map[int64]tasks.BillingCollect {
	t.Helper()
	found := map[int64]tasks.BillingCollect{}
	list, err := asynq.NewInspectorFromRedisClient(r.client).ListPendingTasks(queue, asynq.PageSize(1000))
	if err != nil {
		return found // no such queue yet
	}
	for _, info := range list {
		if c, err := tasks.ParseBillingCollect(info.Payload); err == nil {
			found[c.DeviceID] = c
		}
	}
	return found
}

func TestReadingsMoveWithTheSetting(t *testing.T) {
	t.Parallel()
	r, bills, b, set := billingRig(t)
	now := slotStart + 149
	b.tick(t.Context(), now)
	if n := len(r.waiting(t, "billing")); n != 30 {
		t.Fatalf("%d readings wait, want 30", n)
	}
	b.tick(t.Context(), now) // nothing new
	set(settings.KeyDistributedBilling, "true")
	b.tick(t.Context(), now+1)
	for group := range int64(2) {
		for id, c := range r.waiting(t, tasks.Queue(tasks.KindBilling, group)) {
			if (id-1)%2 != group || c.Slot != slotStart {
				t.Errorf("in the queue of group %d: %+v", group, c)
			}
		}
	}
	if a, b := len(r.waiting(t, "billing:0")), len(r.waiting(t, "billing:1")); a != 15 || b != 15 {
		t.Errorf("%d and %d readings wait in the groups' queues", a, b)
	}
	// A device that moves to another group, and one that comes into a bill, are offered at once.
	bills.mu.Lock()
	bills.devices[0].Group = 1
	bills.devices = append(bills.devices, billing.Device{ID: 77, Group: 0})
	bills.mu.Unlock()
	b.load(t, bills)
	b.tick(t.Context(), now+2)
	if _, moved := r.waiting(t, "billing:1")[1]; !moved {
		t.Error("the device that moved is not offered in its new group's queue")
	}
	if _, found := r.waiting(t, "billing:0")[77]; !found {
		t.Error("the new device is not offered")
	}
	if n := r.metric(t, "pollux_billing_offers_total", "kind=billing:collect", "result=offered"); n != 62 {
		t.Errorf("%v readings were offered, want 30, 30 and 2", n)
	}
	set()
	b.tick(t.Context(), now+3)
	if n := len(r.waiting(t, "billing")); n != 31 { // those of before are still there
		t.Errorf("%d readings wait in the one queue, want 31", n)
	}
	// The next slot is offered as usual.
	for second := now + 4; second < slotStart+600; second++ {
		b.tick(t.Context(), second)
	}
	if got := r.waiting(t, "billing")[77]; got.Slot != slotStart+300 && got.Slot != slotStart {
		t.Errorf("the next reading is %+v", got)
	}
	if n := r.metric(t, "pollux_billing_offers_total", "kind=billing:collect", "result=error"); n != 0 {
		t.Errorf("%v offers failed", n)
	}
}

func TestAnotherIntervalHasOtherSlots(t *testing.T) {
	t.Parallel()
	r, _, b, set := billingRig(t)
	b.tick(t.Context(), slotStart+149)
	set(settings.KeyBillingFrequency, "60")
	b.tick(t.Context(), slotStart+179)
	got := r.waiting(t, "billing")
	for id, c := range got {
		if c.Interval != 60 && c.Slot != slotStart || c.Interval == 60 && c.Slot != slotStart+120 {
			t.Errorf("device %d: %+v", id, c)
		}
	}
	if n := r.metric(t, "pollux_billing_offers_total", "kind=billing:collect", "result=offered"); n != 60 {
		t.Errorf("%v readings were offered, want 30 of each interval", n)
	}
}

func TestCalculationsAreOfferedOnce(t *testing.T) {
	t.Parallel()
	r, bills, b, _ := billingRig(t)
	calculations := func() (slots []int64) {
		list, err := asynq.NewInspectorFromRedisClient(r.client).ListPendingTasks("billing", asynq.PageSize(1000))
		if err != nil {
			return nil
		}
		for _, info := range list {
			if c, err := tasks.ParseBillingCalculate(info.Payload); err == nil && info.Type == tasks.TypeBillingCalculate {
				slots = append(slots, c.Slot)
			}
		}
		slices.Sort(slots)
		return slots
	}
	for second := slotStart; second < slotStart+601; second += 10 {
		b.tick(t.Context(), second)
	}
	if got, want := calculations(), []int64{slotStart, slotStart + 300, slotStart + 600}; !slices.Equal(got, want) {
		t.Errorf("calculations of %v wait, want %v", got, want)
	}
	// Without bills there are none; without billed ports but with a bill there are.
	bills.mu.Lock()
	bills.devices = nil
	bills.mu.Unlock()
	b.load(t, bills)
	b.tick(t.Context(), slotStart+900)
	if n := len(calculations()); n != 3 {
		t.Errorf("%d calculations without a bill", n)
	}
	bills.mu.Lock()
	bills.tally.Bills = 1
	bills.mu.Unlock()
	b.tick(t.Context(), slotStart+1200)
	if n := len(calculations()); n != 4 {
		t.Errorf("%d calculations with a bill that has no ports", n)
	}
}

// A queue that nobody serves does not fill Redis.
func TestAFullQueueOfBillingIsSkipped(t *testing.T) {
	t.Parallel()
	r, _, b, _ := billingRig(t)
	for slot := range int64(10) {
		b.tick(t.Context(), slotStart+slot*300+149)
		r.queues.observe(t.Context())
	}
	info, err := asynq.NewInspectorFromRedisClient(r.client).GetQueueInfo("billing")
	if err != nil || info.Pending > 2*(30+collectSlack)+10 { // twice the devices and the slack, and the calculations
		t.Errorf("%+v tasks wait, %v", info, err)
	}
	if n := r.metric(t, "pollux_billing_offers_total", "kind=billing:collect", "result=queue_full"); n < 150 {
		t.Errorf("%v skipped readings are counted", n)
	}
}

// While the database is away the devices that are known go on to be read, and a running leader offers on its own.
func TestALeaderOffersReadings(t *testing.T) {
	t.Parallel()
	r := newRig(t, polluxtest.Redis(t), "p1")
	bills := &fakeBilled{devices: billed(30), tally: store.BillTally{Bills: 3, Near: 2, Over: 1}}
	r.deps.Billed = bills
	now := time.Now().Unix()
	r.clock.offset.Store((300 - now%300 + 150) * int64(time.Second)) // the moments of all have come
	r.start(t)
	polluxtest.Eventually(t, time.Minute, "30 readings wait", func() bool { return len(r.waiting(t, "billing")) == 30 })
	polluxtest.Eventually(t, time.Minute, "the bills are counted", func() bool {
		return r.metric(t, "pollux_bills", "state=near") == 2 && r.metric(t, "pollux_billed_devices", "group=1") == 15
	})
	bills.mu.Lock()
	bills.broken = true
	bills.mu.Unlock()
	r.clock.offset.Add(300 * int64(time.Second))
	polluxtest.Eventually(t, time.Minute, "the next slot is offered", func() bool {
		return r.metric(t, "pollux_billing_offers_total", "kind=billing:collect", "result=offered") >= 60
	})
}
