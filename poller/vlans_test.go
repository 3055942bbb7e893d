package poller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pollux/device"
)

func vlanLines(d device.Discovery) string {
	var lines []string
	for _, v := range d.VLANs {
		lines = append(lines, fmt.Sprintf("%d %s %s", v.VLAN, v.Name, v.State))
	}
	for _, index := range slices.Sorted(maps.Keys(d.PortVLANs)) {
		lines = append(lines, fmt.Sprintf("port %d: %d", index, d.PortVLANs[index]))
	}
	return strings.Join(lines, "\n")
}

func TestVLANsOfABridge(t *testing.T) {
	t.Parallel()
	const static, current, base = "1.3.6.1.2.1.17.7.1.4.3.1.", "1.3.6.1.2.1.17.7.1.4.2.1.", "1.3.6.1.2.1.17.1.4.1.2."
	d := discover(t, mib{
		static + "1.1": "4|default", static + "5.1": "2|1", static + "1.10": "4x|4E65747A20FC07", static + "5.10": "2|2", static + "1.20": "4|no state",
		static + "1.0": "4|none", static + "1.4095": "4|none", static + "1.70000": "4|of the agent's own", static + "1.5.5": "4|none",
		current + "3.0.1": "66|1", current + "6.0.1": "2|2", current + "3.900.30": "66|3", current + "6.900.30": "2|3", current + "3.0.20": "66|4",
		"1.3.6.1.2.1.17.7.1.4.5.1.1.1": "66|10", base + "1": "2|101", "1.3.6.1.2.1.17.7.1.4.5.1.1.2": "65|20", base + "2": "2|102",
		"1.3.6.1.2.1.17.7.1.4.5.1.1.3": "66|0", base + "3": "2|103", "1.3.6.1.2.1.17.7.1.4.5.1.1.4": "66|10", // its port has no ifIndex
		"1.3.6.1.2.1.17.7.1.4.5.1.1.5": "2|-7", base + "5": "2|105",
	}, Target{})
	whole(t, d, everything()...)
	lines(t, "vlans", vlanLines(d), `
1 default active
10 Netz ü suspended
20 no state active
30  dynamic
port 101: 10
port 102: 20`)
}

func TestVLANsOfCisco(t *testing.T) {
	t.Parallel()
	const vtp = "1.3.6.1.4.1.9.9.46.1.3.1.1."
	d := discover(t, mib{
		vtp + "2.1.1": "2|1", vtp + "3.1.1": "2|1", vtp + "4.1.1": "4|default", vtp + "2.1.15": "2|2", vtp + "3.1.15": "2|1", vtp + "4.1.15": "4|clients",
		vtp + "2.1.16": "2|3", vtp + "4.1.16": "4|jumbo", vtp + "2.1.1002": "2|1", vtp + "3.1.1002": "2|2", vtp + "4.1.1002": "4|fddi-default",
		"1.3.6.1.4.1.9.9.68.1.2.2.1.2.10101": "2|15", "1.3.6.1.4.1.9.9.68.1.2.2.1.2.10102": "2|4095",
	}, Target{})
	lines(t, "vlans", vlanLines(d), `
1 default active
15 clients suspended
16 jumbo mtuTooBigForDevice
port 10101: 15`)
}
