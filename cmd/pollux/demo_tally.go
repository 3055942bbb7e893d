package main

import (
	"time"

	"pollux/device"
	"pollux/journal"
)

// slotTally sees how every slot of every device of the demo ended. The counters
// of the process cannot tell: they count the polls of slots that began before
// the last device was there, too, and such a slot may have been all but over.
type slotTally struct {
	ids      []int64
	interval int
	since    int64   // Unix second: slots that began before do not count
	last     []int64 // by device, the latest slot that was seen to end

	up, other, missed int // slots by how they ended; missed ones were passed over
}

func newSlotTally(ids []int64, interval int, since time.Time) *slotTally {
	t := &slotTally{ids: ids, interval: interval, since: since.Unix(), last: make([]int64, len(ids))}
	for i, id := range ids {
		t.last[i] = device.SlotAt(id, interval, t.since-1) // began before since
	}
	return t
}

// tallyLooks is how often in an interval the demo looks: a slot that ended
// late is the last one only until the next one has ended.
const tallyLooks = 40

// see takes the last finished slots of the devices. A slot that passes unseen counts as missed.
func (t *slotTally) see(states []journal.Last) {
	for i, state := range states {
		passed := int(state.Slot-t.last[i]) / t.interval
		if state.Slot <= t.last[i] || passed < 1 {
			continue
		}
		t.last[i] = state.Slot
		t.missed += passed - 1
		if state.Outcome == device.OutcomeUp {
			t.up++
		} else {
			t.other++
		}
	}
}

// behind is how many devices have not ended the last slot that is over by now.
func (t *slotTally) behind(now time.Time) (devices int) {
	for i, id := range t.ids {
		if t.last[i] < device.SlotAt(id, t.interval, now.Unix())-int64(t.interval) {
			devices++
		}
	}
	return devices
}
