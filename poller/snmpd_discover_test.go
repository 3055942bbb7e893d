package poller

import (
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/snmp"
)

// What a discovery finds by net-snmp's agent, and a poll then measures, agrees with what the kernel says of this machine.
func TestDiscoveryOfARealHost(t *testing.T) {
	t.Parallel()
	s, err := snmp.Dial(t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: snmpd(t), Timeout: 2 * time.Second, Retries: 10, Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	set, _, err := definitions.Load("")
	if err != nil {
		t.Fatal(err)
	}
	const hrProcessorLoad = snmp.OID("1.3.6.1.2.1.25.3.3.1.2")
	polluxtest.Eventually(t, 3*time.Minute, "the agent knows the load of its first minute", func() bool {
		known := false
		err := s.Table(t.Context(), snmp.TableRequest{Columns: []snmp.OID{hrProcessorLoad}}, func(snmp.Cell) { known = true })
		return err == nil && known
	})
	found, modules := Discover(t.Context(), s, Target{Retries: 10}, set)
	if found.Outcome != device.OutcomeUp || found.Facts.OS != "linux" || found.Facts.Version != kernelSays(t, "/proc/sys/kernel/osrelease", `(\S+)`)[0] {
		t.Fatalf("%s %s, %v, facts %+v", found.Outcome, found.Reason, modules, found.Facts)
	}
	if got, want := addressesOf(found), kernelAddresses(t); !slices.Equal(got, want) {
		t.Errorf("addresses %q, the kernel has %q", got, want)
	}
	byKind := map[device.ComponentKind][]device.Component{}
	for i := range found.Components {
		c := &found.Components[i]
		c.ID, c.RRDName = int64(i+1), measurement.ComponentName(string(c.Kind), c.Class, c.Type, c.Index, c.Descr)
		byKind[c.Kind] = append(byKind[c.Kind], *c)
	}
	if got, want := len(byKind[device.KindProcessor]), len(kernelSays(t, "/proc/stat", `(?m)^(cpu\d+) `)); got != want {
		t.Errorf("%d processors, the kernel has %d", got, want)
	}
	memory := kernelSays(t, "/proc/meminfo", `MemTotal: +(\d+) kB`)[0] + "kB"
	if !slices.ContainsFunc(byKind[device.KindMempool], func(c device.Component) bool {
		return c.Class == "system" && fmt.Sprintf("%.0fkB", *c.Total/1024) == memory
	}) {
		t.Errorf("no pool of %s: %+v", memory, byKind[device.KindMempool])
	}
	checkStorages(t, byKind[device.KindStorage])
	checkAmounts(t, Poll(t.Context(), s, Target{Components: found.Components, Retries: 10}), found.Components)
}

// kernelSays returns what the group of an expression matches in a file of /proc.
func kernelSays(t *testing.T, file, expression string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(string(text), -1) {
		all = append(all, match[1])
	}
	if len(all) == 0 {
		t.Fatalf("%s has no %s", file, expression)
	}
	return all
}

func addressesOf(d device.Discovery) (all []string) {
	for _, a := range d.Addresses {
		all = append(all, fmt.Sprintf("%s/%d", a.Address, a.Prefix))
	}
	slices.Sort(all)
	return all
}

// kernelAddresses are those of this machine that others reach.
func kernelAddresses(t *testing.T) (all []string) {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range list {
		if network, ok := address.(*net.IPNet); ok && !network.IP.IsLoopback() {
			all = append(all, network.String())
		}
	}
	slices.Sort(all)
	return all
}

// checkStorages compares the file systems that are mounted under the names of storages.
func checkStorages(t *testing.T, storages []device.Component) {
	t.Helper()
	compared := 0
	for _, c := range storages {
		var fs syscall.Statfs_t
		if !strings.HasPrefix(c.Descr, "/") || syscall.Statfs(c.Descr, &fs) != nil || c.Total == nil {
			continue
		}
		compared++
		if want := float64(fs.Blocks) * float64(fs.Frsize); math.Abs(*c.Total-want) > want/100 {
			t.Errorf("%s has %.0f bytes, by the kernel %.0f", c.Descr, *c.Total, want)
		}
	}
	if compared == 0 {
		t.Errorf("none of the storages is mounted: %+v", storages)
	}
}

// checkAmounts wants a measurement of each processor, pool and storage: a share, or amounts whose sum is the total.
func checkAmounts(t *testing.T, r Report, components []device.Component) {
	t.Helper()
	measured := map[int64][]measurement.Value{}
	for _, m := range fromSNMP(r) {
		if m.Kind.Named() {
			measured[m.Instance] = m.Values
		}
	}
	for i := range components {
		c := &components[i]
		if c.Kind == device.KindHost || c.Kind == device.KindSensor {
			continue
		}
		sum := 0.0
		for _, v := range measured[c.ID] {
			n, known := v.AsGauge()
			if !known || n < 0 {
				t.Errorf("%s %s is filed as %v", c.Kind, c.Descr, measured[c.ID])
			}
			sum += n
		}
		switch {
		case len(measured[c.ID]) == 0:
			t.Errorf("%s %s is not measured", c.Kind, c.Descr)
		case c.Kind == device.KindProcessor && sum > 100:
			t.Errorf("processor %s at %v percent", c.Descr, sum)
		case c.Total != nil && math.Abs(sum-*c.Total) > *c.Total/100:
			t.Errorf("%s %s has %.0f bytes, used and free are %.0f", c.Kind, c.Descr, *c.Total, sum)
		}
	}
}
