package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pollux/simulator"
)

// csvReport is what device add --csv --json prints, read without the program's own type.
type csvReport struct {
	Lines   int      `json:"lines"`
	Added   int      `json:"added"`
	Refused int      `json:"refused"`
	DryRun  bool     `json:"dry_run"`
	Items   []object `json:"items"`
}

func (r result) report() (report csvReport) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		r.t.Fatalf("%s: %v:\n%s%s", r.line, err, r.out, r.errout)
	}
	for _, item := range report.Items {
		checkNames(r.t, item)
	}
	return report
}

// A file of every kind of line: each is told, in its order, and the good ones are there.
func TestDeviceAddFromAFile(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{Listen: "127.81.0.0/24:0", Devices: 8})
	s := migrated(t, "COMMUNITY="+canaryCommunity)
	s.ok("config", "set", "service_poller_frequency", "60")
	s.ok("credential", "add", "core", "-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv)
	s.ok("device", "add", "there", "--address", "127.81.0.8", "-r", port, "-2", "-c", canaryCommunity)
	file := s.write("devices.csv", strings.ReplaceAll("\ufeffhostname,Address,port,version,community,user,auth-password,priv_password,credential,interval,ping_only,force\r\n"+
		"sw1,127.81.0.1,PORT,,,,,,,,,\r\n"+ // with what the command line gives
		"sw2,127.81.0.2,PORT,v3,,monitor,"+canaryAuth+","+canaryPriv+",,30,,\n"+
		"sw3,127.81.0.3,PORT,,,,,,core,,,\n"+
		"\n"+ // an empty line is none
		"sw4,127.81.0.4,PORT,v2c,CANARY-wrong,,,,,,,\n"+
		"sw1,127.81.0.5,PORT,,,,,,,,,\n"+
		"there,127.81.0.5,PORT,,,,,,,,,\n"+
		"sw5,127.81.0.1,PORT,,,,,,,,,\n"+
		"a/b,127.81.0.5,PORT,,,,,,,,,\n"+
		"sw6,127.81.0.6,PORT\n"+
		",127.81.0.6,PORT,,,,,,,,,\n"+
		"sw7,127.81.0.6,snmp,,,,,,,,,\n"+
		"sw8,127.81.0.6,PORT,v4,,,,,,,,\n"+
		"sw9,127.81.0.6,PORT,v2c,env:COMMUNITY,,,,,,,\n"+
		"sw10,127.81.0.6,PORT,,,,,,,5,,\n"+
		"sw11,127.81.0.6,PORT,,,,,,nobody,,,\n"+
		"sw12,127.81.0.6,9,,,,,,,,,true\n"+
		"\"sw13\",\"127.81.0.7\",PORT,,,,,,,,false,\n", "PORT", port))
	want := []struct {
		line  float64
		name  string
		error string // "" for one that is added
	}{
		{2, "sw1", ""}, {3, "sw2", ""}, {4, "sw3", ""}, {6, "sw4", "no answer from 127.81.0.4"}, {7, "sw1", "line 2 has the same hostname"}, {8, "there", "there is one already"},
		{9, "sw5", "the address 127.81.0.1, port " + port + " is that of sw1"}, {10, "a/b", "letters, digits"}, {11, "sw6", "it has 3 fields, the first line has 12"},
		{12, "", "no hostname"}, {13, "sw7", "port"}, {14, "sw8", "v1, v2c or v3"}, {15, "sw9", "no answer"}, {16, "sw10", "10 to 3600"}, {17, "sw11", "no credential set"},
		{18, "sw12", ""}, {19, "sw13", ""},
	}
	check := func(r result, dryRun bool) {
		t.Helper()
		r.fails(exitFailure, "12 of 17 lines were refused")
		report := r.report()
		if report.Lines != 17 || report.Added != 5 || report.Refused != 12 || report.DryRun != dryRun || len(report.Items) != len(want) {
			t.Fatalf("%+v", report)
		}
		for i, w := range want {
			item := report.Items[i]
			text, _ := item["error"].(string)
			if item["line"] != w.line || item["hostname"] != w.name || item["added"] != (w.error == "") || !strings.Contains(text, w.error) || (text == "") != (w.error == "") {
				t.Errorf("line %v: %v, want %+v", w.line, item, w)
			}
		}
		if report.Items[0]["ports"] != 3.0 || report.Items[2]["credential_set"] != "core" {
			t.Errorf("%v, %v", report.Items[0], report.Items[2])
		}
	}
	before := dump(t, s.database())
	check(s.call("device", "add", "--csv", file, "-2", "-c", "env:COMMUNITY", "--dry-run", "--json"), true)
	s.unchanged(before)
	check(s.call("device", "add", "--csv", file, "-2", "-c", "env:COMMUNITY", "--json"), false)
	var names []string
	for _, item := range decode[list](s.call("device", "list", "--json")).Items {
		names = append(names, fmt.Sprintf("%v %v %v %v", item["hostname"], item["snmp_version"], item["interval"], item["status"]))
	}
	if got := []string{"there v2c 60 up", "sw1 v2c 60 up", "sw2 v3 30 up", "sw3 v3 60 up", "sw12 v2c 60 new", "sw13 v2c 60 up"}; !slices.Equal(names, got) {
		t.Errorf("devices %q, want %q", names, got)
	}
	if s.credentials("sw1").Credentials.Community.Reveal() != canaryCommunity {
		t.Error("the community of the command line was not taken")
	}
}

