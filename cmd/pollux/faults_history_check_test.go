package main_test

import (
	"strings"
	"testing"
	"time"
)

// The checker itself: histories with a mistake in them must be refused.

func TestHistoryOfSlots(t *testing.T) {
	t.Parallel()
	all := []slot{{1, 100}, {1, 120}, {2, 107}, {2, 127}}
	once := map[slot]int{{1, 100}: 1, {1, 120}: 1, {2, 107}: 1, {2, 127}: 1}
	lacking := map[slot]int{{1, 100}: 1, {2, 107}: 1, {2, 127}: 1}
	for name, c := range map[string]struct {
		slotHistory
		want string // "" for a good one
	}{
		"all polled":               {slotHistory{all: all, polled: once}, ""},
		"one missed and counted":   {slotHistory{all: all, polled: lacking, counted: 1, ended: map[slot][]string{{1, 120}: {"expired"}}}, ""},
		"one missed by a kill":     {slotHistory{all: all, polled: lacking, counted: 1}, ""},
		"one more at the edge":     {slotHistory{all: all, polled: lacking, counted: 2, unsure: map[slot]bool{{1, 80}: true}}, ""},
		"one that nobody saw":      {slotHistory{all: all, polled: lacking, unsure: map[slot]bool{{1, 120}: true}}, ""},
		"twice in the log":         {slotHistory{all: all, polled: map[slot]int{{1, 100}: 2, {1, 120}: 1, {2, 107}: 1, {2, 127}: 1}}, "2 times in the log"},
		"missed and not counted":   {slotHistory{all: all, polled: lacking}, "counted 0"},
		"counted and not missed":   {slotHistory{all: all, polled: once, counted: 1}, "counted 1"},
		"counted twice":            {slotHistory{all: all, polled: lacking, counted: 2}, "counted 2"},
		"polled and expired":       {slotHistory{all: all, polled: once, ended: map[slot][]string{{1, 120}: {"expired"}}}, "polled and also"},
		"expired and also skipped": {slotHistory{all: all, polled: lacking, counted: 1, ended: map[slot][]string{{1, 120}: {"expired", "skipped: busy"}}}, "more than once"},
	} {
		rejected(t, name, c.judge(), c.want)
	}
}

// refused fails the test unless a judge found what it was to find, and nothing else.
func rejected(t *testing.T, name string, wrong []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(wrong) > 0:
		t.Errorf("%s: %q", name, wrong)
	case want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], want)):
		t.Errorf("%s: %q, want one with %q", name, wrong, want)
	}
}

func TestHistoryOfVisits(t *testing.T) {
	t.Parallel()
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	read := func(device, begin int64, source uint16, from, to int) visit {
		return visit{slot{device, begin}, source, at(from), at(to), []time.Time{at(to)}}
	}
	first := read(1, 0, 40000, 0, 1000)
	for name, c := range map[string]struct {
		visits   []visit
		pardoned []span
		want     string
	}{
		"one after the other":      {[]visit{read(1, 20, 40001, 20_000, 21_000), first}, nil, ""},
		"of two devices":           {[]visit{first, read(2, 0, 40001, 500, 1500)}, nil, ""},
		"interleaved":              {[]visit{first, read(1, 0, 40001, 900, 1900)}, nil, "two polls at once"},
		"one within the other":     {[]visit{first, read(1, 20, 40001, 300, 400)}, nil, "two polls at once"},
		"under a long one":         {[]visit{read(1, 0, 40000, 0, 9000), read(1, 0, 40001, 9500, 9600), read(1, 0, 40002, 9550, 9700)}, nil, "two polls at once"},
		"a last request, pardoned": {[]visit{first, read(1, 0, 40001, 900, 900)}, []span{{at(899), at(950)}}, ""},
	} {
		rejected(t, name, judgeVisits(c.visits, c.pardoned...), c.want)
	}
	asked := read(1, 0, 40002, 3000, 3100)
	asked.reads = nil
	if twice := repeated([]visit{first, read(1, 20, 40001, 20_000, 21_000), read(2, 0, 40003, 0, 10), asked}); len(twice) > 0 {
		t.Errorf("polled twice: %v", twice)
	}
	again := []visit{first, read(1, 0, 40001, 5000, 6000)}
	if twice := repeated(again); len(twice) != 1 {
		t.Errorf("polled twice: %v, want one slot", twice)
	}
	if left := completed(again, []time.Time{at(4999), at(5500)}); len(left) != 1 || left[0].source != first.source {
		t.Errorf("under way at no kill: %v, want the first one", left)
	}
}

func TestHistoryOfQueues(t *testing.T) {
	t.Parallel()
	leased := map[string]bool{"poll:1:20": true}
	for name, c := range map[string]struct {
		queueState
		want string
	}{
		"idle":     {queueState{name: "poller:0"}, ""},
		"at work":  {queueState{name: "poller:0", active: []string{"poll:1:20"}, leased: leased}, ""},
		"stuck":    {queueState{name: "poller:0", active: []string{"poll:1:20", "poll:2:20"}, leased: leased}, "stuck"},
		"archived": {queueState{name: "poller:0", archived: 1}, "1 archived"},
		"retrying": {queueState{name: "poller:0", retry: 3}, "3 that wait"},
		"default":  {queueState{name: "default"}, "default"},
	} {
		rejected(t, name, c.judge(), c.want)
	}
}

func TestHistoryOfLevels(t *testing.T) {
	t.Parallel()
	calm := levels{resident: 50 << 20, goroutines: 100}
	for name, c := range map[string]struct {
		levels
		want string
	}{
		"as before": {calm, ""}, "less": {levels{10 << 20, 20}, ""}, "a little more": {levels{70 << 20, 125}, ""},
		"memory": {levels{90 << 20, 100}, "memory"}, "goroutines": {levels{50 << 20, 140}, "goroutines"},
	} {
		rejected(t, name, c.judge("c1", calm), c.want)
	}
}

func TestHistoryOfGaps(t *testing.T) {
	t.Parallel()
	polled := map[slot]int{{1, 0}: 1, {1, 20}: 1, {1, 80}: 1, {2, 5}: 1, {2, 25}: 1}
	if got := longestGap(polled); got != time.Minute {
		t.Errorf("the longest gap is %v, want a minute", got)
	}
	inRow, inAll := worstRun([]slot{{1, 60}, {1, 40}, {2, 45}, {1, 120}}, 20)
	if inRow != 2 || inAll != 3 {
		t.Errorf("at most %d in a row and %d of a device, want 2 and 3", inRow, inAll)
	}
}
