package simulator

import (
	"testing"
	"time"
)

// sickModel is a model of two devices with two ports each; at 100 s after the epoch something befalls them.
func sickModel(t *testing.T, pattern string, sick ...Sickness) (m Model, at time.Time) {
	t.Helper()
	at = defaultEpoch.Add(100 * time.Second)
	for i := range sick {
		if sick[i].At.IsZero() {
			sick[i].At = at
		}
	}
	return modelOf(t, Config{Ports: 2, Pattern: pattern, StepLength: 7 * time.Second, Sick: sick}), at
}

// A sickness befalls whom it is said to befall, at its time, and nobody else.
func TestSicknessBefallsOnePortAtItsTime(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{patternConstant, patternSteps} {
		healthy, _ := sickModel(t, pattern)
		for _, ailment := range []Ailment{Reset, HiddenReset, Discontinuity, Frozen} {
			m, at := sickModel(t, pattern, Sickness{Ailment: ailment, Only: &Spot{Device: 1, Port: 2}})
			for _, when := range []time.Time{at.Add(-1), at, at.Add(time.Minute)} {
				for device := range 2 {
					for port := 1; port <= 2; port++ {
						same := m.Counter(device, port, InOctets, when) == healthy.Counter(device, port, InOctets, when)
						sick := device == 1 && port == 2 && (when.After(at) || when.Equal(at) && ailment != Frozen)
						if same == sick {
							t.Errorf("%s, %s: port %d of device %d is wrong %v after it", pattern, ailment, port, device, when.Sub(at))
						}
					}
				}
			}
		}
	}
}

func TestResetsBeginAtZeroAndSaySo(t *testing.T) {
	t.Parallel()
	for ailment, tells := range map[Ailment]bool{Reset: true, HiddenReset: false, Reboot: false} {
		m, at := sickModel(t, patternSteps, Sickness{Ailment: ailment})
		later := at.Add(40 * time.Second)
		if got := m.Counter(0, 1, InOctets, at); got != 0 {
			t.Errorf("%s: the counter begins at %d", ailment, got)
		}
		if got, want := m.Counter(0, 1, InOctets, later), m.Traffic(0, 1, InOctets, at, later); got != want {
			t.Errorf("%s: 40 s later it is %d, want %d", ailment, got, want)
		}
		if got := m.discontinuity(0, 1, later.UnixNano()); got != 0 != tells || tells && got != 100*100 {
			t.Errorf("%s: ifCounterDiscontinuityTime is %d", ailment, got)
		}
		if m.Unbroken(0, 1, at.Add(-time.Second), later) || !m.Unbroken(0, 1, at, later) || !m.Unbroken(0, 1, at.Add(-time.Minute), at.Add(-1)) {
			t.Errorf("%s: the wrong stretch of time is broken", ailment)
		}
		if up := m.SysUpTime(0, later); (up == 4000) != (ailment == Reboot) {
			t.Errorf("%s: sysUpTime is %d", ailment, up)
		}
	}
}

// A restart forgets the discontinuities before it.
func TestRebootClearsTheDiscontinuity(t *testing.T) {
	t.Parallel()
	m, at := sickModel(t, patternConstant, Sickness{Ailment: Reset}, Sickness{Ailment: Reboot, At: defaultEpoch.Add(200 * time.Second)})
	if got := m.discontinuity(0, 1, at.Add(150*time.Second).UnixNano()); got != 0 {
		t.Errorf("after the reboot it is %d", got)
	}
	if got := m.boots(0, at.Add(150*time.Second).UnixNano()); got != 2 {
		t.Errorf("snmpEngineBoots is %d", got)
	}
}

func TestWrapsGoThroughZero(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{patternConstant, patternSteps} {
		m, at := sickModel(t, pattern, Sickness{Ailment: Wrap32, Only: &Spot{Device: 0}}, Sickness{Ailment: Wrap64, Only: &Spot{Device: 1}})
		for column := range columns {
			if got := m.Counter(0, 1, column, at); uint32(got) != 0 || m.rate(0, 1, column) > 100 && got == 0 {
				t.Errorf("%s: %v of 32 bits is %d", pattern, column, got)
			}
			if got := m.Counter(1, 1, column, at); got != 0 {
				t.Errorf("%s: %v of 64 bits is %d", pattern, column, got)
			}
		}
		before, after := at.Add(-10*time.Second), at.Add(10*time.Second)
		for device := range 2 {
			moved := m.Counter(device, 1, InOctets, after) - m.Counter(device, 1, InOctets, before)
			if want := m.Traffic(device, 1, InOctets, before, after); moved-want+1 > 2 {
				t.Errorf("%s: device %d counts %d over the wrap, want %d", pattern, device, moved, want)
			}
		}
	}
}

