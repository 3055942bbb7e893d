package poller

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pollux/device"
	"pollux/measurement"
)

const engineTime = "1.3.6.1.6.3.10.2.1.3.0"

func TestUptimeIsTheLongest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ticks, engine string
		want                time.Duration
	}{
		{"sysUpTime alone", "67|123456", "", 1234560 * time.Millisecond},
		{"engine time is the same, less exact", "67|123456", "2|1234", 1234560 * time.Millisecond},
		{"engine time goes on after the wrap", "67|100", "2|42949674", 42949674 * time.Second},
		{"engine time alone", "", "2|77", 77 * time.Second},
		{"engine time is the time of day", "67|123456", "2|1795340000", 1234560 * time.Millisecond},
		{"engine time is 2^31-1", "67|123456", "2|2147483647", 1234560 * time.Millisecond},
		{"engine time is negative", "67|123456", "2|-5", 1234560 * time.Millisecond},
		{"engine time is text", "67|123456", "4|99999999", 1234560 * time.Millisecond},
		{"sysUpTime is text", "4|123456", "2|77", 77 * time.Second},
		{"sysUpTime has 64 bits", "70|18446744073709551615", "2|77", 77 * time.Second},
	} {
		objects := mib{"1.3.6.1.2.1.1.5.0": "4|sw1"}
		if c.ticks != "" {
			objects[string(oidSysUpTime)] = c.ticks
		}
		if c.engine != "" {
			objects[engineTime] = c.engine
		}
		before := time.Now()
		r := Poll(t.Context(), serveOne(t, objects), Target{Device: device.Device{Generation: 4}})
		if r.Poll.Facts == nil || r.Poll.Facts.Uptime != c.want {
			t.Errorf("%s: facts %+v, want uptime %s", c.name, r.Poll.Facts, c.want)
			continue
		}
		if len(fromSNMP(r)) != 1 {
			t.Errorf("%s: %d measurements", c.name, len(fromSNMP(r)))
			continue
		}
		m := r.Measurements[0]
		if m.Kind != measurement.KindUptime || m.Instance != 0 || m.Generation != 4 || m.Max != 0 ||
			m.Time.Before(before) || m.Time.After(time.Now()) {
			t.Errorf("%s: measurement %+v", c.name, m)
		}
		if x, ok := m.Values[0].AsGauge(); !ok || x != c.want.Seconds() || len(m.Values) != 1 {
			t.Errorf("%s: values %v, want %v", c.name, m.Values, c.want.Seconds())
		}
	}
}

func TestRebootIsNotAWrap(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name                 string
		before, now, elapsed time.Duration
		want                 bool
	}{
		{"goes on", 10 * day, 10*day + 300*time.Second, 300 * time.Second, false},
		{"the same", 10 * day, 10 * day, 0, false},
		{"restarted", 10 * day, 20 * time.Second, 300 * time.Second, true},
		{"restarted shortly before the wrap", 497 * day, 20 * time.Second, 300 * time.Second, true},
		{"wrapped", wrap - 100*time.Second, 200 * time.Second, 300 * time.Second, false},
		{"wrapped, a clock 20 s off", wrap - 100*time.Second, 220 * time.Second, 300 * time.Second, false},
		{"wrapped while it was not reached for 10 days", wrap - day, 9 * day, 10 * day, false},
		{"restarted while it was not reached for 10 days", wrap - day, 8 * day, 10 * day, true},
		{"snmpEngineTime is missing after two wraps", 2*wrap + day, day + 300*time.Second, 300 * time.Second, false},
		{"a clock that went back", 10 * day, 5 * time.Second, -time.Hour, true},
		{"first poll", 0, 10 * day, 0, false},
	} {
		if got := fellBack(c.before, c.now, c.elapsed); got != c.want {
			t.Errorf("%s: reboot %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFactsAndTheirChanges(t *testing.T) {
	t.Parallel()
	s := serveOne(t, mib{}.system(6000))
	first := Poll(t.Context(), s, Target{Device: device.Device{ID: 7, Status: device.StatusNew}})
	want := device.Facts{
		SysName: "sw1", SysDescr: "Test switch", SysObjectID: "1.3.6.1.4.1.9.1.1208",
		SysLocation: "here", SysContact: "noc", Uptime: time.Minute,
	}
	if *first.Poll.Facts != want || first.Poll.Events != nil {
		t.Errorf("first poll: facts %+v, events %v", *first.Poll.Facts, first.Poll.Events)
	}

	old := want
	old.OS, old.Hardware, old.Serial, old.Version = "ios", "WS-C2960X", "FCW1", "15"
	polled := device.Device{ID: 7, Status: device.StatusUp, PolledAt: time.Now().Add(-5 * time.Minute), Facts: old}
	same := Poll(t.Context(), s, Target{Device: polled})
	if *same.Poll.Facts != old || same.Poll.Events != nil {
		t.Errorf("nothing changed: facts %+v, events %v", *same.Poll.Facts, same.Poll.Events)
	}

	polled.Facts.SysName, polled.Facts.SysContact, polled.Facts.Uptime = "old", "", time.Hour
	changed := Poll(t.Context(), s, Target{Device: polled})
	var got []string
	for _, e := range changed.Poll.Events {
		got = append(got, e.Type+" "+string(e.Severity)+" "+e.Message)
		if e.DeviceID != 7 || e.PortID != 0 || e.Time.IsZero() {
			t.Errorf("event %+v", e)
		}
	}
	if text := strings.Join(got, "\n"); text != "reboot warning Device rebooted after 1h0m0s: uptime is 1m0s\n"+
		"system notice sysName: old -> sw1\nsystem notice sysContact:  -> noc" {
		t.Errorf("events:\n%s", text)
	}
}

func TestHostileFacts(t *testing.T) {
	t.Parallel()
	objects := mib{
		"1.3.6.1.2.1.1.1.0": "4x|" + strings.Repeat("C3A4", 600), // ä
		"1.3.6.1.2.1.1.2.0": "4|no OID",
		"1.3.6.1.2.1.1.3.0": "67|1",
		"1.3.6.1.2.1.1.4.0": "2|42",
		"1.3.6.1.2.1.1.5.0": "4x|" + "1B5B326A" + "0D0A" + "E2808E" + "7377" + "00", // escape codes, a line break, a bidirectional mark
		"1.3.6.1.2.1.1.6.0": "4x|" + "4DFC6E6368656E",                               // Latin-1
	}
	f := Poll(t.Context(), serveOne(t, objects), Target{}).Poll.Facts
	if f == nil {
		t.Fatal("no facts")
	}
	if len(f.SysDescr) != 1024 || strings.Trim(f.SysDescr, "ä") != "" {
		t.Errorf("sysDescr has %d bytes: %.20s", len(f.SysDescr), f.SysDescr)
	}
	if f.SysObjectID != "" || f.SysContact != "" || f.SysName != "[2j sw" || f.SysLocation != "München" {
		t.Errorf("facts %+q", *f)
	}
}

func FuzzClean(f *testing.F) {
	f.Add([]byte("a\x00b\xff\xc3\xa4\u202e"), 5)
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		limit = 1 + limit&1023
		s := clean(raw, limit, " ")
		if len(s) > limit || !utf8.ValidString(s) || strings.ContainsAny(s, "\n\r\t\x00\x1b") || s != strings.TrimSpace(s) {
			t.Errorf("clean(%q, %d) = %q", raw, limit, s)
		}
	})
}
