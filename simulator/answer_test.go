package simulator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

var moment2026 = defaultEpoch.Add(100 * 24 * time.Hour)

// walk collects all objects by GETNEXT, with the values of one moment.
func walk(t *testing.T, r *responder, version gosnmp.SnmpVersion) []gosnmp.SnmpPDU {
	t.Helper()
	var all []gosnmp.SnmpPDU
	for oid := "1.0"; ; {
		p := decoded(t, r, ask(t, version, gosnmp.GetNextRequest, 0, 0, oid), 5, moment2026)
		if p.Error == gosnmp.NoSuchName && version == gosnmp.Version1 {
			return all
		}
		if p.Variables[0].Type == gosnmp.EndOfMibView {
			if p.Variables[0].Name != "."+oid {
				t.Errorf("endOfMibView is called %s, want %s", p.Variables[0].Name, oid)
			}
			return all
		}
		all = append(all, p.Variables[0])
		oid = p.Variables[0].Name[1:]
	}
}

func TestWalkHasAllObjects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config  Config
		version gosnmp.SnmpVersion
		want    int
	}{
		{Config{Ports: 3}, gosnmp.Version2c, 8 + 3*(21+19) + 4},
		{Config{Ports: 3}, gosnmp.Version1, 8 + 3*(21+11) + 4},
		{Config{Ports: 3, Only32Bit: true}, gosnmp.Version2c, 8 + 3*(21+7) + 4},
	} {
		if got := walk(t, engine(t, c.config), c.version); len(got) != c.want {
			t.Errorf("32 bits %v in version %v: %d objects, want %d", c.config.Only32Bit, c.version, len(got), c.want)
		}
	}
}

func TestGetBulkGivesWhatGetNextGives(t *testing.T) {
	t.Parallel()
	r := engine(t, Config{Ports: 5})
	want := walk(t, r, gosnmp.Version2c)
	for _, repetitions := range []uint32{1, 7, 500} {
		var got []gosnmp.SnmpPDU
		for oid := "1.0"; oid != ""; {
			p := decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, repetitions, oid), 5, moment2026)
			if len(p.Variables) == 0 || len(p.Variables) > int(repetitions) {
				t.Fatalf("%d repetitions give %d objects", repetitions, len(p.Variables))
			}
			for _, v := range p.Variables {
				if oid = v.Name[1:]; v.Type == gosnmp.EndOfMibView {
					oid = ""
					break
				}
				got = append(got, v)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d repetitions give other objects than GETNEXT", repetitions)
		}
	}
}

func TestGetBulkRowsAndNonRepeaters(t *testing.T) {
	t.Parallel()
	r := engine(t, Config{Ports: 3})
	p := decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 1, 2, systemGroup+"3", ifXEntry+"6", ifXEntry+"10.1"), 5, moment2026)
	want := []string{systemGroup + "3.0", ifXEntry + "6.1", ifXEntry + "10.2", ifXEntry + "6.2", ifXEntry + "10.3"}
	if got := names(p); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p = decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 9, 5, systemGroup+"3", ifNumber), 5, moment2026)
	if got := names(p); !slices.Equal(got, []string{systemGroup + "3.0", ifNumber + ".0"}) {
		t.Errorf("more non-repeaters than objects give %v", got)
	}
	if p = decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 0, ifNumber), 5, moment2026); len(p.Variables) != 0 || p.Error != gosnmp.NoError {
		t.Errorf("no repetitions give %v, error %v", names(p), p.Error)
	}
	if p = decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 50, snmpEngine+"3.0"), 5, moment2026); len(p.Variables) != 2 || p.Variables[1].Name != "."+snmpEngine+"4.0" || p.Variables[1].Type != gosnmp.EndOfMibView {
		t.Errorf("at the end comes %v", p.Variables)
	}
}

func names(p *gosnmp.SnmpPacket) []string {
	var out []string
	for _, v := range p.Variables {
		out = append(out, v.Name[1:])
	}
	return out
}

func TestTruncation(t *testing.T) {
	t.Parallel()
	columns := []string{ifEntry + "2", ifXEntry + "1", ifXEntry + "6", ifXEntry + "10", ifXEntry + "18"}
	for _, limit := range []int{484, 1472, 8000} {
		r := engine(t, Config{MaxMessage: limit, Ports: 200})
		out, _ := r.reply(ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 200, columns...), 5, moment2026.UnixNano(), nil)
		if len(out) > limit || len(out) < limit-80 {
			t.Errorf("the largest reply within %d bytes has %d", limit, len(out))
		}
		p := decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 200, columns...), 5, moment2026)
		for i, v := range p.Variables {
			if want := fmt.Sprintf(".%s.%d", columns[i%5], i/5+1); v.Name != want {
				t.Fatalf("object %d of a cut reply is %s, want %s", i, v.Name, want)
			}
		}
	}
}

