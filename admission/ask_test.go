package admission_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pollux/admission"
	"pollux/device"
	"pollux/ping"
	"pollux/polluxtest"
	"pollux/settings"
	"pollux/simulator"
	"pollux/snmp"
	"pollux/store"
)

func TestAddStoresWhatWasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := simulate(t, simulator.Config{Listen: "127.0.0.1:0"}).Addr(0)
	asked, err := w.open(false).Add(t.Context(), request("sw1", at))
	if err != nil {
		t.Fatal(err)
	}
	ports, err := w.store.Ports(t.Context(), asked.Device.ID)
	if err != nil || asked.Ports != 3 || len(ports) != 3 || asked.Device.Status != device.StatusUp || asked.Device.Facts.SysName != "sim-00000" || len(asked.Warnings) > 0 || asked.Set != "" {
		t.Errorf("%+v, %d ports, %v", asked, len(ports), err)
	}
	if len(w.pinger.asked) != 1 || w.pinger.asked[0] != at.Addr() {
		t.Errorf("asked by ICMP: %v", w.pinger.asked)
	}
}

// What must not be asked gets no packet, whoever wants it: a name is judged by what it leads to, and that is what is asked.
func TestExcludedAddressGetsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets.allow", "")
	agent := simulate(t, simulator.Config{Listen: "127.0.0.1:0"})
	a := w.open(false)
	for _, host := range []string{"127.0.0.1", "localhost", "127.0.0.53", "169.254.169.254", "::1", "224.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "64:ff9b::7f00:1"} {
		r := request("sw1", agent.Addr(0))
		r.Device.Address = host
		for _, r.Device.PingOnly = range []bool{false, true} {
			if r.Device.PingOnly {
				r.Given = nil
			}
			_, err := a.Add(t.Context(), r)
			if !errors.Is(err, settings.ErrNet) || !strings.Contains(err.Error(), "nets.allow") {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
	for _, host := range []string{"0x7f.1", "2130706433", "127.1", "017700000001"} { // forms that only some resolvers take
		r := request("sw1", agent.Addr(0))
		r.Device.Address = host
		if _, err := a.Add(t.Context(), r); err == nil {
			t.Errorf("%s was asked", host)
		}
	}
	if stats := agent.Stats(); stats.Requests != 0 || len(w.pinger.asked) != 0 || len(w.devices()) != 0 {
		t.Errorf("%d requests, asked by ICMP %v, devices %v", stats.Requests, w.pinger.asked, w.devices())
	}
	forced := request("sw1", agent.Addr(0))
	forced.Force = true
	if _, err := a.Add(t.Context(), forced); !errors.Is(err, settings.ErrNet) {
		t.Errorf("forced: %v", err)
	}
	here := request("sw1", agent.Addr(0))
	here.Anywhere = true
	asked, err := a.Add(t.Context(), here)
	if err != nil || len(asked.Warnings) != 1 || !strings.Contains(asked.Warnings[0], "127.0.0.0/8") {
		t.Errorf("asked from this machine: %+v, %v", asked, err)
	}
}

// Stored credentials go to no network that is not listed, unless somebody on this machine sends them there.
func TestStoredCredentialsStayInTheirNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets", "127.66.0.0/24")
	agent := simulate(t, simulator.Config{Listen: "127.0.0.1:0"})
	w.set("core", v2c(community))
	r := request("sw1", agent.Addr(0))
	r.Given = nil
	for _, force := range []bool{false, true} {
		for _, host := range []string{"127.0.0.1", "localhost"} {
			r.Force, r.Device.Address = force, host
			if _, err := w.open(false).Add(t.Context(), r); !errors.Is(err, settings.ErrNet) || !strings.Contains(err.Error(), "none of the networks of nets") {
				t.Errorf("%s, forced %t: %v", host, force, err)
			}
		}
	}
	if n := agent.Stats().Requests; n != 0 || len(w.pinger.asked) != 0 || len(w.devices()) != 0 {
		t.Errorf("%d requests, asked by ICMP %v, devices %v", n, w.pinger.asked, w.devices())
	}
	r.Force, r.Anywhere = false, true
	if asked, err := w.open(false).Add(t.Context(), r); err != nil || asked.Set != "core" || len(asked.Warnings) > 0 {
		t.Errorf("from this machine: %+v, %v", asked, err)
	}
	given := request("sw2", agent.Addr(0))
	given.Device.Credentials, given.Device.Address, given.Device.Port = snmp.Credentials{}, "127.0.0.1", agent.Addr(0).Port()
	if _, err := w.open(false).Ask(t.Context(), given); errors.Is(err, settings.ErrNet) {
		t.Errorf("credentials that are given: %v", err)
	}
}

func TestICMPCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*world, *admission.Request)
		want   error
		pings  int
		warns  string
	}{
		"an answer":    {func(*world, *admission.Request) {}, nil, 1, ""},
		"no answer":    {func(w *world, _ *admission.Request) { w.pinger.silent = []netip.Addr{netip.MustParseAddr("127.0.0.1")} }, ping.ErrSilent, 1, ""},
		"turned off":   {func(w *world, _ *admission.Request) { w.values["icmp_check"] = "false" }, nil, 0, ""},
		"not possible": {func(w *world, _ *admission.Request) { w.pinger.mode = ping.Off }, nil, 0, "CAP_NET_RAW"},
		"just seen":    {func(_ *world, r *admission.Request) { r.Alive = true }, nil, 0, ""},
		"forced":       {func(_ *world, r *admission.Request) { r.Force = true }, nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			agent := simulate(t, simulator.Config{Listen: "127.0.0.1:0"})
			r := request("sw1", agent.Addr(0))
			c.change(w, &r)
			asked, err := w.open(false).Add(t.Context(), r)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || len(w.pinger.asked) != c.pings || len(w.devices()) == 0 != (err != nil) {
				t.Errorf("%v after %d pings, devices %v", err, len(w.pinger.asked), w.devices())
			}
			if text := strings.Join(asked.Warnings, " "); !strings.Contains(text, c.warns) || (text == "") != (c.warns == "") {
				t.Errorf("warnings %q", text)
			}
			if requests := agent.Stats().Requests; (err != nil || r.Force) && requests > 0 {
				t.Errorf("%d SNMP requests", requests)
			}
		})
	}
}

