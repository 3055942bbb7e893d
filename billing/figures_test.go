package billing

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPercentileIsTheRank(t *testing.T) {
	t.Parallel()
	// LibreNMS's index is one below the nearest rank; the numbers are those of months of 30 and 31 days.
	for n, want := range map[int][2]int{8640: {8207, 8206}, 8928: {8481, 8480}, 100: {94, 93}, 20: {18, 17}, 2: {1, 0}, 1: {0, -1}, 0: {-1, -1}} {
		if got := [2]int{Nearest.rank(n), LibreNMS.rank(n)}; got != want {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 400 {
		values := make([]uint64, n)
		for i := range values {
			values[i] = random.Uint64N(uint64(1 + n*n/50)) // few and many that are equal
		}
		sorted := slices.Sorted(slices.Values(values))
		slots := make([]Slot, n)
		for i, v := range values {
			slots[i] = Slot{Width: 300, In: v}
		}
		for _, m := range []Method{Nearest, LibreNMS} {
			want := uint64(0)
			if k := m.rank(n); k >= 0 {
				want = sorted[k]
			}
			if got := percentile95(slices.Clone(values), m); got != want {
				t.Fatalf("%d values, %s: %d, want %d", n, m, got, want)
			}
			if got := weighted95(slots, func(s Slot) uint64 { return s.In }); m == Nearest && got != want {
				t.Fatalf("%d values, weighted: %d, want %d", n, got, want)
			}
		}
		for k := range n {
			if got := nth(slices.Clone(values), k); got != sorted[k] {
				t.Fatalf("%d-th of %d: %d, want %d", k, n, got, sorted[k])
			}
		}
	}
}

func TestPercentileOfMixedWidthsGoesByTime(t *testing.T) {
	t.Parallel()
	// 94 slots of 300 s at 1 bit/s, then 30 of 60 s at 9: those are 6 % of the time.
	var slots []Slot
	for range 94 {
		slots = append(slots, Slot{Width: 300, In: 1})
	}
	for range 30 {
		slots = append(slots, Slot{Width: 60, In: 9})
	}
	f := Figure(Terms{Type: CDR, Direction: In, Method: Nearest}, Totals{}, slots)
	if f.Rate95 != 9 || f.MeasuredSeconds != 30_000 {
		t.Errorf("%+v", f)
	}
	if f = Figure(Terms{Type: CDR, Direction: In, Method: Nearest}, Totals{}, slots[:118]); f.Rate95 != 1 {
		t.Errorf("%+v", f)
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	slots := make([]Slot, 100)
	for i := range slots {
		slots[i] = Slot{Begin: int64(300 * i), Width: 300, In: uint64(i + 1), Out: uint64(200 - i)}
	}
	totals := Totals{In: 30_000, Out: 60_000}
	terms := Terms{Allowed: 100, Method: Nearest, Period: Period{From: 0, To: 90_000}, To: 30_000}
	for _, c := range []struct {
		kind            Type
		direction       Direction
		rate, peak      uint64
		used, predicted uint64
	}{
		{CDR, In, 95, 100, 95, 95},
		{CDR, Out, 195, 200, 195, 195},
		{CDR, Max, 195, 200, 195, 195},
		{CDR, Aggregate, 201, 201, 201, 201},
		{Quota, In, 95, 100, 30_000, 90_000},
		{Quota, Max, 195, 200, 60_000, 180_000},
		{Quota, Aggregate, 201, 201, 90_000, 270_000},
	} {
		terms.Type, terms.Direction = c.kind, c.direction
		f := Figure(terms, totals, slots)
		over := uint64(0)
		if c.used > 100 {
			over = c.used - 100
		}
		if f.Rate95In != 95 || f.Rate95Out != 195 || f.Rate95 != c.rate || f.Peak != c.peak || f.PeakIn != 100 || f.PeakOut != 200 ||
			f.Used != c.used || f.Overuse != over || f.Predicted != c.predicted || f.AverageIn != 8 || f.AverageOut != 16 {
			t.Errorf("%s %s: %+v", c.kind, c.direction, f)
		}
	}
	terms.Type, terms.Direction, terms.Began = Quota, In, 15_000 // billed since the middle: 15,000 s of 75,000
	if f := Figure(terms, totals, slots); f.Predicted != 150_000 {
		t.Errorf("%+v", f)
	}
	// Of the first slot's 864,000 bytes only 300 were carried in it, the others before the period: those do not come again.
	first := Terms{Type: Quota, Direction: In, Method: Nearest, Period: Period{From: 0, To: 90_000}, To: 300}
	if f := Figure(first, Totals{In: 864_000}, []Slot{{Width: 300, In: 8}}); f.Used != 864_000 || f.Predicted != 864_000+299*300 {
		t.Errorf("%+v", f)
	}
	if f := Figure(terms, Totals{}, nil); f.Used != 0 || f.Predicted != 0 || f.Rate95 != 0 || f.AverageIn != 0 {
		t.Errorf("of nothing: %+v", f)
	}
}

func TestChecksumKnowsNoOrder(t *testing.T) {
	t.Parallel()
	samples := make([]Sample, 50)
	for i := range samples {
		samples[i] = Sample{Port: int64(i % 7), Slot: int64(300 * i), Width: 300, Slots: 1, Read: time.Unix(int64(300*i), 0), Span: time.Second, In: uint64(i), Out: 5}
	}
	sum := func(list []Sample) Totals {
		var all Totals
		for _, s := range list {
			all.Add(s)
		}
		return all
	}
	want := sum(samples)
	backwards := slices.Clone(samples)
	slices.Reverse(backwards)
	if got := sum(backwards); got != want || want.Got != 50 || want.In != 49*25 {
		t.Errorf("%+v, want %+v", got, want)
	}
	for name, change := range map[string]func(*Sample){
		"bytes": func(s *Sample) { s.In++ }, "port": func(s *Sample) { s.Port++ }, "slot": func(s *Sample) { s.Slot++ }, "flags": func(s *Sample) { s.Flags = Wrap },
		"span": func(s *Sample) { s.Span += time.Millisecond }, "time": func(s *Sample) { s.Read = s.Read.Add(time.Millisecond) },
	} {
		changed := slices.Clone(samples)
		if change(&changed[9]); sum(changed).Checksum == want.Checksum {
			t.Errorf("another %s, the same checksum", name)
		}
	}
	if again, ok := ParseChecksum(want.Checksum.String()); !ok || again != want.Checksum {
		t.Errorf("%v %v", again, ok)
	}
	for _, text := range []string{"", "00", strings.Repeat("0", 66), strings.Repeat("x", 64)} {
		if _, ok := ParseChecksum(text); ok {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestChunksArePackedWhole(t *testing.T) {
	t.Parallel()
	begin := ChunkOf(1_774_733_400)
	var chunk Chunk
	for i := range int64(72) {
		if i%9 != 4 { // gaps
			chunk.Add(Slot{Begin: begin + 300*i, Width: 300, In: uint64(i * i * i * 1_000_000), Out: most})
		}
	}
	chunk.Add(Slot{Begin: begin + 300*4 + 60, Width: 60, In: 1, Out: 2})
	chunk.Add(Slot{Begin: begin + 300*5, Width: 300, In: 1, Out: 2}) // a second port
	packed := chunk.Pack(begin)
	again, err := Unpack(packed, begin)
	if err != nil || !slices.Equal(again, chunk) {
		t.Fatalf("%v, %v, want %v", again, err, chunk)
	}
	if i := slices.IndexFunc(again, func(s Slot) bool { return s.Begin == begin+1500 }); i < 0 || again[i].In != 125_000_001 || again[i].Out != most {
		t.Errorf("%+v", again)
	}
	if !slices.IsSortedFunc(again, func(a, b Slot) int { return int(a.Begin - b.Begin) }) {
		t.Errorf("%+v", again)
	}
	for n := range packed {
		if _, err := Unpack(packed[:n], begin); n == 0 && err == nil {
			t.Error("nothing is taken for a chunk")
		}
	}
}

func TestSpreadGoesBackToTheBegin(t *testing.T) {
	t.Parallel()
	s := Sample{Slot: 3000, Width: 300, Slots: 4, Span: 1200 * time.Second, In: 1501, Out: 3000}
	for from, want := range map[int64]int{0: 4, 2100: 4, 2101: 3, 2400: 3, 3000: 1, 3001: 0} {
		n := 0
		s.Spread(from, func(slot Slot) {
			if want := (Slot{Begin: 3000 - int64(300*n), Width: 300, In: 10, Out: 20}); slot != want {
				t.Errorf("from %d: %+v, want %+v", from, slot, want)
			}
			n++
		})
		if n != want {
			t.Errorf("from %d: %d slots, want %d", from, n, want)
		}
	}
	Sample{Slot: 3000, Width: 300, Slots: 1, Flags: First}.Spread(0, func(slot Slot) { t.Errorf("of a first sample: %+v", slot) })
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add(Chunk{{Begin: 300, Width: 300, In: 1, Out: 2}}.Pack(0))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, packed []byte) {
		c, err := Unpack(packed, 0)
		if err != nil {
			return
		}
		for i, s := range c {
			if s.Width <= 0 || s.Width > MaxInterval || s.In > most || s.Out > most || i > 0 && s.Begin <= c[i-1].Begin || len(c) > len(packed) {
				t.Fatalf("%+v, %d slots of %d bytes", s, len(c), len(packed))
			}
		}
		again, err := Unpack(c.Pack(0), 0)
		if err != nil || !slices.Equal(again, c) {
			t.Fatalf("%v, %v, want %v", again, err, c)
		}
	})
}

func TestOfASampleCountsWhatWasSinceThePortCame(t *testing.T) {
	t.Parallel()
	s := Sample{Slot: 3000, Width: 300, Slots: 9, Span: 2700 * time.Second, In: 1000, Out: most, Flags: Spread}
	for from, want := range map[int64]struct {
		slots   int
		in, out uint64
	}{0: {9, 1000, most}, 600: {9, 1000, most}, 601: {8, 888, scale(most, 8, 9)}, 2700: {2, 222, scale(most, 2, 9)}, 3000: {1, 111, most / 9}} {
		got := s.Since(from)
		if got.Slots != want.slots || got.In != want.in || got.Out != want.out || got.Span != time.Duration(want.slots)*300*time.Second ||
			(got.Flags&Joined != 0) != (want.slots < 9) || got.Flags.Exact() != (want.slots == 9) {
			t.Errorf("since %d: %+v", from, got)
		}
	}
	if one := (Sample{Slot: 3000, Width: 300, Slots: 1, In: 7}); one.Since(2999) != one {
		t.Error("a sample of one slot counts whole or not at all")
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		kind Type
		base int
		want int64
	}{
		{"500M", CDR, 1000, 500_000_000}, {"1.5Gbps", CDR, 1000, 1_500_000_000}, {"1.5 Gbit/s", CDR, 1000, 1_500_000_000}, {"64k", CDR, 1024, 65_536},
		{"10TB", Quota, 1000, 10_000_000_000_000}, {"10T", Quota, 1024, 10 << 40}, {"2TiB", Quota, 1000, 2 << 40}, {"0", Quota, 1000, 0}, {"123", CDR, 1000, 123}, {"1KB", Quota, 1000, 1000},
	} {
		if got, err := ParseAmount(c.text, c.kind, c.base); err != nil || got != c.want {
			t.Errorf("%q: %d, %v, want %d", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "-1", "1x", "M", "1.5", "1i", "100E", "99999999999999999999", "1e9", "10TB", "0x10", "1 000", "NaN"} {
		if got, err := ParseAmount(text, CDR, 1000); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	if _, err := ParseAmount("10Mbps", Quota, 1000); err == nil {
		t.Error("a quota in bit/s")
	}
	for _, c := range []struct {
		n    uint64
		kind Type
		base int
		want string
	}{
		{0, CDR, 1000, "0 bit/s"}, {999, CDR, 1000, "999 bit/s"}, {1500, CDR, 1000, "1.5 kbit/s"}, {1_234_567_890, Quota, 1000, "1.234 GB"},
		{1 << 40, Quota, 1024, "1 TiB"}, {1536, CDR, 1024, "1.5 Kibit/s"}, {most, Quota, 1000, "9.223 EB"}, {1_000_000, CDR, 1000, "1 Mbit/s"},
	} {
		if got := FormatAmount(c.n, c.kind, c.base); got != c.want {
			t.Errorf("%d: %s, want %s", c.n, got, c.want)
		}
	}
}
