package store

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/secret"
	"pollux/snmp"
)

var deviceBehaviours = []behaviour{
	{"a device comes back as it was added", deviceRoundTrip},
	{"hostnames are unique without regard to case", deviceDuplicate},
	{"what cannot be right is refused in one line", deviceRefused},
	{"a removed device's directory is not given away", deviceDirectory},
	{"devices are listed in pages", deviceList},
	{"removed devices are listed in pages", deviceRemoved},
	{"the schedule leaves out disabled devices", deviceSchedule},
	{"secrets are sealed and bound to their row and column", deviceSecrets},
	{"secrets stay out of errors and the log", deviceCanary},
	{"several add the same hostname at once", deviceRace},
	{"devices are chosen by what they are", deviceFilter},
}

func v3Device() device.Device {
	d := described()
	d.Credentials = snmp.Credentials{
		Version: snmp.V3, User: "münchen", AuthProtocol: "SHA-256", AuthPassword: secret.New("canary-auth'\\\"\x00é"),
		PrivProtocol: "AES", PrivPassword: secret.New("canary-priv"), Context: "vlan-1",
	}
	d.Timeout, d.Retries, d.Transport, d.Port = 2500*time.Millisecond, 3, "tcp6", 65535
	return d
}

func deviceRoundTrip(t *testing.T, e engine) {
	for _, want := range []device.Device{described(), v3Device()} {
		before := time.Now().Truncate(time.Millisecond)
		got, err := e.AddDevice(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		read := reread(t, e, got.ID)
		named, err := e.DeviceByHostname(t.Context(), strings.ToUpper(want.Hostname))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, read) || !reflect.DeepEqual(got, named) {
			t.Errorf("added %+v\nread  %+v\nnamed %+v", got, read, named)
		}
		if got.CreatedAt.Before(before) || got.ID == 0 {
			t.Errorf("id %d, created at %v", got.ID, got.CreatedAt)
		}
		want.ID, want.CreatedAt, want.RRDDir, want.Status = got.ID, got.CreatedAt, want.Hostname, device.StatusNew
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		for _, pair := range [][2]secret.String{
			{got.Credentials.Community, want.Credentials.Community},
			{got.Credentials.AuthPassword, want.Credentials.AuthPassword},
			{got.Credentials.PrivPassword, want.Credentials.PrivPassword},
		} {
			if !pair[0].Equal(pair[1]) {
				t.Errorf("a secret came back as %q", pair[0].Reveal())
			}
		}
	}
	if _, err := e.Device(t.Context(), 1<<40); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
	for _, name := range []string{"nobody.example.net", "", "nöbody", "a\x00b", "' OR 1=1 --"} {
		if _, err := e.DeviceByHostname(t.Context(), name); !errors.Is(err, ErrNotFound) {
			t.Errorf("hostname %q: %v", name, err)
		}
	}
}

func deviceDuplicate(t *testing.T, e engine) {
	d := added(t, e)
	again := described()
	again.Hostname = strings.ToUpper(d.Hostname)
	if _, err := e.AddDevice(t.Context(), again); !errors.Is(err, ErrDuplicate) || strings.Contains(err.Error(), "\n") {
		t.Errorf("the same hostname again: %v", err)
	}
}

func deviceRefused(t *testing.T, e engine) {
	for name, spoil := range map[string]func(*device.Device){
		"empty":            func(d *device.Device) { d.Hostname = "" },
		"slash":            func(d *device.Device) { d.Hostname = "a/b" },
		"parent":           func(d *device.Device) { d.Hostname = ".." },
		"two dots":         func(d *device.Device) { d.Hostname = "a..b" },
		"newline":          func(d *device.Device) { d.Hostname = "a\nb" },
		"newline at end":   func(d *device.Device) { d.Hostname = "ab\n" },
		"option":           func(d *device.Device) { d.Hostname = "-oProxyCommand" },
		"leading dot":      func(d *device.Device) { d.Hostname = ".hidden" },
		"tilde":            func(d *device.Device) { d.Hostname = "a~1" },
		"space":            func(d *device.Device) { d.Hostname = "a b" },
		"not ASCII":        func(d *device.Device) { d.Hostname = "ä" },
		"long":             func(d *device.Device) { d.Hostname = strings.Repeat("a", 254) },
		"address":          func(d *device.Device) { d.Address = "127.0.0.1; reboot" },
		"transport":        func(d *device.Device) { d.Transport = "quic" },
		"interval low":     func(d *device.Device) { d.Interval = 9 },
		"interval high":    func(d *device.Device) { d.Interval = 3601 },
		"timeout":          func(d *device.Device) { d.Timeout = -1 },
		"retries":          func(d *device.Device) { d.Retries = -2 },
		"no community":     func(d *device.Device) { d.Credentials.Community = secret.String{} },
		"unknown version":  func(d *device.Device) { d.Credentials.Version = "v9" },
		"user not text":    func(d *device.Device) { d.Credentials = snmp.Credentials{Version: snmp.V3, User: "a\xff"} },
		"context not text": func(d *device.Device) { d.Credentials = snmp.Credentials{Version: snmp.V3, User: "a", Context: "\x00"} },
		"long password": func(d *device.Device) {
			d.Credentials = snmp.Credentials{Version: snmp.V3, User: "a", AuthProtocol: "SHA", AuthPassword: secret.New(strings.Repeat("x", 256))}
		},
	} {
		d := described()
		spoil(&d)
		if _, err := e.AddDevice(t.Context(), d); !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%s: %v", name, err)
		}
		if err := e.CheckDevice(d); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s checked: %v", name, err)
		}
	}
	if err := e.CheckDevice(described()); err != nil {
		t.Errorf("a good one: %v", err)
	}
	d := described()
	d.Group = 4711
	if _, err := e.AddDevice(t.Context(), d); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown group: %v", err)
	}
	for _, host := range []string{"a", "10.0.0.1", "2001:db8::1", "::1", "host_1.example", strings.Repeat("b", 253)} {
		d := described()
		d.Hostname, d.Address = host, host
		if _, err := e.AddDevice(t.Context(), d); err != nil {
			t.Errorf("hostname %s: %v", host, err)
		}
	}
}

