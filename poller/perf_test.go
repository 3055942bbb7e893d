package poller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/settings"
	"pollux/snmp"
)

// ownFiles are the values of the files of what is known without the device's help, by name.
func ownFiles(t *testing.T, r Report) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for _, m := range r.Measurements {
		if m.Kind != measurement.KindPollerPerf && m.Kind != measurement.KindAvailability {
			continue
		}
		value, ok := m.Values[0].AsGauge()
		if _, twice := found[m.Name]; twice || !ok || m.Generation != 4 || !m.Time.Equal(r.Poll.At) || len(m.Values) != 1 {
			t.Errorf("measured %+v", m)
		}
		found[m.Name] = value
	}
	return found
}

// TestPollerPerfIsFiledByModule: the time of each module that had something to do, and of the whole poll, while the device is up.
func TestPollerPerfIsFiledByModule(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, snmp.ErrTimeout} {
		synctest.Test(t, func(t *testing.T) {
			session := quiet{after: time.Second, err: err}
			target := Target{
				Device: device.Device{ID: 7, Generation: 4, CreatedAt: time.Now()}, Pinger: pinger{5 * time.Second, fromICMP, nil}, ModulesOff: []string{"availability"},
				Components: []device.Component{{ID: 1, Kind: device.KindSensor}, {ID: 2, Kind: device.KindProcessor, Vanished: true}},
			}
			got := ownFiles(t, Poll(t.Context(), session, target))
			want := map[string]float64{"poller-perf": 5, "poller-perf-icmp": 5, "poller-perf-core": 0, "poller-perf-ports": 0, "poller-perf-sensors": 0}
			if err != nil {
				want = map[string]float64{}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%v: filed %v, want %v", err, got, want)
			}
		})
	}
}

// TestAvailabilityIsFiled: also of a device that is down, and at most every two minutes.
func TestAvailabilityIsFiled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err     error
		sampled time.Duration // before the poll; 0 for never
		off     bool
		filed   bool
	}{
		"the first sample": {nil, 0, false, true}, "down": {snmp.ErrTimeout, 0, false, true}, "refused": {snmp.ErrAuth, 0, false, true},
		"a moment ago": {nil, 10 * time.Second, false, false}, "just before": {nil, 31 * time.Second, false, true}, "long ago": {nil, time.Hour, false, true},
		"switched off": {nil, 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				now := time.Now().Truncate(availabilityEvery).Add(availabilityEvery + 30*time.Second)
				time.Sleep(time.Until(now)) // the clock of the bubble
				day := 24 * time.Hour
				target := Target{
					Device:  device.Device{ID: 7, Generation: 4, CreatedAt: now.Add(-10 * day)},
					Outages: []device.Outage{{Down: now.Add(-2 * day), Up: now.Add(-day)}, {Down: now.Add(-day / 4)}},
				}
				if c.sampled > 0 {
					target.Filed = now.Add(-c.sampled)
				}
				if c.off {
					target.ModulesOff = []string{"availability"}
				}
				want := map[string]float64{}
				if c.filed {
					want = map[string]float64{"availability-86400": 75, "availability-604800": 100 * (1 - 1.25/7), "availability-2592000": 87.5, "availability-31536000": 87.5}
				}
				got := ownFiles(t, Poll(t.Context(), quiet{err: c.err}, target))
				maps.DeleteFunc(got, func(name string, _ float64) bool { return strings.HasPrefix(name, "poller-perf") })
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("filed %v, want %v", got, want)
				}
			})
		})
	}
}

// TestModulesOfPollsAreSwitchedOff: all but core; the setting and package device name the same ones.
func TestModulesOfPollsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	setting, err := settings.Find(settings.KeyPollerModules)
	if err != nil || !slices.Equal(setting.Words, device.PollModules()) || setting.Default != strings.Join(device.PollModules(), ",") {
		t.Errorf("the setting takes %v, default %s, want %v: %v", setting.Words, setting.Default, device.PollModules(), err)
	}
	names := []string{device.ModuleAvailability, device.ModuleICMP}
	for _, m := range modules() {
		if m.Name() != "core" {
			names = append(names, m.Name())
		}
	}
	if slices.Sort(names); !slices.Equal(names, device.PollModules()) {
		t.Errorf("the modules %v, want %v", names, device.PollModules())
	}
	s := &scripted{Session: serveOne(t, mib{}.system(100).row(1, ethernet("a")))}
	r := Poll(t.Context(), s, Target{ModulesOff: append(device.PollModules(), "core"), Pinger: pinger{0, fromICMP, nil}, Components: []device.Component{{Kind: device.KindSensor}}})
	if len(r.Modules) != 1 || r.Modules[0].Name != "core" || len(s.tables) != 0 || r.Poll.PortsComplete || r.Poll.Outcome != device.OutcomeUp {
		t.Errorf("%+v", r)
	}
}
