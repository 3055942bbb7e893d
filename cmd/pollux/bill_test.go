package main

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"time"

	"pollux/billing"
	"pollux/device"
)

// billed is a site with a device of two ports, and their ids.
func billed(t testing.TB) (s *site, ports []int64) {
	t.Helper()
	s = migrated(t)
	s.ok("device", "add", "sw1", "-f")
	inventory := s.inventory()
	d, err := inventory.DeviceByHostname(t.Context(), "sw1")
	if err != nil {
		t.Fatal(err)
	}
	poll := device.Poll{DeviceID: d.ID, Slot: 1, At: time.Now(), Outcome: device.OutcomeUp, PortsComplete: true}
	for i, name := range []string{"ge-0/0/1", "eth0:1"} {
		poll.Ports = append(poll.Ports, device.PortReading{State: device.PortState{IfIndex: int64(i + 1), IfName: name, IfSpeed: 1e9}})
	}
	if err := inventory.SavePoll(t.Context(), poll); err != nil {
		t.Fatal(err)
	}
	found, err := inventory.Ports(t.Context(), d.ID)
	if err != nil || len(found) != 2 {
		t.Fatal(len(found), err)
	}
	return s, []int64{found[0].ID, found[1].ID}
}

// carried lets a port of every bill carry in x 1000 bytes in each of an hour's slots but the fourth, and out 500.
func (s *site) carried(port int64) {
	s.t.Helper()
	s.execute("UPDATE bill_ports SET from_slot = from_slot - 86400, done_slot = done_slot - 86400")
	first := time.Now().Unix()/300*300 - 3900
	for n := range int64(12) {
		slot := first + 300*n
		if n == 4 {
			continue
		}
		r := billing.Reading{
			Port: port, Slot: slot, Interval: 300, Read: time.Unix(slot+7, 0), Uptime: uint32(1_000_000 + 30_000*n), In: uint64(300_000 * n), Out: uint64(150_000 * n),
			Bits: 64, Index: 1, Speed: 1e9,
		}
		if samples, err := s.inventory().Collect(s.t.Context(), []billing.Reading{r}, r.Read); err != nil || len(samples) != 1 {
			s.t.Fatal(samples, err)
		}
	}
}

func TestBillCommands(t *testing.T) {
	t.Parallel()
	s, ports := billed(t)
	day := fmt.Sprint(time.Now().UTC().AddDate(0, 0, -3).Day())
	added := decode[object](s.call("bill", "add", "Example Ltd", "--allowed", "5k", "--port", "sw1/ge-0/0/1", "--day", day, "--customer", "=cmd()", "--json"))
	checkNames(t, added)
	if added["type"] != "cdr" || added["allowed"] != 5000.0 || added["direction"] != "max" || added["version"] != 1.0 || added["time_zone"] != "UTC" || added["calculated_at"] != nil {
		t.Errorf("added %v", added)
	}
	if out := s.ok("bill", "add", "Archive", "--type", "quota", "--allowed", "2TiB", "--direction", "aggregate", "--port", fmt.Sprint(ports[0]), "--port", "sw1/eth0:1"); out != "added bill 2 (Archive) with 2 ports\n" {
		t.Errorf("%q", out)
	}
	s.carried(ports[0])
	if out := s.ok("bill", "recalculate", "Example Ltd"); !strings.Contains(out, "overuse") || !strings.Contains(out, "3 kbit/s") {
		t.Errorf("recalculate says:\n%s", out)
	}
	shown := decode[object](s.call("bill", "show", "1", "--json"))
	checkNames(t, shown)
	period, _ := shown["period"].(object)
	for name, want := range map[string]any{
		"in_bytes": 3_300_000.0, "out_bytes": 1_650_000.0, "rate_95th_in": 8000.0, "rate_95th_out": 4000.0, "rate_95th": 8000.0, "peak": 8000.0, "used": 8000.0, "overuse": 3000.0,
		"percent": 160.0, "predicted": 8000.0, "samples": 11.0, "samples_inexact": 1.0, "samples_implausible": 0.0, "closed": false, "percentile_method": "nearest",
	} {
		if period[name] != want {
			t.Errorf("%s is %v, want %v", name, period[name], want)
		}
	}
	if out := s.ok("bill", "show", "Example Ltd"); !strings.Contains(out, "cdr of 5 kbit/s, max; periods begin on day "+day+", UTC") {
		t.Errorf("show says:\n%s", out)
	}
	if again := decode[object](s.call("bill", "recalculate", "1", "--anew", "--json")); again["checksum"] != period["checksum"] || again["in_bytes"] != 3_300_000.0 {
		t.Errorf("anew: %v, want %v", again, period)
	}
	if items := decode[list](s.call("bill", "list", "--type", "cdr", "--json")).Items; len(items) != 1 || items[0]["name"] != "Example Ltd" {
		t.Errorf("listed %v", items)
	}
	if out := s.ok("bill", "list"); !strings.Contains(out, "8 kbit/s") || !strings.Contains(out, "2.199 TB") {
		t.Errorf("list says:\n%s", out)
	}
	if out := s.ok("bill", "history", "1", "--verify"); !strings.Contains(out, "equal") {
		t.Errorf("verify says:\n%s", out)
	}
	s.execute("UPDATE bill_samples SET in_bytes = in_bytes + 1 WHERE slots = 2")
	if r := s.call("bill", "history", "1", "--verify"); r.code != exitFailure || !strings.Contains(r.out, "DIFFERS") {
		t.Errorf("verify says %d:\n%s%s", r.code, r.out, r.errout)
	}
	checkNames(t, decode[object](s.call("bill", "history", "1", "--json")))
}