func TestFrozenCountersGoOnWhereTheyStood(t *testing.T) {
	t.Parallel()
	until := defaultEpoch.Add(150 * time.Second)
	m, at := sickModel(t, patternSteps, Sickness{Ailment: Frozen, Until: until},
		Sickness{Ailment: Frozen, At: defaultEpoch.Add(120 * time.Second), Until: until.Add(20 * time.Second)}) // overlaps
	stood := m.Counter(0, 1, InOctets, at)
	for _, when := range []time.Time{at.Add(time.Second), until, until.Add(20 * time.Second)} {
		if got := m.Counter(0, 1, InOctets, when); got != stood || when.Before(until) && m.Rate(0, 1, InOctets, when) != 0 {
			t.Errorf("%v after it: %d, want %d", when.Sub(at), got, stood)
		}
	}
	end := until.Add(20 * time.Second)
	healthy, _ := sickModel(t, patternSteps)
	got, want := m.Counter(0, 1, InOctets, end.Add(time.Minute))-stood, healthy.Traffic(0, 1, InOctets, end, end.Add(time.Minute))
	if got-want+1 > 2 {
		t.Errorf("a minute after it: %d more, want %d", got, want)
	}
}

func TestUptimeWrapsAndCountersGoOn(t *testing.T) {
	t.Parallel()
	m, at := sickModel(t, patternConstant, Sickness{Ailment: UptimeWrap})
	if before, after := m.SysUpTime(0, at.Add(-10*time.Millisecond)), m.SysUpTime(0, at.Add(50*time.Millisecond)); before != 1<<32-1 || after != 5 {
		t.Errorf("sysUpTime is %d, then %d", before, after)
	}
	if got := m.running(0, at.UnixNano()) / 1e9; got != 42_949_672 {
		t.Errorf("snmpEngineTime is %d", got)
	}
	healthy, _ := sickModel(t, patternConstant)
	if m.Counter(0, 1, InOctets, at.Add(time.Hour)) != healthy.Counter(0, 1, InOctets, at.Add(time.Hour)) {
		t.Error("the counters do not go on")
	}
}

// With another ifIndex go a port's name, address and counters; its number in logs stays.
func TestShuffleMovesPorts(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := Config{Ports: 3, Sick: []Sickness{{Ailment: Shuffle, At: now}, {Ailment: Narrow, At: now, Only: &Spot{Device: 1}}}}
	m := modelOf(t, c)
	l := newLayout(c, m, false)
	for i := range l.objects {
		o := &l.objects[i]
		if o.port == 0 {
			continue
		}
		before, after := &moment{device: 0, now: now.UnixNano() - 1}, &moment{device: 0, now: now.UnixNano()}
		from := i - o.port + o.port%3 + 1
		if !o.moves {
			from = i
		}
		want := value(t, l.appendObject(nil, from, before))
		if o.kind == kindCounter32 || o.kind == kindCounter64 {
			want = value(t, appendBinding(nil, o.oid, l.appendValue(nil, &l.objects[from], after)))
		}
		if got := value(t, l.appendObject(nil, i, after)); string(got) != string(want) {
			t.Errorf("object %x answers % x, want % x", o.oid, got, want)
		}
	}
	for port := 1; port <= 3; port++ {
		if index := m.IfIndex(0, port, now); l.model.portAt(0, index, now.UnixNano()) != port {
			t.Errorf("port %d has ifIndex %d, which is port %d", port, index, l.model.portAt(0, index, now.UnixNano()))
		}
	}
	if m.narrow(0, now.UnixNano()) || !m.narrow(1, now.UnixNano()) {
		t.Error("the wrong device has no 64-bit counters")
	}
	narrow := newLayout(c, m, true)
	for i := range narrow.objects {
		if narrow.wide(i) {
			t.Fatal("a device without 64-bit counters has one")
		}
	}
}

// value is what stands behind the OID of a VarBind.
func value(t *testing.T, binding []byte) []byte {
	t.Helper()
	body, _, ok := readExpected(binding, tagSequence)
	if !ok {
		t.Fatalf("% x is no VarBind", binding)
	}
	_, rest, ok := readExpected(body, tagOID)
	if !ok {
		t.Fatalf("% x has no OID", body)
	}
	return rest
}

func TestSicknessesAreChecked(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, s := range map[string]Sickness{
		"unknown":           {Ailment: "flu", At: now},
		"no time":           {Ailment: Reset},
		"an end of a reset": {Ailment: Reset, At: now, Until: now.Add(1)},
		"ends before":       {Ailment: Frozen, At: now, Until: now},
		"port of a reboot":  {Ailment: Reboot, At: now, Only: &Spot{Port: 1}},
		"negative device":   {Ailment: Reset, At: now, Only: &Spot{Device: -1}},
		"negative port":     {Ailment: Reset, At: now, Only: &Spot{Port: -1}},
		"port of a shuffle": {Ailment: Shuffle, At: now, Only: &Spot{Port: 2}},
		"an empty sickness": {},
		"an end of a wrap":  {Ailment: Wrap32, At: now, Until: now.Add(time.Hour)},
	} {
		c := Config{Sick: []Sickness{s}}
		if err := c.complete(now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c := Config{Sick: make([]Sickness, maxSick+1)}
	if err := c.complete(now); err == nil {
		t.Error("too many are accepted")
	}
}
