package simulator

import (
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

// A counter that counts is what its line says at the moment it is asked for, in the width of its type.
func TestCountersOfARecordingCount(t *testing.T) {
	t.Parallel()
	const base = "1.3.6.1.4.1.99999.1."
	lines := []string{
		base + "1|65r|7+100", base + "2|70r|18446744073709551615+1", base + "3|65r|0+4294967295", base + "4|70r|5+0",
		base + "5|66r|1+1", base + "6|65r|x+1", base + "7|65r|1", base + "8|65r|1+-1", base + "9|r|1+1", base + "10|65|42",
	}
	a := start(t, Config{Listen: "127.0.0.1:0", Recordings: recordings(t, map[string]string{"host.snmprec": strings.Join(lines, "\n")})})
	g := client(t, a.Addr(0), gosnmp.Version2c)
	g.Community = "host"
	before := uint64(time.Now().UnixNano())
	all, err := g.WalkAll("1.3")
	after := uint64(time.Now().UnixNano())
	if err != nil || len(all) != 5 {
		t.Fatalf("%d objects: %v", len(all), err)
	}
	at := func(rate, now uint64) uint64 { return rate*(now/1e9) + rate*(now%1e9)/1e9 }
	for i, want := range []struct{ initial, rate, mask uint64 }{{7, 100, 1<<32 - 1}, {1<<64 - 1, 1, 1<<64 - 1}, {0, 1<<32 - 1, 1<<32 - 1}, {5, 0, 1<<64 - 1}} {
		got := gosnmp.ToBigInt(all[i].Value).Uint64()
		span := at(want.rate, after) - at(want.rate, before)
		if since := (got - want.initial - at(want.rate, before)) & want.mask; since > span {
			t.Errorf("%s is %d, which is %d beyond what it was before", all[i].Name, got, since)
		}
	}
	if v := gosnmp.ToBigInt(all[4].Value).Uint64(); v != 42 {
		t.Errorf("a counter that stands is %d", v)
	}
}
