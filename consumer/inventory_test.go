package consumer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
)

func TestDatabaseAwayCostsNoMeasurement(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	if err := r.handle(r.turn(1, 10)); err != nil {
		t.Fatal(err)
	}
	r.store.err = errors.New("the database is away")
	r.clock.offset.Add(int64(10 * time.Second))
	if err := r.handle(r.turn(1, 10)); err != nil {
		t.Fatal(err)
	}
	if got := r.outcomes(t); got["up"] != 2 || len(r.journal.appended()) != 2 {
		t.Errorf("outcomes %v, %d entries", got, len(r.journal.appended()))
	}
	if r.metric(t, "pollux_poll_targets_total", "source=copy") != 1 || r.metric(t, "pollux_poll_saves_total", "result=failed") != 1 {
		t.Error("the copy or the failed save is not counted")
	}
	if found, err := r.inventory.read(t.Context(), 1); err != nil || found.device.PolledSlot == 0 {
		t.Errorf("the copy does not go on: %+v, %v", found.device, err)
	}
}

// TestHangingDatabaseHoldsNoWorkers: one poll finds out, the others use their copies at once.
func TestHangingDatabaseHoldsNoWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 60, nil)
		for id := range int64(5) {
			if err := r.handle(r.turn(id+1, 60)); err != nil {
				t.Fatal(err)
			}
		}
		r.clock.offset.Add(int64(time.Minute))
		r.store.hang = true
		if _, err := r.inventory.read(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for id := range int64(5) {
			if _, err := r.inventory.read(t.Context(), id+1); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("five copies took %v", took)
		}
	})
}

func TestCopiesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	i := r.inventory
	for id := range int64(maxCopies + 5) {
		i.keep(target{device: device.Device{ID: id}, ports: make([]device.Port, 1)})
	}
	if _, known := i.copy(4); known || i.used.Len() != maxCopies || len(i.copies) != maxCopies || i.ports != maxCopies {
		t.Errorf("%d copies with %d ports", i.used.Len(), i.ports)
	}
	if n := r.metric(t, "pollux_poll_target_copies"); n != maxCopies {
		t.Errorf("pollux_poll_target_copies is %v", n)
	}
	i.forget(maxCopies)
	if n := r.metric(t, "pollux_poll_target_copies"); n != maxCopies-1 {
		t.Errorf("pollux_poll_target_copies is %v after one device has gone", n)
	}
	i.keep(target{device: device.Device{ID: -1}, ports: make([]device.Port, maxCopiedPorts)})
	if i.ports > maxCopiedPorts || len(i.copies) != i.used.Len() {
		t.Errorf("%d ports in %d copies", i.ports, i.used.Len())
	}
}
