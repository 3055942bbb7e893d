package device_test

import (
	"math/rand/v2"
	"testing"

	"pollux/device"
)

func TestSlotContainsNow(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		id, interval := random.Int64N(1_000_000), 10+random.IntN(3591)
		now := random.Int64N(4_000_000_000)
		slot := device.SlotAt(id, interval, now)
		if slot > now || now >= slot+int64(interval) {
			t.Fatalf("device %d, interval %d: slot %d does not contain %d", id, interval, slot, now)
		}
		if next := device.SlotAt(id, interval, slot+int64(interval)); next != slot+int64(interval) {
			t.Fatalf("device %d, interval %d: slot %d is followed by %d", id, interval, slot, next)
		}
	}
}

func TestPhaseIsFixedAndSpreads(t *testing.T) {
	t.Parallel()
	// FNV-1a-64 of "1" is 12638134423997487868: written down, so that no release moves the slots.
	if got := device.Phase(1, 300); got != 12638134423997487868%300 {
		t.Errorf("phase of device 1 is %d", got)
	}
	var count [10]int
	for id := int64(1); id <= 10_000; id++ {
		count[device.Phase(id, 10)]++
	}
	for phase, n := range count {
		if n < 800 || n > 1200 {
			t.Errorf("%d of 10,000 devices have phase %d of 10", n, phase)
		}
	}
}

func TestChangedIntervalBeginsAfterTheOldSlot(t *testing.T) {
	t.Parallel()
	now := int64(1_795_340_000)
	from := device.SlotFromChange(7, 300, now)
	if old := device.SlotAt(7, 300, now); from != old+300 {
		t.Errorf("new slots from %d, the old slot is %d", from, old)
	}
}
