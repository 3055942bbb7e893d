package journal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/device"
)

const (
	// Remembered is how many finished slots of a device the log knows: its last
	// ones. A task whose node died comes again two minutes later at most.
	Remembered = 8
	// lastChunk is how many devices one HMGET asks for, so that it does not hold up Redis.
	lastChunk = 2000
)

// Last is what the log knows of a device; the zero Last when it knows nothing.
type Last struct {
	SampleAt  time.Time             // latest sample in the log ever; zero when there was none
	Slot      int64                 // Unix second, the last finished slot
	Before    [Remembered - 1]int64 // Unix seconds, the slots finished before Slot, the newest first; 0 from where none is known
	Forgotten bool                  // slots were finished before these, or may have been
	Outcome   device.Outcome        // of Slot
}

// SlotState is what the log knows of one slot of a device.
type SlotState string

// The states of a slot.
const (
	SlotFinished   SlotState = "finished"   // up, partial, down or auth
	SlotUnfinished SlotState = "unfinished" // not so far; when a later one is finished, it never will be
	SlotForgotten  SlotState = "forgotten"  // older than what is remembered
)

// State says whether a slot is finished.
func (l Last) State(slot int64) SlotState {
	finished := l.Finished()
	switch {
	case slices.Contains(finished, slot):
		return SlotFinished
	case l.Forgotten && len(finished) > 0 && slot < finished[len(finished)-1]:
		return SlotForgotten
	default:
		return SlotUnfinished
	}
}

// Finished are the finished slots that are remembered, Unix seconds, the newest first.
func (l Last) Finished() []int64 {
	if l.Slot == 0 {
		return nil
	}
	finished := append(make([]int64, 0, Remembered), l.Slot)
	for _, slot := range l.Before {
		if slot == 0 {
			break
		}
		finished = append(finished, slot)
	}
	return finished
}

// Last reads what the log knows of devices, in their order.
func (j *Journal) Last(ctx context.Context, ids []int64) ([]Last, error) {
	return j.LastOn(ctx, "", ids)
}

// LastOn is Last from the Redis with this run_id and no other (ErrServer); "" means any.
func (j *Journal) LastOn(ctx context.Context, server string, ids []int64) ([]Last, error) {
	lasts := make([]Last, 0, len(ids))
	for begin := 0; begin < len(ids); begin += lastChunk {
		chunk := ids[begin:min(begin+lastChunk, len(ids))]
		arguments := []any{server}
		for _, id := range chunk {
			arguments = append(arguments, id)
		}
		values, err := lastScript.Run(ctx, j.client, []string{common(keyLast)}, arguments...).Slice()
		if err == nil && len(values) != len(chunk) {
			err = ErrServer
		}
		if err != nil {
			return nil, fmt.Errorf("read the last slots of %d devices: %w", len(ids), err)
		}
		for _, value := range values {
			text, _ := value.(string)
			lasts = append(lasts, parseLast(text))
		}
	}
	return lasts, nil
}

// parseLast reads "<last sample ms>:<last finished slot>:<outcome>:<before>".
// before is how many seconds each slot that was finished earlier lies in front
// of the one after it, "-300-300-600", and ends with a dot when nothing was finished
// before them. An older program wrote the slot before the last one instead, 0 for
// none, or left it out. Anything else is nothing.
func parseLast(text string) Last {
	parts := strings.SplitN(text, ":", 4)
	if len(parts) < 3 || outcomeNumber(device.Outcome(parts[2])) == 0 {
		return Last{}
	}
	ms, err := strconv.ParseInt(parts[0], 10, 64)
	slot, slotErr := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || slotErr != nil || ms < 0 || slot < 0 {
		return Last{}
	}
	last := Last{Slot: slot, Outcome: device.Outcome(parts[2]), Forgotten: true}
	if ms > 0 {
		last.SampleAt = time.UnixMilli(ms)
	}
	if len(parts) == 4 && !last.readBefore(parts[3]) {
		return Last{}
	}
	return last
}

// readBefore reads the slots that were finished before the last one. It says whether the text is sound.
func (l *Last) readBefore(text string) bool {
	if text != "" && text[0] != '-' && text[0] != '.' {
		return l.readOneBefore(text)
	}
	steps, whole := strings.CutSuffix(text, ".")
	if steps == "" {
		l.Forgotten = false
		return whole
	}
	at := l.Slot
	for i, text := range strings.Split(steps[1:], "-") {
		step, err := strconv.ParseInt(text, 10, 64)
		if err != nil || step < 1 || step >= at || i >= len(l.Before) {
			return false
		}
		at -= step
		l.Before[i] = at
	}
	l.Forgotten = !whole
	return true
}

// readOneBefore reads what an older program wrote: the last slot again when it did not know the one before it.
func (l *Last) readOneBefore(text string) bool {
	before, err := strconv.ParseInt(text, 10, 64)
	if err != nil || before < 0 || before > l.Slot {
		return false
	}
	if before < l.Slot {
		l.Before[0], l.Forgotten = before, before > 0
	}
	return true
}
