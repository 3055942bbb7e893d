package definitions

import (
	"fmt"
	"testing"

	"pollux/snmp"
)

func TestWhichOSWins(t *testing.T) {
	t.Parallel()
	definition := func(name, rest string) (string, string) {
		return "os/" + name + ".yaml", fmt.Sprintf("os: %s\ntext: %s\n%s", name, name, rest)
	}
	files := map[string]string{}
	for name, rest := range map[string]string{
		"zz-short":  "detect:\n  - sysObjectID: 1.3.6.1.4.1.99999\n",
		"zz-long":   "detect:\n  - sysObjectID: 1.3.6.1.4.1.99999.7\n",
		"zz-text":   "detect:\n  - sysObjectID: 1.3.6.1.4.1.99999.7\n    sysDescr: Special\n",
		"zz-except": "detect:\n  - sysObjectID: 1.3.6.1.4.1.99999.7.1\n    except: {sysDescr: Special}\n",
		"zz-probe":  "detect:\n  - sysDescr: Appliance\n    get: [{oid: 1.3.6.1.4.1.99998.1.0, contains: [Box]}]\n",
		"zz-last":   "fallback: true\ndetect:\n  - sysDescr: Appliance\n",
	} {
		file, text := definition(name, rest)
		files[file] = text
	}
	set, problems := load(t, files)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	asked := 0
	for _, c := range []struct {
		object, descr, probe, want string
	}{
		{"1.3.6.1.4.1.99999.1", "", "", "zz-short"},
		{"1.3.6.1.4.1.99999.70", "", "", "zz-short"}, // whole arcs only
		{"1.3.6.1.4.1.99999.7", "Special", "", "zz-text"},
		{"1.3.6.1.4.1.99999.7.1", "", "", "zz-except"},
		{"1.3.6.1.4.1.99999.7.1", "Special", "", "zz-text"},
		{"1.3.6.1.4.1.1", "Appliance", "a Box", "zz-probe"},
		{"1.3.6.1.4.1.1", "Appliance", "a Bag", "zz-last"},
		{"1.3.6.1.4.1.1", "Appliance", "", "zz-last"},
		{"1.3.6.1.4.1.1", "unheard of", "", ""},
		{"", "", "", ""},
	} {
		before := asked
		found := set.Detect(snmp.OID(c.object), c.descr, func(oids []snmp.OID) map[snmp.OID]string {
			asked++
			if c.probe == "" || len(oids) != 1 {
				return nil
			}
			return map[snmp.OID]string{oids[0]: c.probe}
		})
		name := ""
		if found != nil {
			name = found.OS
		}
		if name != c.want {
			t.Errorf("%+v: got %q", c, name)
		}
		if c.descr != "Appliance" && asked != before {
			t.Errorf("%+v: was asked further", c)
		}
	}
}