func TestPingOnlyDeviceIsAskedByICMPOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "icmp_check", "false") // which is about devices that are asked by SNMP
	agent := simulate(t, simulator.Config{Listen: "127.0.0.1:0"})
	pingOnly := func(name, address string) admission.Request {
		d := of(name, agent.Addr(0))
		d.Address, d.PingOnly = address, true
		return admission.Request{Device: d}
	}
	w.set("core", v2c(community)) // which is not tried
	asked, err := w.open(false).Add(t.Context(), pingOnly("ups1", "127.0.0.1"))
	if err != nil || !asked.Device.PingOnly || asked.Device.Status != device.StatusUp || asked.Device.Facts.OS != "ping" || asked.Device.Credentials != (snmp.Credentials{}) {
		t.Errorf("%+v, %v", asked, err)
	}
	var twin *admission.TwinError
	if _, err := w.open(false).Add(t.Context(), pingOnly("ups2", "127.0.0.1")); !errors.As(err, &twin) || twin.Twin.Hostname != "ups1" {
		t.Errorf("its twin: %v", err)
	}
	w.pinger.silent = []netip.Addr{netip.MustParseAddr("127.0.0.3")}
	if _, err := w.open(false).Add(t.Context(), pingOnly("ups3", "127.0.0.3")); !errors.Is(err, ping.ErrSilent) {
		t.Errorf("a silent one: %v", err)
	}
	w.pinger.mode = ping.Off
	asked, err = w.open(false).Add(t.Context(), pingOnly("ups4", "127.0.0.4"))
	if err != nil || asked.Device.Status != device.StatusNew || len(asked.Warnings) != 1 {
		t.Errorf("where ICMP cannot be sent: %+v, %v", asked, err)
	}
	if n := agent.Stats().Requests; n != 0 || !slices.Equal(w.devices(), []string{"ups1", "ups4"}) {
		t.Errorf("%d SNMP requests, devices %v", n, w.devices())
	}
}

func TestCandidatesAreTriedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	group, err := w.store.AddGroup(t.Context(), device.Group{Name: "south"}, "tester")
	if err != nil {
		t.Fatal(err)
	}
	w.set("first-v3", v3(authPass))
	w.set("first-v2c", v2c(community))
	w.set("south-v2c", v2c(community), group.ID)
	w.set("v1", snmp.Credentials{Version: snmp.V1, Community: v2c(community).Community})
	a := w.open(false)
	given, public := v2c("given"), v2c("public")
	for name, c := range map[string]struct {
		request admission.Request
		want    string
	}{
		"sets of all groups":   {admission.Request{}, "v2c of set first-v2c, v3 user monitor of set first-v3, v1 of set v1"},
		"sets of a group":      {admission.Request{Device: device.Device{Group: group.ID}}, "v2c of set first-v2c, v2c of set south-v2c, v3 user monitor of set first-v3, v1 of set v1"},
		"versions":             {admission.Request{Versions: []snmp.Version{snmp.V1, snmp.V3}}, "v1 of set v1, v3 user monitor of set first-v3"},
		"given":                {admission.Request{Given: []snmp.Credentials{given}, Default: []snmp.Credentials{public}}, "v2c"},
		"given and named":      {admission.Request{Given: []snmp.Credentials{given}, Sets: []string{"v1"}}, "v2c, v1 of set v1"},
		"named":                {admission.Request{Sets: []string{"v1", "first-v2c"}}, "v2c of set first-v2c, v1 of set v1"},
		"named, of no group":   {admission.Request{Sets: []string{"south-v2c"}}, "v2c of set south-v2c"},
		"no set is left over":  {admission.Request{Versions: []snmp.Version{"v9"}, Default: []snmp.Credentials{public}}, "v2c"},
		"the default of a set": {admission.Request{Default: []snmp.Credentials{public}}, "v2c of set first-v2c, v3 user monitor of set first-v3, v1 of set v1"},
	} {
		if c.request.Versions == nil {
			c.request.Versions = []snmp.Version{snmp.V2c, snmp.V3, snmp.V1}
		}
		candidates, err := a.Candidates(c.request)
		var words []string
		for _, candidate := range candidates {
			words = append(words, candidate.String())
		}
		if got := strings.Join(words, ", "); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
	if _, err := a.Candidates(admission.Request{Sets: []string{"nobody"}}); !errors.Is(err, admission.ErrNoSet) {
		t.Errorf("an unknown set: %v", err)
	}
	if _, err := a.Candidates(admission.Request{Sets: []string{"v1"}, Versions: []snmp.Version{snmp.V3}}); !errors.Is(err, admission.ErrSet) {
		t.Errorf("a set of another version: %v", err)
	}
	if _, err := newWorld(t).open(false).Candidates(admission.Request{}); !errors.Is(err, admission.ErrNoCredentials) {
		t.Errorf("nothing to try: %v", err)
	}
}

