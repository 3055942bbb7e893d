package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pollux/device"
)

func groupAddRace(t *testing.T, e engine) {
	const adders = 8
	ids := make([]int64, adders)
	var wait sync.WaitGroup
	for i := range adders {
		wait.Go(func() {
			g, err := e.AddGroup(t.Context(), device.Group{Name: fmt.Sprintf("at once %d", i)}, "alice")
			if err != nil {
				t.Errorf("adding: %v", err)
			}
			ids[i] = g.ID
		})
	}
	wait.Wait()
	slices.Sort(ids)
	if got := slices.Compact(slices.Clone(ids)); len(got) != adders || got[0] < 1 {
		t.Errorf("ids %v", ids)
	}
}

func groupRemoveRace(t *testing.T, e engine) {
	g := addGroup(t, e, "removed twice")
	addedTo(t, e, g.ID)
	results := make(chan error, 4)
	for range cap(results) {
		go func() {
			_, err := e.RemoveGroup(t.Context(), g.ID, "alice")
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, ErrNotFound):
			t.Errorf("a loser got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d removed it", won, cap(results))
	}
	if events := groupEvents(t, e, g.ID); len(events) != 2 {
		t.Errorf("events %q", events)
	}
}

// Whoever is first: no device stays behind in a group that is gone, and none is lost.
func groupDeviceRace(t *testing.T, e engine) {
	for round := range 4 {
		g := addGroup(t, e, fmt.Sprintf("crowded %d", round))
		mover := addedTo(t, e, device.GeneralGroup)
		var wait sync.WaitGroup
		added := make([]device.Device, 8)
		for i := range added {
			wait.Go(func() {
				d := described()
				d.Group = g.ID
				var err error
				if added[i], err = e.AddDevice(t.Context(), d); err != nil && !errors.Is(err, ErrNotFound) {
					t.Errorf("adding: %v", err)
				}
			})
		}
		wait.Go(func() {
			_, err := e.UpdateDevice(t.Context(), mover.ID, func(d *device.Device) error { d.Group = g.ID; return nil })
			if err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("moving: %v", err)
			}
		})
		wait.Go(func() {
			if _, err := e.RemoveGroup(t.Context(), g.ID, "alice"); err != nil {
				t.Errorf("removing: %v", err)
			}
		})
		wait.Wait()
		for _, d := range slices.Concat(added, []device.Device{mover}) {
			if d.ID == 0 {
				continue // it came too late
			}
			if now := reread(t, e, d.ID); now.Group != device.GeneralGroup {
				t.Errorf("a device is in group %d", now.Group)
			}
		}
		if counts, err := e.GroupDevices(t.Context()); err != nil || counts[g.ID] != 0 {
			t.Errorf("%d devices in a group that is gone, %v", counts[g.ID], err)
		}
	}
}
