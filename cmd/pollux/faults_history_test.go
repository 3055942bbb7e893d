package main_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The history checker of the fault tests, in the manner of Jepsen: a test
// disturbs a cluster under load, collects what each part of it wrote down (the
// devices, the log, the nodes, the queues), and then judges whether one
// sequence of polls explains all of it. What the parts claim is never believed
// alone: the devices know who asked them, the log what was recorded.
//
//	I1  each slot of each device ended once: polled, or counted as missed
//	I2  no two polls of a device overlap
//	I6  no task is stuck, archived or waits for another try
//	I7  memory and goroutines of each process return to what they were
//	I8  no secret stands in a log, in Redis, in the metrics or in the queues' pages
//
// A judge returns what is wrong, in words; nothing when all is well.

// slotHistory is what is known of the slots of a run, for I1.
type slotHistory struct {
	all    []slot            // those that began and ended in the judged stretch of time
	polled map[slot]int      // entries of the log; polls of any other time too
	ended  map[slot][]string // how nodes say that they ended slots without a poll: expired, skipped and why
	// counted is how many missed slots the leaders counted. Those of unsure may be
	// among them or not, since nobody saw the last figures of a leader that was killed;
	// slots at the edges of the judged stretch belong to it too.
	counted int
	unsure  map[slot]bool
}

// missed are the judged slots without a poll.
func (h slotHistory) missed() (missed []slot) {
	for _, s := range h.all {
		if h.polled[s] == 0 {
			missed = append(missed, s)
		}
	}
	return missed
}

// judge is I1.
func (h slotHistory) judge() (wrong []string) {
	for _, s := range sortedSlots(h.polled) {
		if h.polled[s] > 1 {
			wrong = append(wrong, fmt.Sprintf("I1: slot %v is %d times in the log", s, h.polled[s]))
		}
	}
	for _, s := range sortedSlots(h.ended) {
		switch ends := h.ended[s]; {
		case h.polled[s] > 0:
			wrong = append(wrong, fmt.Sprintf("I1: slot %v was polled and also ended %q", s, ends))
		case len(ends) > 1:
			wrong = append(wrong, fmt.Sprintf("I1: slot %v ended more than once: %q", s, ends))
		}
	}
	missed := h.missed()
	sure := slices.DeleteFunc(slices.Clone(missed), func(s slot) bool { return h.unsure[s] })
	if h.counted < len(sure) || h.counted > len(sure)+len(h.unsure) {
		wrong = append(wrong, fmt.Sprintf("I1: the leaders counted %d missed slots, the log lacks %d to %d: %v", h.counted, len(sure), len(sure)+len(h.unsure), some(missed)))
	}
	return wrong
}

func sortedSlots[V any](of map[slot]V) []slot {
	return slices.SortedFunc(maps.Keys(of), func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.device, b.device))
	})
}

// longestGap is the longest time between the beginnings of two polled slots of one device.
func longestGap(polled map[slot]int) (longest time.Duration) {
	last := map[int64]int64{}
	for _, s := range sortedSlots(polled) {
		if before, known := last[s.device]; known {
			longest = max(longest, time.Duration(s.begin-before)*time.Second)
		}
		last[s.device] = s.begin
	}
	return longest
}

// worstRun is the most slots in a row that a device missed, and the most of it altogether.
func worstRun(missed []slot, interval int64) (inRow, inAll int) {
	row, all, last := map[int64]int{}, map[int64]int{}, map[int64]int64{}
	slices.SortFunc(missed, func(a, b slot) int { return cmp.Compare(a.begin, b.begin) })
	for _, s := range missed {
		if last[s.device] != s.begin-interval {
			row[s.device] = 0
		}
		row[s.device]++
		all[s.device]++
		last[s.device] = s.begin
		inRow, inAll = max(inRow, row[s.device]), max(inAll, all[s.device])
	}
	return inRow, inAll
}

// visit is one poll as the device saw it: all that one client asked in one go.
type visit struct {
	slot
	source   uint16      // UDP port of the client
	from, to time.Time   // the first and the last reply
	reads    []time.Time // of the witness port's octets
}

