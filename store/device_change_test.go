package store

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"pollux/device"
	"pollux/secret"
)

var changeBehaviours = []behaviour{
	{"a change keeps what polls found", changeKeeps},
	{"a new interval begins after the running slot", changeInterval},
	{"disabling ends an outage, enabling begins anew", changeDisabled},
	{"a failing change changes nothing", changeFails},
}

func change(t testing.TB, e engine, id int64, f func(*device.Device)) device.Device {
	t.Helper()
	d, err := e.UpdateDevice(t.Context(), id, func(d *device.Device) error { f(d); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if read := reread(t, e, id); !reflect.DeepEqual(read, d) {
		t.Errorf("returned %+v\nread     %+v", d, read)
	}
	return d
}

func changeKeeps(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, withPorts(pollOf(d, 1), reading(1, "eth0")))
	before := reread(t, e, d.ID)
	name := described().Hostname
	got := change(t, e, d.ID, func(d *device.Device) {
		d.Hostname, d.Address, d.Port, d.Timeout, d.Retries = name, "127.0.0.2", 1161, time.Second, 2
		d.Credentials.Community = secret.New("other")
		// None of these is for people to decide.
		d.ID, d.RRDDir, d.Shard, d.Generation, d.Status, d.SlotFrom = 99, "elsewhere", 3, 7, device.StatusDown, 5
		d.Facts.SysName, d.PolledAt = "forged", time.Time{}
	})
	want := before
	want.Hostname, want.Address, want.Port, want.Timeout, want.Retries = name, "127.0.0.2", 1161, time.Second, 2
	want.Credentials.Community = secret.New("other")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Credentials.Community.Reveal() != "other" {
		t.Error("the community did not change")
	}
}

func changeInterval(t *testing.T, e engine) {
	idle := added(t, e)
	before := time.Now().Unix()
	got := change(t, e, idle.ID, func(d *device.Device) { d.Interval = 60 })
	if earliest := device.SlotFromChange(idle.ID, 300, before); got.SlotFrom < earliest || got.SlotFrom > earliest+300 {
		t.Errorf("slots from %d, want %d", got.SlotFrom, earliest)
	}
	first := got.SlotFrom // of 60 s, and not over yet
	if got = change(t, e, idle.ID, func(d *device.Device) { d.Interval = 10 }); got.SlotFrom < first {
		t.Errorf("changed again: slots from %d, before that from %d", got.SlotFrom, first)
	}
	d := added(t, e)
	p := withPorts(pollOf(d, 1), reading(1, "eth0"))
	p.Slot = time.Now().Unix() + 10_000 // by a clock that is ahead of this machine's
	save(t, e, p)
	got = change(t, e, d.ID, func(d *device.Device) { d.Interval = 60 })
	if got.SlotFrom != p.Slot+300 {
		t.Errorf("slots from %d, the last one began at %d", got.SlotFrom, p.Slot)
	}
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Generation != 1 || len(ports) != 1 || ports[0].Generation != 1 {
		t.Errorf("generations: device %d, ports %+v", got.Generation, ports)
	}
	// A poll that began before the change must not lead back to the old file.
	late := reading(1, "eth0")
	late.PortID, late.Generation, late.RRDMax = ports[0].ID, 0, 5
	save(t, e, withPorts(pollOf(d, 2), late))
	if ports, err = e.Ports(t.Context(), d.ID); err != nil || ports[0].Generation != 1 {
		t.Errorf("after a late poll: %+v, %v", ports, err)
	}
	if same := change(t, e, d.ID, func(d *device.Device) { d.Retries = 1 }); same.Generation != 1 || same.SlotFrom != got.SlotFrom {
		t.Errorf("the same interval again: %+v", same)
	}
}

func changeDisabled(t *testing.T, e engine) {
	d := added(t, e)
	down := pollOf(d, 1)
	down.Outcome, down.Facts = device.OutcomeDown, nil
	save(t, e, down)
	if got := change(t, e, d.ID, func(d *device.Device) { d.Disabled = true }); got.Status != device.StatusDisabled {
		t.Errorf("status %s", got.Status)
	}
	if got := outages(t, e, d.ID); len(got) != 1 || got[0].UpAgain.IsZero() {
		t.Errorf("outages %v", got)
	}
	save(t, e, pollOf(d, 2)) // it was under way
	if got := reread(t, e, d.ID); got.Status != device.StatusDisabled {
		t.Errorf("a poll under way made it %s", got.Status)
	}
	if got := change(t, e, d.ID, func(d *device.Device) { d.Disabled = false }); got.Status != device.StatusNew {
		t.Errorf("enabled: %s", got.Status)
	}
}

func changeFails(t *testing.T, e engine) {
	d, other := added(t, e), added(t, e)
	mine := errors.New("changed my mind")
	for name, try := range map[string]struct {
		change func(*device.Device) error
		want   error
	}{
		"its own error": {func(d *device.Device) error { d.Retries = 9; return mine }, mine},
		"invalid":       {func(d *device.Device) error { d.Interval = 1; return nil }, ErrInvalid},
		"taken":         {func(d *device.Device) error { d.Hostname = other.Hostname; return nil }, ErrDuplicate},
		"no group":      {func(d *device.Device) error { d.Group = 4711; return nil }, ErrNotFound},
	} {
		if _, err := e.UpdateDevice(t.Context(), d.ID, try.change); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := reread(t, e, d.ID); !reflect.DeepEqual(got, d) {
		t.Errorf("it changed: %+v", got)
	}
	if _, err := e.UpdateDevice(t.Context(), 1<<40, func(*device.Device) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}
