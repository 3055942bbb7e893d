package poller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/snmp"
)

func TestRestartsSinceTheLastSample(t *testing.T) {
	t.Parallel()
	const day, slot = 24 * time.Hour, 300 * time.Second
	for _, c := range []struct {
		name           string
		ticks, engine  time.Duration // engine 0: none
		before         time.Duration // uptime of the inventory, read elapsed ago
		elapsed, since time.Duration // since 0: no sample
		want           bool
	}{
		{"goes on", day + slot, 0, day, slot, slot, false},
		{"restarted", 20 * time.Second, 0, day, slot, slot, true},
		{"restarted and is up for longer than before", 250 * time.Second, 0, 20 * time.Second, slot, slot, true},
		{"the inventory knows nothing", 250 * time.Second, 0, 0, 0, slot, true},
		{"restarted before the last sample, which another node took", 400 * time.Second, 0, day, 3 * slot, slot, false},
		{"wrapped", 200 * time.Second, 0, wrap - 100*time.Second, slot, slot, false},
		{"wrapped, and the inventory knows nothing, but snmpEngineTime", 200 * time.Second, wrap + 201*time.Second, 0, 0, slot, false},
		{"restarted shortly before the wrap", 20 * time.Second, 0, wrap - 200*time.Second, slot, slot, true},
		{"restarted, and snmpEngineTime did not", 20 * time.Second, 2 * day, 2*day - slot, slot, slot, true},
		{"an uptime that stands", 20 * time.Second, 0, 20 * time.Second, slot, slot, false},
		{"another clock", 5 * day, 0, 10 * day, slot, slot, true},
		{"never sampled", 20 * time.Second, 0, 0, 0, 0, false},
	} {
		at := time.Now()
		ctx := &Context{Uptime: uptimeVariable(t, c.ticks, at)}
		ctx.Target.Device.Facts.Uptime = c.before
		if c.elapsed > 0 {
			ctx.Target.Device.PolledAt = at.Add(-c.elapsed)
		}
		if c.since > 0 {
			ctx.Target.Since = at.Add(-c.since)
		}
		ctx.noteRestart(max(c.ticks, c.engine), at)
		if ctx.restarted != c.want {
			t.Errorf("%s: restarted %v, want %v", c.name, ctx.restarted, c.want)
		}
	}
}

