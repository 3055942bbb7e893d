package main

import (
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
)

// TestTheDemoJudgesEverySlotSinceTheLastDevice feeds the tally what the journal says of one device.
func TestTheDemoJudgesEverySlotSinceTheLastDevice(t *testing.T) {
	t.Parallel()
	const id, interval = 7, 10
	first := device.SlotAt(id, interval, 1_800_000_000) + interval // the first slot after since
	since := time.Unix(first-3, 0)
	type look struct {
		slot    int64 // from the first one that counts
		outcome device.Outcome
	}
	for name, c := range map[string]struct {
		looks             []look
		now               int64 // seconds after the first slot began
		up, other, missed int
		behind            int
	}{
		"all up, seen twice":           {[]look{{0, "up"}, {0, "up"}, {1, "up"}, {2, "up"}}, 34, 3, 0, 0, 0},
		"expired before the last was":  {[]look{{-1, "expired"}, {0, "up"}, {1, "up"}}, 24, 2, 0, 0, 0},
		"down in the first slot":       {[]look{{-1, "up"}, {0, "down"}, {1, "up"}}, 24, 1, 1, 0, 0},
		"expired in the first slot":    {[]look{{0, "expired"}, {1, "up"}}, 24, 1, 1, 0, 0},
		"the first slot passed unseen": {[]look{{-1, "up"}, {1, "up"}}, 24, 1, 0, 1, 0},
		"two slots passed unseen":      {[]look{{0, "up"}, {3, "up"}}, 44, 2, 0, 2, 0},
		"the last slot did not end":    {[]look{{0, "up"}}, 24, 1, 0, 0, 1},
		"nothing ever ended":           {[]look{{-2, "up"}}, 24, 0, 0, 0, 1},
	} {
		w := newSlotTally([]int64{id}, interval, since)
		for _, l := range c.looks {
			w.see([]journal.Last{{Slot: first + l.slot*interval, Outcome: l.outcome}})
		}
		if behind := w.behind(time.Unix(first+c.now, 0)); w.up != c.up || w.other != c.other || w.missed != c.missed || behind != c.behind {
			t.Errorf("%s: %d up, %d other, %d missed, %d behind; want %d, %d, %d, %d", name, w.up, w.other, w.missed, behind, c.up, c.other, c.missed, c.behind)
		}
	}
}