func TestBillSamplesAndExports(t *testing.T) {
	t.Parallel()
	s, ports := billed(t)
	day := fmt.Sprint(time.Now().UTC().AddDate(0, 0, -3).Day())
	s.ok("bill", "add", "Example Ltd", "--port", fmt.Sprint(ports[0]), "--day", day, "--customer", "=cmd()")
	s.carried(ports[0])
	s.ok("bill", "recalculate", "1")
	gaps := decode[list](s.call("bill", "samples", "1", "--gaps", "--json")).Items
	if len(gaps) != 1 || gaps[0]["slots"] != 2.0 || gaps[0]["in_bytes"] != 600_000.0 || gaps[0]["rate_in"] != 8000.0 || gaps[0]["flags"] != "spread" || gaps[0]["exact"] != true {
		t.Errorf("gaps: %v", gaps)
	}
	for flags, want := range map[string]int{"": 11, "--flagged": 2, "--limit=11": 11, "--port=999": 0} {
		args := []string{"bill", "samples", "1", "--json"}
		if flags != "" {
			args = append(args, flags)
		}
		if items := decode[list](s.call(args...)).Items; len(items) != want {
			t.Errorf("%s: %d samples, want %d", flags, len(items), want)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(s.ok("bill", "export", "1", "--samples"))).ReadAll()
	if err != nil || len(rows) != 12 || rows[0][0] != "port_id" || rows[1][10] != "first" || rows[2][6] != "300000" {
		t.Errorf("%v, %v", rows, err)
	}
	if items := decode[list](s.call("bill", "export", "1", "--samples", "--format", "json")).Items; len(items) != 11 {
		t.Errorf("%d samples", len(items))
	}
	if items := decode[list](s.call("bill", "export", "1", "--samples", "--port", "999", "--format", "json")).Items; len(items) != 0 {
		t.Errorf("%d samples", len(items))
	}
	rows, err = csv.NewReader(strings.NewReader(s.ok("bill", "export", "1"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[0][3] != "customer" || rows[1][3] != "'=cmd()" || rows[1][11] != "3300000" || rows[1][15] != "8000" {
		t.Errorf("%v, %v", rows, err)
	}
	if items := decode[list](s.call("bill", "export", "1", "--format", "json")).Items; len(items) != 1 || items[0]["in_bytes"] != 3_300_000.0 {
		t.Errorf("%v", items)
	}
	s.call("bill", "samples", "1", "--period", "1999-01-01").fails(exitNotFound, "1999-01-01")
	s.call("bill", "samples", "1", "--period", "soon").fails(exitUsage, "2026-03-31")
	s.call("bill", "samples", "1", "--limit", "0").fails(exitUsage, "--limit")
	s.call("bill", "samples", "1", "--port", "-1").fails(exitUsage, "--port")
	s.call("bill", "export", "1", "--samples", "--port", "-1").fails(exitUsage, "--port")
	s.call("bill", "list", "--limit", "-1").fails(exitUsage, "--limit")
	s.call("bill", "list", "--after", "-1").fails(exitUsage, "--after")
	if r := s.call("bill", "samples", "1", "--limit", "3"); r.code != 0 || strings.Count(r.out, "\n") != 4 || !strings.Contains(r.errout, "the first 3 samples, and there are more") {
		t.Errorf("%d: %s", r.code, r.errout)
	}
	if r := s.call("bill", "samples", "1", "--limit", "11"); r.code != 0 || r.errout != "" {
		t.Errorf("%d: %s", r.code, r.errout)
	}
	s.call("bill", "export", "1", "--format", "pdf").fails(exitUsage, "csv or json")
}

// TestBillsByHand closes no period by hand, and changes nothing by a clock that is wrong.
func TestBillsByHand(t *testing.T) {
	t.Parallel()
	s, ports := billed(t)
	s.ok("bill", "add", "Example Ltd", "--port", fmt.Sprint(ports[0]))
	s.execute(fmt.Sprintf("UPDATE bill_history SET period_to = %d", time.Now().Add(-24*time.Hour).Unix()))
	s.ok("bill", "recalculate", "1")
	s.ok("bill", "recalculate", "1", "--anew")
	if items := decode[list](s.call("bill", "history", "1", "--json")).Items; len(items) != 1 || items[0]["closed"] != false {
		t.Errorf("%v", items)
	}
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for off, says := range map[time.Duration]string{
		0: "", 5 * time.Second: "", -5 * time.Second: "", 6 * time.Second: "6s ahead of", -time.Hour: "1h0m0s behind",
	} {
		here := now.Add(off)
		if err := checkSkew(here, now, here.Add(200*time.Millisecond)); (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "NTP")) {
			t.Errorf("%v: %v", off, err)
		}
	}
	// A slow answer says nothing about the clocks.
	if err := checkSkew(now.Add(-20*time.Second), now, now.Add(time.Second)); err != nil {
		t.Error(err)
	}
}

// TestBillsOfOddPeriods has a period that began at 1:00, one that waits to be closed by terms of its own, and a zone that is not known.
func TestBillsOfOddPeriods(t *testing.T) {
	t.Parallel()
	s, ports := billed(t)
	s.ok("bill", "add", "Example Ltd", "--port", fmt.Sprint(ports[0]), "--allowed", "1k", "--day", fmt.Sprint(time.Now().UTC().AddDate(0, 0, -3).Day()), "--time-zone", "America/Sao_Paulo", "--ref", " =cmd()", "--customer", "＝cmd()")
	if rows, err := csv.NewReader(strings.NewReader(s.ok("bill", "export", "1"))).ReadAll(); err != nil || rows[1][2] != "' =cmd()" || rows[1][3] != "'＝cmd()" {
		t.Errorf("%v, %v", rows, err)
	}
	s.carried(ports[0])
	// A sample that came after the calculation is in no figure yet, and listed with none.
	s.ok("bill", "recalculate", "1")
	s.execute("UPDATE bill_history SET calculated_to = (SELECT MAX(slot) FROM bill_samples)")
	if items := decode[list](s.call("bill", "samples", "1", "--json")).Items; len(items) != 10 {
		t.Errorf("%d samples, want 10", len(items))
	}
	// On 4 November 2018 the clocks there went from 0:00 to 1:00.
	began := time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC).Unix()
	s.execute(fmt.Sprintf("UPDATE bill_history SET period_from = %d, period_to = %d, calculated_to = %d, closed = 1", began-28*86400, began, began),
		"UPDATE bill_ports SET from_slot = 1", fmt.Sprintf("UPDATE bill_samples SET slot = %d WHERE slots = 2", began))
	s.execute(fmt.Sprintf("INSERT INTO bill_history SELECT 1, %d, %d, 0, calculated_at, %d, bill_type, 2000, direction, method, in_bytes, out_bytes, rate_95th_in, rate_95th_out, rate_95th, "+
		"average_in, average_out, peak_in, peak_out, peak, used, overuse, predicted, measured_seconds, got, got_seconds, expected, inexact, implausible, late, checksum, warned FROM bill_history",
		began, began+31*86400, began+86400))
	if items := decode[list](s.call("bill", "samples", "1", "--period", "2018-11-04", "--json")).Items; len(items) != 1 || items[0]["slots"] != 2.0 {
		t.Errorf("%v", items)
	}
	// What is shown beside the figures are the terms that they were made by.
	if out := s.ok("bill", "list"); !strings.Contains(out, "2 kbit/s") {
		t.Errorf("list says:\n%s", out)
	}
	if out := s.ok("bill", "show", "1"); !strings.Contains(out, "% of 2 kbit/s") || !strings.Contains(out, "2018-11-04 01:00 -02") {
		t.Errorf("show says:\n%s", out)
	}
	s.execute("UPDATE bills SET time_zone = 'Mars/Base'")
	if r := s.call("bill", "show", "1"); r.code != exitOK || !strings.Contains(r.errout, "UTC") || !strings.Contains(r.errout, "pollux bill set 1 --time-zone") || !strings.Contains(r.out, "2018-11-04 03:00 UTC") {
		t.Errorf("%d: %s%s", r.code, r.out, r.errout)
	}
}

func TestBillChanges(t *testing.T) {
	t.Parallel()
	s, ports := billed(t)
	s.ok("bill", "add", "Example Ltd", "--allowed", "1G", "--port", fmt.Sprint(ports[0]))
	if out := s.ok("bill", "set", "Example Ltd", "--version", "1", "--name", "Süd GmbH", "--allowed", "2G", "--day", "31", "--time-zone", "Asia/Kathmandu"); out != "changed bill 1 (Süd GmbH), version 2\n" {
		t.Errorf("%q", out)
	}
	before := dump(t, s.database())
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitFailure, "version 2", []string{"set", "1", "--version", "1", "--notes", "mine"}},
		{exitUsage, "day 0", []string{"set", "1", "--day", "0"}},
		{exitUsage, "day 32", []string{"add", "x", "--day", "32"}},
		{exitUsage, "-5", []string{"add", "x", "--allowed", "-5"}},
		{exitUsage, "at most", []string{"add", "x", "--allowed", "1P"}},
		{exitUsage, "bit/s", []string{"add", "x", "--allowed", "5TB"}},
		{exitUsage, "give --allowed", []string{"set", "1", "--type", "quota"}},
		{exitUsage, "Europe/Berlin", []string{"add", "x", "--time-zone", "Mars"}},
		{exitUsage, "direction", []string{"add", "x", "--direction", "up"}},
		{exitUsage, "say what to change", []string{"set", "1"}},
		{exitUsage, "would be taken for the id", []string{"add", "12"}},
		{exitFailure, "there is one already", []string{"add", "Süd GmbH"}},
		{exitNotFound, "port 999", []string{"add", "x", "--port", fmt.Sprint(ports[1]), "--port", "999"}},
		{exitNotFound, "has no port", []string{"add", "x", "--port", "sw1/ge-9/9/9"}},
		{exitNotFound, "no device", []string{"add", "x", "--port", "sw9/ge-0/0/1"}},
		{exitUsage, "HOST/IFNAME", []string{"add", "x", "--port", "sw1"}},
		{exitFailure, "there is one already", []string{"ports", "1", "--add", fmt.Sprint(ports[0])}},
		{exitNotFound, "not all of the ports", []string{"ports", "1", "--remove", fmt.Sprint(ports[1])}},
		{exitNotFound, "pollux bill list", []string{"show", "nobody"}},
		{exitNotFound, "pollux bill list", []string{"remove", "7", "--yes"}},
		{exitUsage, "--yes", []string{"remove", "1"}},
		{exitUsage, "cdr or quota", []string{"list", "--type", "flat"}},
		{exitNotFound, "port 999", []string{"ports", "1", "--remove", fmt.Sprint(ports[0]), "--add", "999"}},
		{exitUsage, "--samples", []string{"export", "1", "--period", "2026-03-31"}},
		{exitUsage, "--samples", []string{"export", "1", "--limit", "3"}},
	} {
		s.call(append([]string{"bill"}, c.args...)...).fails(c.code, c.says)
	}
	s.unchanged(before)
	members := decode[list](s.call("bill", "ports", "1", "--remove", "sw1/ge-0/0/1", "--add", "sw1/eth0:1", "--json")).Items
	for _, m := range members {
		if checkNames(t, m); (m["until"] == nil) != (m["port_id"] == float64(ports[1])) || m["device"] != "sw1" || m["present"] != true {
			t.Errorf("%v", m)
		}
	}
	if out := s.ok("bill", "remove", "Süd GmbH", "--yes"); out != "removed bill 1 (Süd GmbH)\n" {
		t.Errorf("%q", out)
	}
	if out := s.ok("event", "list", "--type", "bill"); !strings.Contains(out, "removed bill 1 (Süd GmbH)") || !strings.Contains(out, "changed bill 1") {
		t.Errorf("events:\n%s", out)
	}
}
