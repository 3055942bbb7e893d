package poller

import (
	"context"
	"errors"
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

// A device that numbers its ports anew between the read of their names and that
// of their counters mixes nothing: such ports are left out, and none counts as missed.
func TestRenumberingInTheMidstOfAPoll(t *testing.T) {
	t.Parallel()
	before := mib{}.system(100_000).row(1, ethernet("a")).row(2, ethernet("b")).row(3, ethernet("c"))
	after := mib{}.system(100_000).row(1, ethernet("b")).row(2, ethernet("a")).row(3, ethernet("c"))
	for _, narrowed := range []bool{false, true} {
		if narrowed { // the octets of 32 bits come in another PDU than those of 64
			for _, m := range []mib{before, after} {
				for index := 1; index <= 3; index++ {
					m.row(index, map[string]string{"10": "65|10", "16": "65|16"})
					delete(m, string(columns[wideInOctets])+"."+string(rune('0'+index)))
					delete(m, string(columns[wideOutOctets])+"."+string(rune('0'+index)))
				}
			}
		}
		dial := serve(t, map[string]mib{"before": before, "after": after})
		first, then := dial("before", snmp.V2c), dial("after", snmp.V2c)
		known := knownAs(Poll(t.Context(), first, Target{}))
		asks := func(s Session, oids []snmp.OID) Session {
			for _, oid := range oids {
				if strings.HasPrefix(string(oid), string(columns[narrowInOctets])+".") || oid == columns[narrowInOctets] || !narrowed && oid == columns[wideInOctets] {
					return then
				}
			}
			return s
		}
		s := &scripted{Session: first}
		s.table = func(ctx context.Context, r snmp.TableRequest, each func(snmp.Cell)) error {
			return asks(first, r.Columns).Table(ctx, r, each)
		}
		s.get = func(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
			return asks(first, oids).Get(ctx, oids...)
		}
		r := Poll(t.Context(), s, Target{Ports: known})
		m := portMeasurements(r)
		if _, filed := m[102]; len(m) != 1 || !filed {
			t.Errorf("32 bits %v: filed %v", narrowed, m)
		}
		if r.Poll.PortsComplete || r.Poll.Outcome != device.OutcomePartial || !errors.Is(r.Modules[1].Err, errRenumbered) {
			t.Errorf("32 bits %v: %s %s, complete %v", narrowed, r.Poll.Outcome, r.Poll.Reason, r.Poll.PortsComplete)
		}
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
		told := false
		for _, e := range Poll(t.Context(), s, target).Poll.Events {
			told = told || e.Type == "interface" && strings.Contains(e.Message, "32-bit")
		}
		if told == c.octets || len(r.Poll.Events) > 0 {
			t.Errorf("%s: told %v; at another poll %v", c.name, told, r.Poll.Events)
		}
	}
}