func TestDeviceAddFromTheInput(t *testing.T) {
	t.Parallel()
	port := agents(t, simulator.Config{Listen: "127.82.0.0/24:0", Devices: 3})
	s := migrated(t)
	text := strings.ReplaceAll("hostname,address,community\nsw1,127.82.0.1,"+canaryCommunity+"\nsw2,127.82.0.2,"+canaryCommunity+"\n", "PORT", port)
	if out := s.callWith(text, "device", "add", "--csv", "-", "-r", port, "--dry-run").works(); out != "line 2: sw1: would be added, 3 ports\nline 3: sw2: would be added, 3 ports\n2 lines: 2 would be added, 0 refused\n" {
		t.Errorf("it says %q", out)
	}
	if out := s.callWith(text, "device", "add", "--csv", "-", "-r", port).works(); out != "line 2: sw1: added as device 1, 3 ports\nline 3: sw2: added as device 2, 3 ports\n2 lines: 2 added, 0 refused\n" {
		t.Errorf("it says %q", out)
	}
	r := s.callWith("hostname,ping_only,interval\nsw3,yes,\nsw4,,often\n", "device", "add", "--csv", "-", "-r", port)
	r.fails(exitFailure, "2 of 2 lines were refused")
	for _, says := range []string{`sw3: refused: the column ping_only takes true or false, not "yes"`, `sw4: refused: the column interval takes a whole number, not "often"`} {
		if !strings.Contains(r.out, says) {
			t.Errorf("it does not say %q:\n%s", says, r.out)
		}
	}
	r = s.callWith(text, "device", "add", "--csv", "-", "-r", port)
	r.fails(exitFailure, "2 of 2 lines were refused")
	if !strings.HasPrefix(r.out, "line 2: sw1: refused: ") || !strings.HasSuffix(r.out, "2 lines: 0 added, 2 refused\n") {
		t.Errorf("it says %q", r.out)
	}
}

// A file that cannot be meant is refused as a whole, before anything is asked.
func TestBadFileChangesNothing(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	before := dump(t, s.database())
	file := s.write("devices.csv", "hostname\nsw1\n")
	for _, m := range []mistake{
		{name: "empty", in: "", code: exitUsage, says: []string{"empty", "columns: address,"}},
		{name: "no device", in: "hostname,address\n", code: exitUsage, says: []string{"names no device"}},
		{name: "no hostname", in: "name,address\nsw1,127.0.0.1\n", code: exitUsage, says: []string{`column "name"`, "hostname"}},
		{name: "no column hostname", in: "address\n127.0.0.1\n", code: exitUsage, says: []string{"no column hostname"}},
		{name: "a column twice", in: "hostname,auth_password,auth-password\nsw1,,\n", code: exitUsage, says: []string{"auth_password twice"}},
		{name: "an open quote", in: "hostname,community\nsw1,\"CANARY\nsw2,x\n", code: exitUsage, says: []string{"malformed"}},
		{name: "a bare quote", in: "hostname,community\nsw1,x\nsw2,CAN\"ARY\"\n", code: exitUsage, says: []string{"line 3", "malformed"}},
		{name: "a picture", in: "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", code: exitUsage, says: []string{"columns"}},
		{name: "too long", in: "hostname\n" + strings.Repeat("x", maxFile), code: exitUsage, says: []string{"longer than 8 MiB"}},
		{name: "too many", in: "hostname\n" + strings.Repeat("x\n", maxLines+1), code: exitUsage, says: []string{"more than 10000 devices"}},
	} {
		r := s.callWith(m.in, "device", "add", "--csv", "-", "-f")
		r.fails(m.code, m.says...)
		if r.out != "" {
			t.Errorf("%s: %s", m.name, r.out)
		}
	}
	for _, m := range []mistake{
		{args: []string{"--csv", file, "sw1"}, code: exitUsage, says: []string{"not both"}},
		{args: []string{"--csv", ""}, code: exitUsage, says: []string{"names a file"}},
		{args: []string{"--csv", "/nowhere/devices.csv"}, code: exitUsage, says: []string{"/nowhere/devices.csv", "no such file"}},
		{args: []string{"--csv", s.dir}, code: exitFailure, says: []string{"directory"}},
		{args: []string{"--csv", "-", "-c", "-"}, code: exitUsage, says: []string{"both the file and a secret"}},
		{args: []string{"--csv", file, "--address", "127.0.0.1"}, code: exitUsage, says: []string{"column address"}},
		{args: []string{"--csv", file, "-c", "env:NO_SUCH_NAME"}, code: exitUsage, says: []string{"NO_SUCH_NAME"}},
		{args: []string{"sw1", "--dry-run"}, code: exitUsage, says: []string{"belongs to --csv"}},
		{args: []string{}, code: exitUsage, says: []string{"--csv FILE"}},
	} {
		s.call(append([]string{"device", "add"}, m.args...)...).fails(m.code, m.says...)
	}
	s.unchanged(before)
}