// judgeVisits is I2. A node that was frozen in the middle of a poll may, when
// it goes on, send one more request of it: visits that begin in a stretch of pardoned are left out.
// So are those that read no octets: discoveries, which may run beside polls.
func judgeVisits(visits []visit, pardoned ...span) (wrong []string) {
	byDevice := map[int64][]visit{}
	for _, v := range visits {
		if len(v.reads) > 0 && !slices.ContainsFunc(pardoned, func(p span) bool { return v.from.After(p.from) && v.from.Before(p.to) }) {
			byDevice[v.device] = append(byDevice[v.device], v)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byDevice)) {
		own := byDevice[id]
		slices.SortFunc(own, func(a, b visit) int { return a.from.Compare(b.from) })
		latest := own[0]
		for _, v := range own[1:] {
			if !v.from.After(latest.to) {
				wrong = append(wrong, fmt.Sprintf("I2: device %d was asked by two polls at once: %v to %v by port %d (slot %d), %v to %v by port %d (slot %d)", id,
					clock(latest.from), clock(latest.to), latest.source, latest.begin, clock(v.from), clock(v.to), v.source, v.begin))
			}
			if v.to.After(latest.to) {
				latest = v
			}
		}
	}
	return wrong
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }

// completed leaves out the visits that were under way when a node was killed: what its
// devices still answered it never got, and the slot is another one's to poll.
func completed(visits []visit, kills []time.Time) []visit {
	return slices.DeleteFunc(slices.Clone(visits), func(v visit) bool {
		return slices.ContainsFunc(kills, func(at time.Time) bool { return v.from.Before(at) && v.to.After(at) })
	})
}

// repeated are the slots whose counters were read by more than one poll, visits
// that begin in a stretch of pardoned left out. With each is said when it was visited.
func repeated(visits []visit, pardoned ...span) (twice []string) {
	of := map[slot][]visit{}
	for _, v := range visits {
		if len(v.reads) > 0 && !slices.ContainsFunc(pardoned, func(p span) bool { return v.from.After(p.from) && v.from.Before(p.to) }) {
			of[v.slot] = append(of[v.slot], v)
		}
	}
	for s, all := range of {
		if len(all) < 2 {
			continue
		}
		text := s.String()
		for _, v := range all {
			begin := time.Unix(s.begin, 0)
			text += fmt.Sprintf(" (port %d, %+.3f to %+.3f s, %d reads)", v.source, v.from.Sub(begin).Seconds(), v.to.Sub(begin).Seconds(), len(v.reads))
		}
		twice = append(twice, text)
	}
	return twice
}

// queueState is what stands in asynq's keys of one queue.
type queueState struct {
	name            string
	active          []string
	leased          map[string]bool
	archived, retry int
}

// judge is I6.
func (q queueState) judge() (wrong []string) {
	for _, id := range q.active {
		if !q.leased[id] {
			wrong = append(wrong, fmt.Sprintf("I6: task %s of queue %s is stuck: active without a lease", id, q.name))
		}
	}
	if q.archived > 0 || q.retry > 0 {
		wrong = append(wrong, fmt.Sprintf("I6: queue %s holds %d archived tasks and %d that wait for another try", q.name, q.archived, q.retry))
	}
	if q.name == "default" {
		wrong = append(wrong, "I6: there is a queue \"default\": a node served it")
	}
	return wrong
}

// levels are what a process holds.
type levels struct{ resident, goroutines float64 }

const (
	slackResident   = 16 << 20 // bytes: what a heap needs more or less, whatever happens
	slackGoroutines = 20
)

// judge is I7, against the levels before the fault.
func (l levels) judge(name string, calm levels) (wrong []string) {
	if l.resident > 1.1*calm.resident+slackResident {
		wrong = append(wrong, fmt.Sprintf("I7: %s holds %.0f MiB of memory, %.0f before the fault", name, l.resident/(1<<20), calm.resident/(1<<20)))
	}
	if l.goroutines > 1.1*calm.goroutines+slackGoroutines {
		wrong = append(wrong, fmt.Sprintf("I7: %s has %.0f goroutines, %.0f before the fault", name, l.goroutines, calm.goroutines))
	}
	return wrong
}
