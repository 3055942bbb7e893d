package poller

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/secret"
	"pollux/snmp"
)

// snmpd starts net-snmp's agent on a free port of 127.0.0.1 and returns the port.
func snmpd(t *testing.T) uint16 {
	t.Helper()
	return snmpdWith(t, "")
}

// snmpdWith adds lines to its configuration, and variables to its environment.
func snmpdWith(t *testing.T, lines string, environ ...string) uint16 {
	t.Helper()
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "snmpd.conf")
	text := "rocommunity public 127.0.0.1\ncreateUser monitor SHA-256 \"auth-password\" AES \"priv-password\"\nrouser monitor priv\nsysName real-agent\nsysLocation here\n" + lines
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("snmpd", "-f", "-Ln", "-C", "-c", conf, "udp:127.0.0.1:"+strconv.Itoa(int(port)))
	cmd.Env = append(append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS="), environ...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("snmpd ended by itself")
		}
	})
	return port
}

// A poll of net-snmp's agent agrees with what the kernel says of its interfaces.
func TestAgainstSnmpd(t *testing.T) {
	t.Parallel()
	for name, credentials := range map[string]snmp.Credentials{
		"v2c": {Version: snmp.V2c, Community: secret.New("public")},
		"v3 authPriv": {
			Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New("auth-password"), PrivProtocol: "AES", PrivPassword: secret.New("priv-password"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pollSnmpd(t, credentials)
		})
	}
}

func pollSnmpd(t *testing.T, credentials snmp.Credentials) {
	started := time.Now()
	s, err := snmp.Dial(t.Context(), snmp.Target{
		Host: "127.0.0.1", Port: snmpd(t), Timeout: 200 * time.Millisecond, Retries: 50, Credentials: credentials,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := Poll(t.Context(), s, Target{Timeout: 200 * time.Millisecond, Retries: 50}) // snmpd takes a while to start
	if first.Poll.Outcome != device.OutcomeUp || first.Poll.Facts.SysName != "real-agent" || first.Poll.Facts.SysLocation != "here" {
		t.Fatalf("outcome %s %s, facts %+v", first.Poll.Outcome, first.Poll.Reason, first.Poll.Facts)
	}
	if up := first.Measurements[0]; up.Kind != measurement.KindUptime || !within(up.Values[0], 0, time.Since(started).Seconds()) {
		t.Errorf("the agent, started %v ago, is up for %+v", time.Since(started), up)
	}
	var got, want []string
	for _, p := range first.Poll.Ports {
		got = append(got, fmt.Sprint(p.State.IfIndex, " ", p.State.IfName, " ", p.State.IfMTU, " ", p.State.IfPhysAddress))
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		want = append(want, fmt.Sprintf("%d %s %d %x", i.Index, i.Name, i.MTU, []byte(i.HardwareAddr)))
	}
	slices.Sort(got)
	slices.Sort(want)
	for i, line := range want {
		if mac := "000000000000"; len(line) > len(mac) && line[len(line)-len(mac):] == mac {
			want[i] = line[:len(line)-len(mac)]
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("snmpd says\n%q\nthe kernel\n%q", got, want)
	}

	second := Poll(t.Context(), s, polled(first, device.OutcomeUp))
	measured := portMeasurements(second)
	if second.Poll.Outcome != device.OutcomeUp || len(measured) != len(interfaces) {
		t.Errorf("outcome %s %s, %d of %d ports measured", second.Poll.Outcome, second.Poll.Reason, len(measured), len(interfaces))
	}
	for i, p := range second.Poll.Ports {
		if p.InOctets < first.Poll.Ports[i].InOctets || measured[p.PortID].Values[0].IsUnknown() {
			t.Errorf("octets of %s went from %d to %d", p.State.IfName, first.Poll.Ports[i].InOctets, p.InOctets)
		}
	}
}

// within says whether a value is a gauge between two numbers.
func within(v measurement.Value, low, high float64) bool {
	n, ok := v.AsGauge()
	return ok && n >= low && n <= high
}