// uptimeVariable is sysUpTime as an agent gives it.
func uptimeVariable(t *testing.T, uptime time.Duration, at time.Time) snmp.Variable {
	t.Helper()
	v, err := serveOne(t, mib{}.system(int(uptime/tick))).Probe(t.Context(), oidSysUpTime, 3, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	v.At = at
	return v
}

func TestDiscontinuitiesSinceTheLastSample(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		ticks, when uint32
		since       time.Duration
		standing    bool
		want        bool
	}{
		{"never", 100_000, 0, time.Minute, false, false},
		{"long ago", 100_000, 50_000, time.Minute, false, false},
		{"just before the last sample", 100_000, 93_999, time.Minute, false, false},
		{"just after it", 100_000, 94_001, time.Minute, false, true},
		{"at the first answer, as of agents that give the time of the question", 100_000, 100_000, time.Minute, false, false},
		{"after the first answer", 100_000, 100_200, time.Minute, false, false},
		{"before sysUpTime wrapped", 1_000, 1<<32 - 2_000, time.Minute, false, true},
		{"long before sysUpTime wrapped", 1_000, 1<<32 - 90_000, time.Minute, false, false},
		{"an uptime that stands", 100_000, 99_000, time.Minute, true, false},
		{"no sample", 100_000, 99_000, 0, false, false},
	} {
		at := time.Now()
		ctx := &Context{Uptime: uptimeVariable(t, time.Duration(c.ticks)*tick, at), standing: c.standing}
		if c.since > 0 {
			ctx.Target.Since = at.Add(-c.since)
		}
		r := row{}
		r.setNumber(fieldDiscontinuity, uint64(c.when))
		if got := ctx.discontinued(&r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A port that may be another one does not go on, and one that is the same does.
func TestPortsThatMayBeOthersBreak(t *testing.T) {
	t.Parallel()
	s := serveOne(t, mib{}.system(100_000).row(1, ethernet("a")))
	same := device.Port{ID: 5, State: device.PortState{IfIndex: 1, IfName: "a"}}
	for _, c := range []struct {
		name   string
		change func(*device.Port)
		want   bool
	}{
		{"the same", func(*device.Port) {}, false},
		{"another number", func(p *device.Port) { p.State.IfIndex = 9 }, true},
		{"another name", func(p *device.Port) { p.State.IfName = "b" }, true},
		{"missed once", func(p *device.Port) { p.Missed = 1 }, true},
		{"vanished", func(p *device.Port) { p.Vanished, p.Missed = true, 2 }, true},
		{"another alias", func(p *device.Port) { p.State.IfAlias = "x" }, false},
	} {
		known := same
		c.change(&known)
		r := Poll(t.Context(), s, Target{Ports: []device.Port{known}, Since: time.Now().Add(-time.Minute)})
		if m, found := portMeasurements(r)[5]; !found || m.Break != c.want {
			t.Errorf("%s: break %v (filed: %v), want %v", c.name, m.Break, found, c.want)
		}
	}
}

// A device that numbers its ports anew in the midst of a poll mixes nothing: octets
// belong to the name that came with them. Ports whose 64-bit octets and 32-bit ones
// differ in that are left out, and none counts as missed.
func TestRenumberingInTheMidstOfAPoll(t *testing.T) {
	t.Parallel()
	named := func(name, octets string) map[string]string { return with(ethernet(name), "x6", octets, "x10", octets) }
	before := mib{}.system(100_000).row(1, named("a", "70|1")).row(2, named("b", "70|2")).row(3, named("c", "70|3"))
	after := mib{}.system(100_000).row(1, named("b", "70|22")).row(2, named("a", "70|11")).row(3, named("c", "70|33"))
	dial := serve(t, map[string]mib{"before": before, "after": after})
	first, then := dial("before", snmp.V2c), dial("after", snmp.V2c)
	known := knownAs(Poll(t.Context(), first, Target{}))
	r := Poll(t.Context(), changing(first, then, wideInOctets), Target{Ports: known})
	for id, want := range map[int64]uint64{100: 11, 101: 22, 102: 33} {
		m := portMeasurements(r)[id]
		if got, _ := m.Values[inOctets].AsCounter(); got != want || m.Break == (id == 102) {
			t.Errorf("port %d got %d octets (break %v), want %d", id, got, m.Break, want)
		}
	}

	narrowed := func(name, octets string) map[string]string {
		return with(ethernet(name), "x6", "", "x10", "", "10", octets, "16", octets)
	}
	before = mib{}.system(100_000).row(1, narrowed("a", "65|1")).row(2, narrowed("b", "65|2")).row(3, narrowed("c", "65|3"))
	after = mib{}.system(100_000).row(1, narrowed("b", "65|22")).row(2, narrowed("a", "65|11")).row(3, narrowed("c", "65|33"))
	dial = serve(t, map[string]mib{"before": before, "after": after})
	first, then = dial("before", snmp.V2c), dial("after", snmp.V2c)
	r = Poll(t.Context(), changing(first, then, narrowInOctets), Target{Ports: known})
	m := portMeasurements(r)
	if _, filed := m[102]; len(m) != 1 || !filed {
		t.Errorf("32 bits: filed %v", m)
	}
	if r.Poll.PortsComplete || r.Poll.Outcome != device.OutcomePartial || !errors.Is(r.Modules[1].Err, errRenumbered) {
		t.Errorf("32 bits: %s %s, complete %v", r.Poll.Outcome, r.Poll.Reason, r.Poll.PortsComplete)
	}
}

// changing is a device that is another one from the moment on when a column is asked for.
func changing(first, then Session, at field) Session {
	session := first
	look := func(oids []snmp.OID) {
		if slices.ContainsFunc(oids, func(oid snmp.OID) bool {
			return oid == columns[at] || strings.HasPrefix(string(oid), string(columns[at])+".")
		}) {
			session = then
		}
	}
	return &scripted{
		Session: first,
		table: func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			look(r.Columns)
			return session.Table(ctx, r, each)
		},
		get: func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
			look(oids)
			return session.Get(ctx, oids...)
		},
	}
}

// What 32 bits of octets cannot say is not filed, and an event says why.
func TestOctetsThatMayWrapTwice(t *testing.T) {
	t.Parallel()
	gigabit := with(narrow("a"), "5", "66|1000000000")
	for _, c := range []struct {
		name     string
		cells    map[string]string
		interval int
		since    time.Duration
		octets   bool
		breaks   bool
	}{
		{"1 Gbit/s in 300 s", gigabit, 300, 300 * time.Second, false, false},
		{"1 Gbit/s in 30 s", gigabit, 30, 30 * time.Second, true, false},
		{"1 Gbit/s in 30 s, after a missed slot", gigabit, 30, 60 * time.Second, true, true},
		{"10 Mbit/s in an hour", narrow("a"), 3600, time.Hour, false, false},
		{"10 Mbit/s in 300 s", narrow("a"), 300, 300 * time.Second, true, false},
		{"unknown speed", with(narrow("a"), "5", "66|0"), 300, 300 * time.Second, true, false},
		{"64 bits", ethernet("a"), 300, 300 * time.Second, true, false},
	} {
		s := serveOne(t, mib{}.system(100_000).row(1, c.cells))
		d := device.Device{ID: 1, Interval: c.interval, PolledSlot: 100, SlotFrom: 0, PolledAt: time.Now().Add(-c.since)}
		target := Target{Device: d, Ports: knownAs(Poll(t.Context(), s, Target{})), Sampled: time.Now().Add(-c.since)}
		r := Poll(t.Context(), s, target)
		m := portMeasurements(r)[100]
		if m.Values[inOctets].IsUnknown() == c.octets || m.Values[outOctets].IsUnknown() == c.octets || m.Break != c.breaks || m.Values[4].IsUnknown() {
			t.Errorf("%s: %s, break %v", c.name, valuesOf(m), m.Break)
		}
		target.Device.SlotFrom = 200 // the first poll at a new interval
		if told := tells(Poll(t.Context(), s, target)); told == c.octets || tells(r) {
			t.Errorf("%s: told %v; at another poll %v", c.name, told, r.Poll.Events)
		}
	}
}

// tells says whether an event of a poll is about 32-bit counters.
func tells(r Report) bool {
	return slices.ContainsFunc(r.Poll.Events, func(e device.Event) bool {
		return e.Type == "interface" && strings.Contains(e.Message, "32-bit")
	})
}