func deviceDirectory(t *testing.T, e engine) {
	first := added(t, e)
	if err := e.RemoveDevice(t.Context(), first.ID, false); err != nil {
		t.Fatal(err)
	}
	again := described()
	again.Hostname = first.Hostname
	second, err := e.AddDevice(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if first.RRDDir != first.Hostname || second.RRDDir != first.Hostname+"~1" || second.ID <= first.ID {
		t.Errorf("directories %q and %q, ids %d and %d", first.RRDDir, second.RRDDir, first.ID, second.ID)
	}
	if err := e.RemoveDevice(t.Context(), first.ID, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	removed, err := e.Removed(t.Context(), time.Now().Add(-time.Minute), 0)
	at := slices.IndexFunc(removed, func(d device.Removed) bool { return d.ID == first.ID })
	if err != nil || at < 0 || removed[at].RRDDir != first.RRDDir || removed[at].Hostname != first.Hostname || time.Since(removed[at].At) > time.Minute {
		t.Errorf("removed: %+v, %v", removed, err)
	}
	if later, err := e.Removed(t.Context(), time.Now().Add(time.Minute), 0); err != nil || len(later) > 0 {
		t.Errorf("removed after now: %+v, %v", later, err)
	}
	colon, long := described(), described()
	colon.Hostname, long.Hostname = "2001:db8::aa", strings.Repeat("c", 253)
	for _, d := range []*device.Device{&colon, &long} {
		if *d, err = e.AddDevice(t.Context(), *d); err != nil {
			t.Fatal(err)
		}
	}
	if colon.RRDDir != "2001_db8__aa" {
		t.Errorf("the directory of an IPv6 address is %q", colon.RRDDir)
	}
	for range 11 {
		if err := e.RemoveDevice(t.Context(), long.ID, false); err != nil {
			t.Fatal(err)
		}
		if long, err = e.AddDevice(t.Context(), long); err != nil {
			t.Fatal(err)
		}
	}
	if want := strings.Repeat("c", 252) + "~11"; long.RRDDir != want {
		t.Errorf("the directory of the twelfth is %q", long.RRDDir)
	}
}

func deviceList(t *testing.T, e engine) {
	group, err := e.AddGroup(t.Context(), device.Group{Name: "listed"}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	var want []int64
	for i := range 5 {
		d := described()
		d.Group, d.Disabled = group.ID, i == 2
		if d, err = e.AddDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		want = append(want, d.ID)
	}
	var got []int64
	for after := int64(0); ; {
		list, err := e.Devices(t.Context(), Filter{Group: &group.ID, Limit: 2, AfterID: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, d := range list {
			got, after = append(got, d.ID), d.ID
			if !d.Credentials.Community.IsEmpty() || d.Credentials.Version != snmp.V2c {
				t.Errorf("listed credentials %+v", d.Credentials)
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	disabled, err := e.Devices(t.Context(), Filter{Group: &group.ID, Status: device.StatusDisabled})
	if err != nil || len(disabled) != 1 || disabled[0].ID != want[2] {
		t.Errorf("disabled: %v, %v", disabled, err)
	}
}

func deviceRemoved(t *testing.T, e engine) {
	before, err := e.RemovedDevices(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	after, began := int64(0), time.Now().Truncate(time.Millisecond)
	if n := len(before); n > 0 {
		after = before[n-1].ID
	}
	var want []device.Removed
	for i := range 3 {
		d := added(t, e)
		if err := e.RemoveDevice(t.Context(), d.ID, i == 1); err != nil {
			t.Fatal(err)
		}
		want = append(want, device.Removed{ID: d.ID, Hostname: d.Hostname, RRDDir: d.RRDDir, Shard: d.Shard, DeleteHistory: i == 1})
	}
	var got []device.Removed
	for {
		list, err := e.RemovedDevices(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, r := range list {
			if r.At.Before(began) || r.At.After(time.Now()) {
				t.Errorf("device %d was removed at %v", r.ID, r.At)
			}
			after, r.At = r.ID, time.Time{}
			got = append(got, r)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("listed %+v, want %+v", got, want)
	}
}

func deviceSchedule(t *testing.T, e engine) {
	group, err := e.AddGroup(t.Context(), device.Group{Name: "scheduled"}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	on, off := described(), described()
	on.Group, off.Group, off.Disabled, on.Interval = group.ID, group.ID, true, 60
	for _, d := range []*device.Device{&on, &off} {
		if *d, err = e.AddDevice(t.Context(), *d); err != nil {
			t.Fatal(err)
		}
	}
	list, err := e.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var mine []device.Scheduled
	for _, d := range list {
		if d.Group == group.ID {
			mine = append(mine, d)
		}
	}
	if want := []device.Scheduled{{ID: on.ID, Group: group.ID, Interval: 60, Created: on.CreatedAt.Unix()}}; !reflect.DeepEqual(mine, want) {
		t.Errorf("scheduled %v, want %v", mine, want)
	}
}

func deviceRace(t *testing.T, e engine) {
	d := described()
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			_, err := e.AddDevice(t.Context(), d)
			results <- err
		}()
	}
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, ErrDuplicate):
			t.Errorf("a loser got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d added the same hostname", won, cap(results))
	}
}
