package poller

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"pollux/billing"
	"pollux/device"
	"pollux/snmp"
)

// A billed port that stands beside the IF-MIB is read by its row, or is missing and says why: never from
// the port of the IF-MIB that has its number or its name, nor from another routing instance.
func TestBilledPortsBesideTheIFMIB(t *testing.T) {
	t.Parallel()
	objects := router().row(3, ethernet("ce2")).row(9, ethernet("ce9"))
	narrowed := router().row(1, with(ethernet("system"), "10", "65|1", "16", "65|2", "x19", "67|0"))
	ce2 := billing.Port{ID: 1, Index: 3, Name: "ce2", Row: "vrtr:2.3", Last: 600, Bits: 64}
	others := []billing.Port{{ID: 2, Index: 1, Name: "system"}, {ID: 3, Index: 1280, Name: "management", Row: "vrtr:4095.1280"}}
	for name, c := range map[string]struct {
		port    billing.Port
		objects mib
		version snmp.Version
		os      string
		miss    BillMiss
		says    string // the reason
		lasting bool   // until somebody changes something
		others  int    // that are read all the same
	}{
		"its row":                       {port: ce2, objects: objects, others: 2},
		"its row, over v1":              {port: ce2, objects: narrowed, version: snmp.V1, miss: BillRefused, says: "use v2c or v3", lasting: true, others: 1},
		"another number":                {port: billing.Port{ID: 1, Index: 1<<32 + 5, Name: "ce2", Row: "vrtr:2.3"}, objects: objects, others: 2},
		"another name in its row":       {port: billing.Port{ID: 1, Index: 9, Name: "ce9", Row: "vrtr:2.3"}, objects: objects, miss: BillGone, says: "next poll", others: 2},
		"no such row":                   {port: billing.Port{ID: 1, Index: 3, Name: "ce2", Row: "vrtr:8.3"}, objects: objects, miss: BillGone, says: "next poll", others: 2},
		"no name":                       {port: billing.Port{ID: 1, Index: 3, Row: "vrtr:2.3"}, objects: objects, miss: BillGone, others: 2},
		"a row that is none":            {port: billing.Port{ID: 1, Index: 3, Name: "ce2", Row: "vrtr:x.3"}, objects: objects, miss: BillGone, others: 2},
		"a table that is not defined":   {port: billing.Port{ID: 1, Index: 3, Name: "ce2", Row: "other:2.3"}, objects: objects, miss: BillRefused, says: `no table "other"`, lasting: true, others: 2},
		"an OS without tables of ports": {port: ce2, objects: objects, os: "ios", miss: BillRefused, says: `no table "vrtr"`, lasting: true, others: 1},
		"32-bit octets":                 {port: ce2, objects: router().vrtrRow("2.3", map[string]string{"in": "65|5"}), miss: BillRefused, says: "no 64-bit octets", lasting: true, others: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			version := cmp.Or(c.version, snmp.V2c)
			s := &scripted{Session: serve(t, map[string]mib{"device": c.objects})("device", version)}
			target := BillTarget{
				Device: device.Device{Status: device.StatusUp, Credentials: snmp.Credentials{Version: version}, Facts: device.Facts{OS: cmp.Or(c.os, "timos")}},
				Slot:   900, Interval: 300, Definitions: embeddedSet(t), Ports: append([]billing.Port{c.port}, others...),
			}
			r := ReadBilled(t.Context(), s, target)
			if r.Missing[1] != c.miss || !strings.Contains(r.Reason, c.says) || (r.Unreadable != "") != c.lasting || r.Fruitless {
				t.Errorf("missing %v: %q, lasting %q", r.Missing, r.Reason, r.Unreadable)
			}
			if slices.ContainsFunc(s.tables, func(oids []snmp.OID) bool { return len(oids) > 0 }) {
				t.Errorf("it was searched for: %v", s.tables)
			}
			read := 0
			for _, got := range r.Readings {
				if got.Port != 1 {
					read++
					continue
				}
				want := billing.Reading{
					Port: 1, Slot: 900, Interval: 300, Index: c.port.Index, In: 5000000001, Out: 5000000002, Bits: 64, Uptime: 360_000, Speed: 100_000_000_000, Read: got.Read,
				}
				if got != want || got.Validate() != nil {
					t.Errorf("reading\n%+v, want\n%+v", got, want)
				}
			}
			if read != c.others || (c.miss == "") != (len(r.Readings) == read+1) {
				t.Errorf("%d readings, %d of others, want %d", len(r.Readings), read, c.others)
			}
		})
	}
}
