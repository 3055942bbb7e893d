package poller

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/secret"
	"pollux/snmp"
)

// hostComponents are the files of a host that a discovery finds, as the inventory returns them.
func hostComponents(t *testing.T, s Session) []device.Component {
	t.Helper()
	set, _, err := definitions.Load("")
	if err != nil {
		t.Fatal(err)
	}
	found, _ := Discover(t.Context(), s, Target{}, set)
	if found.Outcome != device.OutcomeUp {
		t.Fatal(found.Outcome, found.Reason)
	}
	var hosts []device.Component
	for _, c := range found.Components {
		if c.Kind == device.KindHost {
			c.ID = int64(len(hosts) + 1)
			c.RRDName = measurement.ComponentName(string(c.Kind), c.Class, c.Type, c.Index, c.Descr)
			hosts = append(hosts, c)
		}
	}
	slices.SortFunc(hosts, func(a, b device.Component) int { return strings.Compare(a.RRDName, b.RRDName) })
	return hosts
}

// hostValues shows what a poll files of hosts.
func hostValues(r Report) string {
	var lines []string
	for _, m := range fromSNMP(r) {
		if m.Kind < measurement.KindUCDCPU {
			continue
		}
		line := m.Name
		for _, v := range m.Values {
			n, counter := v.AsCounter()
			x, gauge := v.AsGauge()
			switch {
			case counter:
				line += fmt.Sprintf(" %d", n)
			case gauge:
				line += fmt.Sprintf(" %gg", x)
			default:
				line += " U"
			}
		}
		if m.Break {
			line += " break"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func hostObjectsOfTest() mib {
	return mib{
		"1.3.6.1.4.1.2021.11.50.0": "65|1", "1.3.6.1.4.1.2021.11.52.0": "65|2", "1.3.6.1.4.1.2021.11.51.0": "65|3", "1.3.6.1.4.1.2021.11.53.0": "65|4",
		"1.3.6.1.4.1.2021.10.1.5.1": "2|110", "1.3.6.1.4.1.2021.10.1.5.2": "2|90", "1.3.6.1.4.1.2021.10.1.5.3": "2|70",
		"1.3.6.1.2.1.25.1.5.0": "66|3", "1.3.6.1.2.1.25.1.6.0": "66|211", "1.3.6.1.2.1.7.1.0": "65|100", "1.3.6.1.2.1.7.4.0": "65|104",
		"1.3.6.1.4.1.2021.13.15.1.1.2.1": "4|sda/1", "1.3.6.1.4.1.2021.13.15.1.1.3.1": "65|5", "1.3.6.1.4.1.2021.13.15.1.1.12.1": "70|5000000005",
		"1.3.6.1.4.1.2021.13.15.1.1.4.1": "65|6", "1.3.6.1.4.1.2021.13.15.1.1.5.1": "65|7", "1.3.6.1.4.1.2021.13.15.1.1.6.1": "65|8",
		"1.3.6.1.4.1.2021.13.15.1.1.2.2": "4|ram0", "1.3.6.1.4.1.2021.13.15.1.1.3.2": "65|0", "1.3.6.1.4.1.2021.13.15.1.1.4.2": "65|0",
	}.system(360_000)
}

func TestFilesOfHosts(t *testing.T) {
	t.Parallel()
	s := serveOne(t, hostObjectsOfTest())
	components := hostComponents(t, s)
	counting := &scripted{Session: s}
	target := Target{Components: components}
	const want = `hr_processes 211g
hr_users 3g
netstats-udp 100 104 U U
ucd_cpu 1 2 3 4
ucd_diskio-sda_1 5000000005 6 7 8
ucd_load 110g 90g 70g
ucd_ssCpuRawIdle 4
ucd_ssCpuRawNice 3
ucd_ssCpuRawSystem 2
ucd_ssCpuRawUser 1`
	if got := hostValues(Poll(t.Context(), counting, target)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, oids := range counting.gets {
		if slices.Contains(oids, "1.3.6.1.2.1.7.3.0") {
			t.Error("the poll asks for what the device lacks")
		}
	}
	// What cannot be is left out and counted.
	wrong := hostObjectsOfTest()
	wrong["1.3.6.1.2.1.25.1.6.0"], wrong["1.3.6.1.4.1.2021.10.1.5.2"], wrong["1.3.6.1.4.1.2021.11.53.0"] = "2|-211", "4|much", "2|-4"
	report := Poll(t.Context(), serveOne(t, wrong), target)
	got := hostValues(report)
	if report.Poll.Refused != 4 || strings.Contains(got, "hr_processes") || strings.Contains(got, "ucd_ssCpuRawIdle") ||
		!strings.Contains(got, "ucd_load 110g U 70g") || !strings.Contains(got, "ucd_cpu 1 2 3 U") {
		t.Errorf("%d refused:\n%s", report.Poll.Refused, got)
	}
	// After a restart counters begin anew, levels go on.
	target.Since = time.Now().Add(-time.Minute)
	target.Device = device.Device{ID: 1, PolledAt: time.Now().Add(-time.Minute), Facts: device.Facts{Uptime: time.Hour}}
	restarted := hostObjectsOfTest()
	restarted["1.3.6.1.2.1.1.3.0"] = "67|1000"
	got = hostValues(Poll(t.Context(), serveOne(t, restarted), target))
	if strings.Count(got, " break") != 7 || strings.Contains(got, "load 110g 90g 70g break") {
		t.Errorf("after a restart:\n%s", got)
	}
}

// What net-snmp's agent tells of this machine agrees with what the kernel says.
func TestFilesOfARealHost(t *testing.T) {
	t.Parallel()
	s, err := snmp.Dial(t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: snmpd(t), Timeout: 2 * time.Second, Retries: 10, Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New("public")},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	components := hostComponents(t, s)
	before := datagrams(t)
	values := hostValues(Poll(t.Context(), s, Target{Components: components, Retries: 10}))
	after := datagrams(t)
	for _, name := range []string{"hr_processes ", "hr_users ", "netstats-icmp ", "netstats-ip ", "netstats-snmp ", "netstats-tcp ", "netstats-udp ", "ucd_cpu ", "ucd_load ", "ucd_ssCpuRawUser "} {
		if !strings.Contains("\n"+values, "\n"+name) {
			t.Errorf("%sis not filed:\n%s", name, values)
		}
	}
	_, udp, _ := strings.Cut(values, "netstats-udp ")
	var in uint64
	if _, err := fmt.Sscan(udp, &in); err != nil || in < before && before-in > 1<<20 || in > after {
		t.Errorf("udpInDatagrams is %d, %v; the kernel counts %d to %d", in, err, before, after)
	}
}

// datagrams is udpInDatagrams as the kernel counts it (/proc/net/snmp).
func datagrams(t *testing.T) (n uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Udp: "); ok && !strings.Contains(rest, "InDatagrams") {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}
