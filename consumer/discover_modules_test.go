package consumer

import (
	"maps"
	"slices"
	"testing"

	"pollux/device"
	"pollux/poller"
	"pollux/settings"
	"pollux/tasks"
)

func TestDiscoveriesRunTheModulesOfTheSetting(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	kept := discovering(t, r)
	own := r.store.devices[2]
	own.DiscoveryOff = []string{device.ModuleVLANs}
	r.store.devices[2] = own
	for i, c := range []struct {
		id      int64
		setting string
		want    []string
	}{
		{1, "vlans,entity-physical", []string{device.ModuleEntities, device.ModuleVLANs}},
		{2, "vlans,entity-physical", []string{device.ModuleEntities}},
		{1, "sensors", nil},
	} {
		r.set(settings.KeyDiscoveryModules, c.setting)
		if _, err := r.discover(tasks.Discover{DeviceID: c.id, Slot: r.clock.Now().Unix(), Interval: 21600}, 0); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(kept.all()[i].Whole)); !slices.Equal(got, c.want) {
			t.Errorf("device %d with %s: %v ran, want %v", c.id, c.setting, got, c.want)
		}
	}
}

func TestARestartIsToldToTheStoreWhenItMatters(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, nil)
	for _, c := range []struct {
		setting, event string
		want           bool
	}{{"true", eventReboot, true}, {"false", eventReboot, false}, {"true", "system", false}} {
		r.set(settings.KeyDiscoveryOnReboot, c.setting)
		report := poller.Report{Poll: device.Poll{Events: []device.Event{{Type: c.event}}}}
		if r.date(r.turn(1, 300), &report); report.Poll.Rediscover != c.want {
			t.Errorf("setting %s, event %s: %v", c.setting, c.event, report.Poll.Rediscover)
		}
	}
}