func TestTooBig(t *testing.T) {
	t.Parallel()
	r := engine(t, Config{MaxMessage: 484})
	var oids []string
	for port := 1; port <= 30; port++ {
		oids = append(oids, fmt.Sprint(ifEntry, "2.", port))
	}
	for _, pdu := range []gosnmp.PDUType{gosnmp.GetRequest, gosnmp.GetNextRequest} {
		p := decoded(t, r, ask(t, gosnmp.Version2c, pdu, 0, 0, oids...), 5, moment2026)
		if p.Error != gosnmp.TooBig || len(p.Variables) != 0 {
			t.Errorf("%v: error %v with %d objects", pdu, p.Error, len(p.Variables))
		}
	}
	p := decoded(t, r, ask(t, gosnmp.Version1, gosnmp.GetRequest, 0, 0, oids[:18]...), 5, moment2026)
	if p.Error != gosnmp.TooBig || len(p.Variables) != 18 {
		t.Errorf("in version 1: error %v with %d objects", p.Error, len(p.Variables))
	}
}

func TestExceptionsAndErrors(t *testing.T) {
	t.Parallel()
	r := engine(t, Config{Ports: 2})
	p := decoded(t, r, ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0,
		systemGroup+"5.0", systemGroup+"9.0", systemGroup+"5", systemGroup+"5.1", ifEntry+"10.3", ifEntry+"10.2", ifXEntry+"20.1", "1.2"), 5, moment2026)
	want := []gosnmp.Asn1BER{gosnmp.OctetString, gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.NoSuchInstance,
		gosnmp.NoSuchInstance, gosnmp.Counter32, gosnmp.NoSuchObject, gosnmp.NoSuchObject}
	for i, v := range p.Variables {
		if v.Type != want[i] {
			t.Errorf("%s is a %v, want %v", v.Name, v.Type, want[i])
		}
	}
	for name, c := range map[string]struct {
		version gosnmp.SnmpVersion
		pdu     gosnmp.PDUType
		oid     string
		status  gosnmp.SNMPError
	}{
		"v1 missing":  {gosnmp.Version1, gosnmp.GetRequest, systemGroup + "9.0", gosnmp.NoSuchName},
		"v1 64 bits":  {gosnmp.Version1, gosnmp.GetRequest, ifXEntry + "6.1", gosnmp.NoSuchName},
		"v1 end":      {gosnmp.Version1, gosnmp.GetNextRequest, snmpEngine + "4.0", gosnmp.NoSuchName},
		"v1 SET":      {gosnmp.Version1, gosnmp.SetRequest, systemGroup + "5.0", gosnmp.NoSuchName},
		"v2c SET":     {gosnmp.Version2c, gosnmp.SetRequest, systemGroup + "5.0", gosnmp.NotWritable},
		"v1 all well": {gosnmp.Version1, gosnmp.GetRequest, ifEntry + "10.1", gosnmp.NoError},
	} {
		p := decoded(t, r, ask(t, c.version, c.pdu, 0, 0, ifNumber+".0", c.oid), 5, moment2026)
		index := map[bool]uint8{true: 0, false: 2}[c.status == gosnmp.NoError]
		if c.pdu == gosnmp.SetRequest {
			index = 1
		}
		if p.Error != c.status || p.ErrorIndex != index || len(p.Variables) != 2 {
			t.Errorf("%s: error %v at %d with %d objects", name, p.Error, p.ErrorIndex, len(p.Variables))
		}
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	r := engine(t, Config{})
	good := ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, ifNumber+".0")
	if decoded(t, r, good, 0, moment2026) == nil {
		t.Fatal("a good request is not answered")
	}
	for name, spoil := range map[string]func(b []byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"cut":             func(b []byte) []byte { return b[:len(b)-1] },
		"version 2":       func(b []byte) []byte { b[4] = 2; return b },
		"community":       func(b []byte) []byte { b[7] = 'P'; return b },
		"response":        func(b []byte) []byte { b[13] = pduResponse; return b },
		"trap":            func(b []byte) []byte { b[13] = 0xa7; return b },
		"report":          func(b []byte) []byte { b[13] = pduReport; return b },
		"bulk in v1":      func(b []byte) []byte { b[4] = 0; b[13] = pduGetBulk; return b },
		"v3 without user": func(b []byte) []byte { b[4] = 3; return b },
	} {
		if decoded(t, r, spoil(slices.Clone(good)), 0, moment2026) != nil {
			t.Errorf("%s: there is an answer", name)
		}
	}
}

func BenchmarkGetBulk5x12(b *testing.B) {
	r := engine(b, Config{})
	request := ask(b, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 12, ifEntry+"10", ifEntry+"16", ifXEntry+"6", ifXEntry+"10", ifXEntry+"15")
	var out, buf []byte
	b.ReportAllocs()
	for i := range b.N {
		out, buf = r.reply(request, i%10_000, moment2026.UnixNano()+int64(i), buf)
	}
	b.ReportMetric(float64(len(out)), "bytes/reply")
}
