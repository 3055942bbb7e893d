package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pollux/device"
	"pollux/secret"
	"pollux/snmp"
)

var twinBehaviours = []behaviour{
	{"a twin asks the same agent in the same context", twinOfAgent},
	{"a twin is found behind many that share its address", twinBehindMany},
	{"a twin has the same sysName", twinOfSysName},
	{"a device that is asked by ICMP only has no credentials", twinPingOnly},
	{"a device that is asked by ICMP only is not discovered", pingOnlyDiscovery},
	{"a device that asks another agent is discovered at once", otherAgent},
	{"events of an ignored device raise no alarm", ignoredEvents},
}

func twinOfAgent(t *testing.T, e engine) {
	add := func(change func(*device.Device)) device.Device {
		d := described()
		change(&d)
		d, err := e.AddDevice(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	byAddress := add(func(d *device.Device) { d.Address = "192.0.2.10" })
	byName := add(func(d *device.Device) { d.Hostname, d.Address = "Twin-Host.example", "" })
	v6 := add(func(d *device.Device) { d.Address = "2001:DB8::10" })
	spelt := add(func(d *device.Device) { d.Address = "2001:db8:0:0::0:0011" })
	mapped := add(func(d *device.Device) { d.Address = "::ffff:192.0.2.13" })
	label := add(func(d *device.Device) { d.Hostname, d.Address = "2001:0db8::0012", "" })
	changed, err := e.UpdateDevice(t.Context(), add(func(d *device.Device) { d.Address = "192.0.2.14" }).ID, func(d *device.Device) error {
		d.Address = "2001:db8:0::0013"
		return nil
	})
	if err != nil || label.Hostname != "2001:0db8::0012" || label.Host() != "2001:db8::12" || spelt.Address != "2001:db8::11" || v6.Address != "2001:DB8::10" {
		t.Error(err, label, spelt, v6)
	}
	indexed := add(func(d *device.Device) {
		d.Address, d.Credentials.Community = "192.0.2.11", secret.New("canary@12")
	})
	icmp := add(func(d *device.Device) { d.Address, d.PingOnly, d.Credentials = "192.0.2.12", true, snmp.Credentials{} })
	context := v3Device().Credentials
	for name, c := range map[string]struct {
		change func(*device.Device)
		hosts  []string
		want   int64 // 0 for none
	}{
		"the address":                {func(*device.Device) {}, []string{"192.0.2.10"}, byAddress.ID},
		"a name that leads to it":    {func(*device.Device) {}, []string{"else.example", "192.0.2.10"}, byAddress.ID},
		"the name":                   {func(*device.Device) {}, []string{"twin-host.EXAMPLE", "192.0.2.99"}, byName.ID},
		"the address of IPv6":        {func(*device.Device) {}, []string{"2001:db8::10"}, v6.ID},
		"spelt otherwise":            {func(*device.Device) {}, []string{"2001:db8::11"}, spelt.ID},
		"mapped into IPv6":           {func(*device.Device) {}, []string{"192.0.2.13"}, mapped.ID},
		"the name is an address":     {func(*device.Device) {}, []string{"2001:db8::12"}, label.ID},
		"an address that was set":    {func(*device.Device) {}, []string{"2001:db8::13"}, changed.ID},
		"another port":               {func(d *device.Device) { d.Port = 1161 }, []string{"192.0.2.10"}, 0},
		"another address":            {func(*device.Device) {}, []string{"192.0.2.77"}, 0},
		"itself":                     {func(d *device.Device) { d.ID = byAddress.ID }, []string{"192.0.2.10"}, 0},
		"another context":            {func(d *device.Device) { d.Credentials = context }, []string{"192.0.2.10"}, 0},
		"another community":          {func(d *device.Device) { d.Credentials.Community = secret.New("canary-other") }, []string{"192.0.2.10"}, byAddress.ID},
		"the context of a community": {func(d *device.Device) { d.Credentials.Community = secret.New("canary-other@12") }, []string{"192.0.2.11"}, indexed.ID},
		"no context of a community":  {func(*device.Device) {}, []string{"192.0.2.11"}, 0},
		"ICMP only, there":           {func(*device.Device) {}, []string{"192.0.2.12"}, icmp.ID},
		"ICMP only, new":             {func(d *device.Device) { d.PingOnly, d.Port, d.Credentials = true, 9, snmp.Credentials{} }, []string{"192.0.2.10"}, byAddress.ID},
		"nothing to look for":        {func(*device.Device) {}, nil, 0},
		"hostile":                    {func(*device.Device) {}, []string{"x' OR '1'='1", "a\x00b", strings.Repeat("z", 10_000)}, 0},
	} {
		d := described()
		c.change(&d)
		twin, found, err := e.AgentTwin(t.Context(), d, c.hosts)
		if err != nil || found != (c.want != 0) || twin.ID != c.want {
			t.Errorf("%s: device %d, %t, %v, want %d", name, twin.ID, found, err, c.want)
		}
	}
}

// One address may serve hundreds of contexts: of v3, which SQL tells apart, and of communities, which are sealed.
func twinBehindMany(t *testing.T, e engine) {
	const many = twinBatch + 3
	ids := make(map[string]int64)
	for i := range 2 * many {
		d := described()
		d.Address = "192.0.2.30"
		d.Credentials.Community = secret.New(fmt.Sprintf("canary@%d", i))
		if i%2 == 1 {
			d.Credentials = v3Device().Credentials
			d.Credentials.Context = fmt.Sprintf("vrf%d", i)
		}
		d, err := e.AddDevice(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		ids[d.Credentials.ContextName()] = d.ID
	}
	for _, n := range []int{0, 1, 2*many - 2, 2*many - 1, 2 * many} {
		d := described()
		d.Credentials.Community = secret.New(fmt.Sprintf("canary-new@%d", n))
		name := fmt.Sprint(n)
		if n%2 == 1 {
			d.Credentials = v3Device().Credentials
			d.Credentials.Context = fmt.Sprintf("vrf%d", n)
			name = d.Credentials.Context
		}
		twin, found, err := e.AgentTwin(t.Context(), d, []string{"192.0.2.30"})
		if err != nil || found != (ids[name] != 0) || twin.ID != ids[name] {
			t.Errorf("context %s: device %d, %t, %v, want %d", name, twin.ID, found, err, ids[name])
		}
	}
}

func twinOfSysName(t *testing.T, e engine) {
	d := added(t, e)
	p := pollOf(d, 1)
	p.Facts.SysName = "Core-Twin.example"
	save(t, e, p)
	for sysName, want := range map[string]bool{"core-twin.EXAMPLE": true, "Core-Twin": false, "": false, "%": false, "core\x00twin": false} {
		twin, found, err := e.SysNameTwin(t.Context(), sysName, 0)
		if err != nil || found != want || found && (twin.ID != d.ID || !twin.Credentials.Community.IsEmpty()) {
			t.Errorf("%q: device %d, %t, %v", sysName, twin.ID, found, err)
		}
	}
	if _, found, err := e.SysNameTwin(t.Context(), "core-twin.example", d.ID); err != nil || found {
		t.Errorf("a twin of itself: %t, %v", found, err)
	}
}

func twinPingOnly(t *testing.T, e engine) {
	d := described()
	d.PingOnly = true
	if _, err := e.AddDevice(t.Context(), d); err == nil {
		t.Error("added with a community")
	}
	d.Credentials = snmp.Credentials{}
	d, err := e.AddDevice(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := e.PollTarget(t.Context(), d.ID)
	if err != nil || !got.PingOnly || got.Credentials != (snmp.Credentials{}) {
		t.Errorf("poll target %+v, %v", got, err)
	}
	changed, err := e.UpdateDevice(t.Context(), d.ID, func(d *device.Device) error {
		d.PingOnly, d.Credentials = false, described().Credentials
		return nil
	})
	if err != nil || changed.PingOnly || changed.Credentials.Community.IsEmpty() {
		t.Errorf("changed to SNMP: %+v, %v", changed, err)
	}
	agents, err := e.SharedAgents(t.Context())
	for _, agent := range agents {
		if strings.HasPrefix(agent, strings.ToLower(d.Hostname)) {
			t.Errorf("shared: %s, %v", agent, err)
		}
	}
}

// A discovery that was under way when the device changed comes too late; back at SNMP it is discovered at once.
func pingOnlyDiscovery(t *testing.T, e engine) {
	d := added(t, e)
	keep(t, e, discoveryOf(d, 1))
	icmp := change(t, e, d.ID, func(d *device.Device) { d.PingOnly, d.Credentials = true, snmp.Credentials{} })
	if list := discovered(t, e, discoveryOf(d, 2, sensorOf("1", 99))); len(list) != 0 || reread(t, e, d.ID).Facts.OS != device.OSPing {
		t.Errorf("%d components, %+v", len(list), reread(t, e, d.ID).Facts)
	}
	same(t, "events", messages(t, e, d.ID), nil)
	back := change(t, e, icmp.ID, func(d *device.Device) { d.PingOnly, d.Credentials = false, described().Credentials })
	list, err := e.Discoverable(t.Context())
	i := slices.IndexFunc(list, func(x device.Discoverable) bool { return x.ID == d.ID })
	if err != nil || i < 0 || list[i].Slot != 0 || back.Facts.OS != "" {
		t.Errorf("back at SNMP: OS %q, at %d of %+v, %v", back.Facts.OS, i, list, err)
	}
	change(t, e, d.ID, func(d *device.Device) { d.Interval = 60 })
	keep(t, e, discoveryOf(d, 3))
	if after := reread(t, e, d.ID); after.Facts.OS != "testbox" {
		t.Errorf("discovered again: %+v", after.Facts)
	}
}

// What a discovery found that was under way when the address changed is another agent's.
func otherAgent(t *testing.T, e engine) {
	d := added(t, e)
	of := func(d device.Device, n int) device.Discovery {
		discovery := discoveryOf(d, n, sensorOf("1", 20))
		discovery.Host, discovery.Port = d.Host(), d.Port
		return discovery
	}
	slot := func() int64 {
		list, err := e.Discoverable(t.Context())
		i := slices.IndexFunc(list, func(x device.Discoverable) bool { return x.ID == d.ID })
		if err != nil || i < 0 {
			t.Fatal(i, err)
		}
		return list[i].Slot
	}
	keep(t, e, of(d, 1))
	change(t, e, d.ID, func(d *device.Device) { d.Address, d.Hostname = d.Host(), "renamed-"+d.Hostname })
	change(t, e, d.ID, func(d *device.Device) { d.Interval = 60 })
	if got := slot(); got != of(d, 1).Slot {
		t.Errorf("slot %d of the same agent under another name", got)
	}
	for n, f := range []func(*device.Device){
		func(d *device.Device) { d.Port = 1161 }, func(d *device.Device) { d.Address = "192.0.2.30" }, func(d *device.Device) { d.Address = "" },
	} {
		before := reread(t, e, d.ID)
		changed := change(t, e, d.ID, f)
		if list := discovered(t, e, of(before, 2*n+2)); slot() != 0 || list[0].SeenAt.Equal(of(d, 2*n+2).At) {
			t.Errorf("%d: the former agent is kept: slot %d, %+v", n, slot(), list)
		}
		if list := discovered(t, e, of(changed, 2*n+3)); slot() == 0 || !list[0].SeenAt.Equal(of(d, 2*n+3).At) {
			t.Errorf("%d: the new agent is not discovered: slot %d, %+v", n, slot(), list)
		}
	}
}

func ignoredEvents(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, pollOf(d, 1))
	ignore := func(ignored bool) {
		if _, err := e.UpdateDevice(t.Context(), d.ID, func(d *device.Device) error { d.Ignored = ignored; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	ignore(true)
	down := pollOf(d, 2)
	down.Outcome, down.Facts, down.Reason = device.OutcomeDown, nil, "no answer"
	save(t, e, down)
	up := pollOf(d, 3)
	up.Events = []device.Event{{Type: "reboot", Severity: device.SeverityWarning, Message: "Device rebooted"}, {Type: "system", Message: "told"}}
	save(t, e, up)
	ignore(false)
	again := pollOf(d, 4)
	again.Outcome, again.Facts = device.OutcomeDown, nil
	save(t, e, again)
	same(t, "events", messages(t, e, d.ID)[1:], []string{
		"down notice Device status changed from up to down: no answer (node node-a)", "up ok Device status changed from down to up (node node-a)",
		"reboot notice Device rebooted", "system info told", "down error Device status changed from up to down (node node-a)",
	})
	if got := reread(t, e, d.ID); got.Ignored {
		t.Error("still ignored")
	}
	yes := true
	ignore(true)
	keep(t, e, inventoryOf(d, 1, device.Inventory{Neighbours: []device.Neighbour{neighbourAt("eth0", "a")}}))
	hot := inventoryOf(d, 2, device.Inventory{})
	hot.Components = []device.Component{sensorOf("1", 20)}
	keep(t, e, hot)
	gone := inventoryOf(d, 3, device.Inventory{})
	gone.Components = []device.Component{sensorOf("1", 71)}
	keep(t, e, gone)
	for _, id := range []int64{d.ID, 0, 1 << 41} {
		if err := e.AddEvent(t.Context(), device.Event{DeviceID: id, Type: "coverage", Severity: device.SeverityWarning, Message: "not polled"}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "events while it is ignored", messages(t, e, d.ID)[6:], []string{
		"neighbour info 1 neighbours found", "system info 1 processors, memory pools, storages and sensors found",
		"sensor notice temperature Inlet 1: ok -> critical at 71", "neighbour notice neighbour a Gi0/1 at eth0 (lldp): vanished", "coverage notice not polled",
	})
	if got := messages(t, e, 1<<41); len(got) != 1 || got[0] != "coverage warning not polled" {
		t.Errorf("of a device that there is not: %q", got)
	}
	list, err := e.Devices(t.Context(), Filter{Ignored: &yes, Hostnames: []string{d.Hostname}})
	if err != nil || len(list) != 1 || !list[0].Ignored {
		t.Errorf("listed: %+v, %v", list, err)
	}
}
