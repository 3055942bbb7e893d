package billing

import (
	"math"
	"testing"
	"time"
)

var begin = time.Date(2026, 3, 1, 0, 1, 0, 0, time.UTC)

// reading is one of a gigabit port in the n-th slot of 300 s, read a minute after the slot's begin, of a device that is up for 100 days.
func reading(n int, in, out uint64) Reading {
	return Reading{
		Port: 7, Slot: begin.Unix() - 60 + int64(300*n), Interval: 300, Read: begin.Add(time.Duration(300*n) * time.Second),
		Uptime: uint32(864_000_000 + 30_000*n), In: in, Out: out, Bits: 64, Index: 3, Speed: 1e9,
	}
}

func TestSamplesOfCounters(t *testing.T) {
	t.Parallel()
	narrow := func(r Reading, speed uint64) Reading { r.Bits, r.Speed = 32, speed; return r }
	up := func(r Reading, hundredths uint32) Reading { r.Uptime = hundredths; return r }
	with := func(r Reading, change func(*Reading)) Reading { change(&r); return r }
	for _, c := range []struct {
		name        string
		before, now Reading
		in, out     uint64
		slots       int
		span        time.Duration
		flags       Flag
	}{
		{"the first", Reading{}, reading(0, 5e12, 6e12), 0, 0, 1, 0, First},
		{"the next", reading(0, 100, 200), reading(1, 1100, 2200), 1000, 2000, 1, 300 * time.Second, 0},
		{"nothing went through", reading(0, 100, 200), reading(1, 100, 200), 0, 0, 1, 300 * time.Second, 0},
		{"three slots missed", reading(0, 0, 0), reading(4, 4000, 8000), 4000, 8000, 4, 1200 * time.Second, Spread},
		{"64 bits passed 0", reading(0, math.MaxUint64-99, 0), reading(1, 900, 5), 1000, 5, 1, 300 * time.Second, Wrap},
		{"32 bits passed 0", narrow(reading(0, math.MaxUint32-99, 7), 1e8), narrow(reading(1, 900, 8), 1e8), 1000, 1, 1, 300 * time.Second, Wrap},
		{"32 bits of a fast port", narrow(reading(0, 10, 7), 1e9), narrow(reading(1, 900, 8), 1e9), 890, 1, 1, 300 * time.Second, Ambiguous},
		{"32 bits of a port of unknown speed", narrow(reading(0, 10, 7), 0), narrow(reading(1, 900, 8), 0), 890, 1, 1, 300 * time.Second, Ambiguous},
		{"32 bits passed 0, or the device restarted: it does not say", up(narrow(reading(0, math.MaxUint32-99, 7), 1e8), 0), up(narrow(reading(1, 900, 8), 1e8), 0), 0, 1, 1, 300 * time.Second, Ambiguous},
		{"32 bits that went out fell, and the device stopped to say since when it is up", narrow(reading(0, 7, math.MaxUint32-99), 1e8), up(narrow(reading(1, 8, 900), 1e8), 0), 1, 0, 1, 300 * time.Second, Ambiguous},
		{"both of 32 bits fell, and the device began to say since when it is up", up(narrow(reading(0, 4e9, 4e9), 1e8), 0), narrow(reading(1, 8, 9), 1e8), 0, 0, 1, 300 * time.Second, Ambiguous},
		{"32 bits went on, and the device does not say since when it is up", up(narrow(reading(0, 7, 8), 1e8), 0), up(narrow(reading(1, 9, 8), 1e8), 0), 2, 0, 1, 300 * time.Second, 0},
		{"64 bits passed 0, and the device does not say since when it is up", up(reading(0, math.MaxUint64-99, 0), 0), up(reading(1, 900, 5), 0), 1000, 5, 1, 300 * time.Second, Wrap},
		{"64 bits fell, and the device does not say since when it is up", up(reading(0, 5e12, 6e12), 0), up(reading(1, 30, 40), 0), 0, 0, 1, 300 * time.Second, Implausible},
		{"restarted a minute ago", reading(0, 5e12, 6e12), up(reading(1, 700, 800), 6000), 700, 800, 1, 300 * time.Second, Reboot},
		{"restarted while slots were missed, and up for longer than before", up(reading(0, 5e6, 6e6), 1000), up(reading(9, 700, 800), 250_000), 700, 800, 9, 2700 * time.Second, Reboot | Spread},
		{"the agent restarted, the counters went on", reading(0, 5e12, 6e12), up(reading(1, 5e12+9, 6e12+8), 6000), 9, 8, 1, 300 * time.Second, Reboot},
		{"restarted, and more than a minute can carry", reading(0, 5e14, 6e14), up(reading(1, 1e14, 1), 6000), 0, 1, 1, 300 * time.Second, Reboot | Implausible},
		{"sysUpTime passed 0", up(reading(0, 10, 20), math.MaxUint32-9999), up(reading(1, 110, 220), 20_000), 100, 200, 1, 300 * time.Second, 0},
		{"no sysUpTime", up(reading(0, 10, 20), 0), up(reading(1, 110, 220), 0), 100, 200, 1, 300 * time.Second, 0},
		{"the agent restarted, the counters of 32 bits went on, and one passed 0", narrow(reading(0, 1e9, math.MaxUint32-99), 1e8), up(narrow(reading(1, 1e9+9, 900), 1e8), 6000), 9, 900, 1, 300 * time.Second, Reboot},
		{"restarted, with counters of 32 bits", narrow(reading(0, 4e9, 4e9), 1e8), up(narrow(reading(1, 700, 800), 1e8), 6000), 700, 800, 1, 300 * time.Second, Reboot},
		{"restarted, with 32 bits of a fast port", narrow(reading(0, 4e9, 4e9), 1e9), up(narrow(reading(1, 700, 800), 1e9), 3000), 700, 800, 1, 300 * time.Second, Reboot},
		{"the agent restarted, with 32 bits of a fast port", narrow(reading(0, 7, 4e9), 1e9), up(narrow(reading(1, 700, 800), 1e9), 3000), 693, 800, 1, 300 * time.Second, Reboot | Ambiguous},
		{"a discontinuity", reading(0, 5e12, 6e12), with(reading(1, 30, 40), func(r *Reading) { r.Discontinuity = r.Uptime - 1000 }), 30, 40, 1, 300 * time.Second, Discontinuity},
		{"a discontinuity of counters that went on", reading(0, 5e12, 6e12), with(reading(1, 5e12+3, 6e12+4), func(r *Reading) { r.Discontinuity = r.Uptime - 1000 }), 3, 4, 1, 300 * time.Second, Discontinuity},
		{"counters of another width, whose rate nobody knows", narrow(reading(0, 10, 7), 1e9), reading(1, 5e12, 6e12), 0, 0, 1, 0, Discontinuity},
		{"another ifIndex", reading(0, 10, 20), with(reading(1, 110, 220), func(r *Reading) { r.Index = 9 }), 100, 200, 1, 300 * time.Second, Reindexed},
		{"another ifIndex and restarted", reading(0, 5e12, 6e12), with(up(reading(1, 110, 220), 6000), func(r *Reading) { r.Index = 9 }), 110, 220, 1, 300 * time.Second, Reindexed | Reboot},
		{"as fast as the port", reading(0, 0, 0), reading(1, 37_500_000_000, 0), 37_500_000_000, 0, 1, 300 * time.Second, 0},
		{"faster than the port", reading(0, 0, 0), reading(1, 42_000_000_000, 10), 0, 10, 1, 300 * time.Second, Implausible},
		{"faster than the port, out", reading(0, 0, 0), reading(1, 10, 42_000_000_000), 10, 0, 1, 300 * time.Second, Implausible},
		{"one was cleared by hand", reading(0, 5e12, 6e12), reading(1, 5e12+9, 40), 9, 0, 1, 300 * time.Second, Implausible},
		{"32 bits were cleared: one went too far, the other as if it had passed 0", narrow(reading(0, 1e9, 4.29e9), 1e7), narrow(reading(1, 30, 40), 1e7), 0, 0, 1, 300 * time.Second, Implausible | Ambiguous},
		{"32 bits: one went too far, the other on", narrow(reading(0, 1e9, 50), 1e7), narrow(reading(1, 30, 70), 1e7), 0, 20, 1, 300 * time.Second, Implausible},
		{"restarted, one counter went on, and more than a minute can carry", reading(0, 5e14, 6e14), up(reading(1, 5e14+9, 40), 6000), 9, 40, 1, 300 * time.Second, Reboot | Implausible},
		{"restarted, one went too far, the other on", reading(0, 5e12, 6e12), up(reading(1, 9e12, 6e12+7), 6000), 0, 7, 1, 300 * time.Second, Reboot | Implausible},
		{"faster than the port was at the reading before", reading(0, 0, 0), with(reading(1, 42_000_000_000, 10), func(r *Reading) { r.Speed = 1e10 }), 42_000_000_000, 10, 1, 300 * time.Second, 0},
		{"faster than the port is by now", with(reading(0, 0, 0), func(r *Reading) { r.Speed = 1e10 }), reading(1, 42_000_000_000, 10), 42_000_000_000, 10, 1, 300 * time.Second, 0},
		{"a T1 of 1,544,000 bit/s at its full speed, whose ifHighSpeed is 1", with(reading(0, 0, 0), func(r *Reading) { r.Speed = 1e6 }), with(reading(1, 57_900_000, 57_900_000), func(r *Reading) { r.Speed = 1e6 }), 57_900_000, 57_900_000, 1, 300 * time.Second, 0},
		{"another device answers, which is up for 10 days longer", reading(0, 5e12, 6e12), up(reading(1, 10e12, 6e12+9), 864_000_000+86_400_000), 0, 9, 1, 300 * time.Second, Clock | Implausible},
		{"cleared by hand", reading(0, 5e12, 6e12), reading(1, 30, 40), 0, 0, 1, 300 * time.Second, Implausible},
		{"our clock went an hour ahead", reading(0, 0, 0), with(reading(13, 100, 200), func(r *Reading) { r.Uptime = 864_030_000 }), 100, 200, 1, 300 * time.Second, Clock},
		{"our clock came back by minutes while a port was busy", with(reading(0, 0, 0), func(r *Reading) { r.Read = r.Read.Add(230 * time.Second); r.Uptime += 23_000 }), with(reading(1, 18_750_000_000, 5), func(r *Reading) { r.Read = r.Read.Add(-50 * time.Second); r.Uptime += 23_000 }), 18_750_000_000, 5, 1, 300 * time.Second, Clock},
		{"our clock came back", reading(12, 0, 0), with(reading(13, 1e9, 2e9), func(r *Reading) { r.Uptime += 12 * 30_000 }), 1e9, 2e9, 1, 3900 * time.Second, Clock},
		{"the device's clock leapt by months", reading(0, 0, 0), up(reading(1, 100, 200), 1_500_000_000), 100, 200, 1, 300 * time.Second, Clock},
		{"the device's clock stepped back over 0", up(reading(0, 0, 0), 1000), up(reading(1, 100, 200), math.MaxUint32-1000), 100, 200, 1, 300 * time.Second, Clock},
		{"the device's clock stepped back, and 32 bits may have passed 0 in the time by ours", narrow(reading(0, 7, 7), 5e8), up(narrow(reading(1, 9, 9), 5e8), 864_002_000), 2, 2, 1, 20 * time.Second, Clock | Ambiguous},
		{"both were cleared, one of which was about to pass 0", reading(0, math.MaxUint64-99, 5e12), reading(1, 900, 5), 0, 0, 1, 300 * time.Second, Implausible | Ambiguous},
		{"the interval was 300 s and is 60 s", reading(0, 0, 0), with(reading(1, 100, 200), func(r *Reading) { r.Interval = 60 }), 100, 200, 1, 300 * time.Second, 0},
		{"the interval was 60 s and is 300 s", with(reading(0, 0, 0), func(r *Reading) { r.Interval = 60 }), reading(1, 100, 200), 100, 200, 1, 300 * time.Second, 0},
	} {
		got, taken := Measure(c.before, c.now)
		want := Sample{Port: 7, Slot: c.now.Slot, Width: c.now.Interval, Slots: c.slots, Read: c.now.Read, Span: c.span, In: c.in, Out: c.out, Flags: c.flags}
		if !taken || got != want {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", c.name, got, taken, want)
		}
	}
	for name, now := range map[string]Reading{"twice": reading(3, 9, 9), "too late": reading(2, 9, 9)} {
		if s, taken := Measure(reading(3, 9, 9), now); taken {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestReadingsThatCannotBe(t *testing.T) {
	t.Parallel()
	if err := reading(0, math.MaxUint64, 0).Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Reading){
		"no port": func(r *Reading) { r.Port = 0 }, "no slot": func(r *Reading) { r.Slot = -300 }, "never read": func(r *Reading) { r.Read = time.Time{} },
		"too often": func(r *Reading) { r.Interval = 59 }, "too seldom": func(r *Reading) { r.Interval = 901 },
		"no width": func(r *Reading) { r.Bits = 0 }, "too wide": func(r *Reading) { r.Bits, r.In = 32, 1<<32 },
	} {
		r := reading(0, 1, 1)
		if change(&r); r.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestFlagsHaveNames(t *testing.T) {
	t.Parallel()
	for flags, want := range map[Flag]string{0: "ok", First: "first", Clock: "clock", Spread | Wrap: "spread+wrap", Reboot | Reindexed: "reboot+reindexed", 1 << 15: "unknown(32768)"} {
		if got := flags.String(); got != want {
			t.Errorf("%d: %s, want %s", flags, got, want)
		}
	}
	if got := (Spread | Reboot | Implausible).Worst(); got != "implausible" {
		t.Error(got)
	}
	if names := FlagNames(); len(names) != 10 || names[0] != "ok" || names[9] != "clock" {
		t.Errorf("samples are kept with %q", names)
	}
	if len(flagNames) != 10 || Joined != 1<<9 {
		t.Errorf("%d names of flags up to %d", len(flagNames), Joined)
	}
	for flags, want := range map[Flag]bool{0: true, Spread | Wrap | Reindexed | Clock: true, First: false, Reboot: false, Ambiguous: false, Implausible: false, Discontinuity: false} {
		if flags.Exact() != want {
			t.Errorf("%v: exact %v", flags, !want)
		}
	}
}