// The device gets a copy of the first credentials that it answers to, and an error names what was tried and no secret.
func TestSearchForCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "nets", "127.68.0.0/24")
	agent := simulate(t, simulator.Config{Listen: "127.68.0.0/24:0", Devices: 3})
	w.set("wrong", v2c(canary+"-wrong"))
	w.set("wrong-v3", v3(canary+"-another"))
	var bare admission.Request
	bare.Versions = []snmp.Version{snmp.V2c, snmp.V3, snmp.V1}
	bare.Device = of("sw1", agent.Addr(0))
	_, err := w.open(false).Ask(t.Context(), bare)
	clean(t, err)
	if !errors.Is(err, snmp.ErrAuth) || !strings.Contains(err.Error(), "check user, protocols and passwords; tried v2c of set wrong: ") || !strings.Contains(err.Error(), "v3 user monitor of set wrong-v3: ") {
		t.Errorf("refused: %v", err)
	}
	w.set("right", v3(authPass))
	w.set("late", v2c(community)) // of a version that is tried before
	asked, err := w.open(false).Add(t.Context(), bare)
	if err != nil || asked.Set != "late" || !asked.Device.Credentials.Community.Equal(v2c(community).Community) || asked.Device.Status != device.StatusUp {
		t.Errorf("%+v, %v", asked, err)
	}
	bare.Device, bare.Versions = of("sw2", agent.Addr(1)), []snmp.Version{snmp.V3}
	if asked, err = w.open(false).Add(t.Context(), bare); err != nil || asked.Set != "right" || asked.Device.Credentials.User != "monitor" {
		t.Errorf("of v3: %+v, %v", asked, err)
	}
	silent := request("sw3", agent.Addr(2))
	silent.Given = nil
	for i := range 9 {
		silent.Given = append(silent.Given, v2c(fmt.Sprintf("%s-%d", canary, i)))
	}
	w.values["snmp.timeout"] = "1"
	_, err = w.open(false).Ask(t.Context(), silent)
	clean(t, err)
	if !errors.Is(err, admission.ErrSilent) || !strings.Contains(err.Error(), "check address, port, community") || !strings.HasSuffix(err.Error(), "; 3 more") || len(err.Error()) > 900 {
		t.Errorf("silent: %v", err)
	}
	closed := request("sw4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(polluxtest.FreePort(t))))
	if _, err = w.open(false).Ask(t.Context(), closed); !errors.Is(err, admission.ErrSilent) {
		t.Errorf("nobody there: %v", err)
	}
	unknown := request("no-such-host.invalid", agent.Addr(2))
	unknown.Device.Address = ""
	if _, err = w.open(false).Ask(t.Context(), unknown); !errors.Is(err, admission.ErrSilent) || !strings.Contains(err.Error(), "check the spelling") {
		t.Errorf("a name that nobody has: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = w.open(false).Ask(ctx, closed); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTwinsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent, same := simulate(t, simulator.Config{Listen: "127.69.0.0/24:0", Devices: 3}), simulate(t, simulator.Config{Listen: "127.0.0.1:0"})
	a := w.open(false)
	if _, err := a.Add(t.Context(), request("sw1", agent.Addr(0))); err != nil {
		t.Fatal(err)
	}
	before := agent.Stats().Requests
	refused := func(what string, r admission.Request, by string) {
		t.Helper()
		_, err := a.Add(t.Context(), r)
		var twin *admission.TwinError
		if !errors.As(err, &twin) || twin.Twin.Hostname != "sw1" || !strings.Contains(err.Error(), by+" is that of sw1 (device 1)") {
			t.Errorf("%s: %v", what, err)
		}
		clean(t, err)
	}
	refused("the same address and port", request("sw2", agent.Addr(0)), fmt.Sprintf("the address 127.69.0.1, port %d", agent.Addr(0).Port()))
	other := request("sw2", agent.Addr(0))
	other.Given = []snmp.Credentials{v2c(canary + "-other")}
	refused("with another community", other, fmt.Sprintf("port %d", agent.Addr(0).Port()))
	if agent.Stats().Requests != before {
		t.Error("a twin of the address was asked")
	}
	refused("the same sysName", request("sw2", same.Addr(0)), `the sysName "sim-00000"`)
	if _, err := a.Add(t.Context(), request("SW1", agent.Addr(1))); !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("the same hostname: %v", err)
	}
	forced := request("SW1", agent.Addr(1))
	forced.Force = true
	if _, err := a.Add(t.Context(), forced); !errors.Is(err, store.ErrDuplicate) {
		t.Errorf("the same hostname, forced: %v", err)
	}
	forced = request("sw2", agent.Addr(0))
	forced.Force = true
	if _, err := a.Add(t.Context(), forced); err != nil {
		t.Errorf("a twin, forced: %v", err)
	}
	w.values["allow_duplicate_sysName"] = "true"
	if _, err := w.open(false).Add(t.Context(), request("sw3", same.Addr(0))); err != nil {
		t.Errorf("the same sysName, allowed: %v", err)
	}
	w.values["allow_duplicate_sysName"] = "false"
	if _, err := w.open(false).Add(t.Context(), request("sw4", agent.Addr(2))); err != nil {
		t.Errorf("another device: %v", err)
	}
	if got := w.devices(); !slices.Equal(got, []string{"sw1", "sw2", "sw3", "sw4"}) {
		t.Errorf("devices %v", got)
	}
}

// Of two that were asked before either was stored, the second one is refused, too.
func TestTwinsOfOneRun(t *testing.T) {
	t.Parallel()
	for _, dryRun := range []bool{false, true} {
		w := newWorld(t)
		agent, same := simulate(t, simulator.Config{Listen: "127.70.0.0/24:0", Devices: 2}), simulate(t, simulator.Config{Listen: "127.0.0.1:0"})
		a := w.open(dryRun)
		var all []admission.Asked
		for _, r := range []admission.Request{request("a", agent.Addr(0)), request("b", agent.Addr(0)), request("c", same.Addr(0)), request("A", agent.Addr(1)), request("d", agent.Addr(1))} {
			asked, err := a.Ask(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, asked)
		}
		var got []string
		for _, asked := range all {
			_, err := a.Store(t.Context(), asked)
			var twin *admission.TwinError
			got = append(got, fmt.Sprintf("%t %t %t", err == nil, errors.As(err, &twin), errors.Is(err, store.ErrDuplicate)))
		}
		want := []string{"true false false", "false true false", "false true false", "false false true", "true false false"}
		if !slices.Equal(got, want) {
			t.Errorf("dry run %t: %v, want %v", dryRun, got, want)
		}
		if n := len(w.devices()); dryRun && n != 0 || !dryRun && n != 2 {
			t.Errorf("dry run %t: devices %v", dryRun, w.devices())
		}
	}
}

func TestAddAllKeepsTheOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := simulate(t, simulator.Config{Listen: "127.71.0.0/24:0", Devices: 40})
	var requests []admission.Request
	for i := range 40 {
		requests = append(requests, request(fmt.Sprintf("sw%d", i), agent.Addr(i)))
	}
	requests[3].Given = []snmp.Credentials{v2c(canary + "-wrong")} // slower than all others
	requests[7] = request("sw6", agent.Addr(7))
	var order []int
	err := w.open(false).AddAll(t.Context(), requests, 8, func(i int, r admission.Result) {
		order = append(order, i)
		if (r.Err != nil) != (i == 3 || i == 7) {
			t.Errorf("request %d: %v", i, r.Err)
		}
	})
	if err != nil || !slices.IsSorted(order) || len(order) != 40 || len(w.devices()) != 38 {
		t.Errorf("%v, order %v, %d devices", err, order, len(w.devices()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	err = w.open(true).AddAll(ctx, requests[8:20], 2, func(int, admission.Result) {
		told++
		cancel()
	})
	if !errors.Is(err, context.Canceled) || told != 1 {
		t.Errorf("cancelled after %d: %v", told, err)
	}
}
