package simulator

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

// hostile makes a responder whose devices, of four ports, play one script.
func hostile(t testing.TB, script string) *responder {
	t.Helper()
	return engine(t, Config{Ports: 4, Hostile: []string{script}})
}

// told is what a device answers: the names without ifDescr's, or the error-status.
func told(t *testing.T, r *responder, pdu gosnmp.PDUType, rows uint32, oid string) string {
	t.Helper()
	p := decoded(t, r, ask(t, gosnmp.Version2c, pdu, 0, rows, oid), 0, time.Now())
	if p.Error != 0 {
		return p.Error.String()
	}
	var names []string
	for _, v := range p.Variables {
		names = append(names, strings.TrimPrefix(v.Name, "."+ifEntry+"2."))
	}
	return strings.Join(names, " ")
}

func TestHostileTables(t *testing.T) {
	t.Parallel()
	const descr = ifEntry + "2"
	for _, c := range []struct {
		script string
		pdu    gosnmp.PDUType
		rows   uint32
		oid    string
		want   string
	}{
		{Honest, gosnmp.GetBulkRequest, 3, descr, "1 2 3"},
		{EndlessTable, gosnmp.GetBulkRequest, 3, descr, "1 2 3"},
		{EndlessTable, gosnmp.GetBulkRequest, 3, descr + ".4294967292", "4294967293 4294967294 4294967295"},
		{MillionRows, gosnmp.GetBulkRequest, 3, descr + ".999998", "999999 1000000 ." + ifEntry + "3.1"},
		{MillionRows, gosnmp.GetNextRequest, 0, ifXEntry + "19.1000000", "." + snmpEngine + "1.0"},
		{FallingOIDs, gosnmp.GetBulkRequest, 3, descr, "4 3 2"},
		{FallingOIDs, gosnmp.GetNextRequest, 0, descr + ".3", "2"},
		{RepeatedRows, gosnmp.GetBulkRequest, 3, descr, "1 1 2"},
		{RepeatedRows, gosnmp.GetNextRequest, 0, descr + ".2", "2"},
		{SkippedRows, gosnmp.GetBulkRequest, 3, descr, "2 3 4"},
		{SkippedRows, gosnmp.GetNextRequest, 0, descr, "1"},
		{GenErrMidWalk, gosnmp.GetBulkRequest, 4, descr, "1 2"},
		{GenErrMidWalk, gosnmp.GetBulkRequest, 4, descr + ".2", "GenErr"},
		{GenErrMidWalk, gosnmp.GetRequest, 0, descr + ".2", "2"},
		{TooBigPingPong, gosnmp.GetRequest, 0, descr + ".2", "TooBig"}, // the request-id is 77
		{WrongOID, gosnmp.GetRequest, 0, descr + ".2", "." + otherName + ".1"},
	} {
		if got := told(t, hostile(t, c.script), c.pdu, c.rows, c.oid); got != c.want {
			t.Errorf("%s answers %s %s with %s, want %s", c.script, c.pdu, c.oid, got, c.want)
		}
	}
}

// A v1 manager that asks for a Counter64 column makes the agent step over it, however long it is.
func TestEndlessTableInV1(t *testing.T) {
	t.Parallel()
	p := decoded(t, hostile(t, EndlessTable), ask(t, gosnmp.Version1, gosnmp.GetNextRequest, 0, 0, ifXEntry+"6"), 0, time.Now())
	if want := "." + ifXEntry + "14.1"; len(p.Variables) != 1 || p.Variables[0].Name != want {
		t.Errorf("answered %v, want %s", p.Variables, want)
	}
}

func TestHostileMessages(t *testing.T) {
	t.Parallel()
	request := ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, systemGroup+"5.0")
	id := []byte{tagInteger, 1, 77}
	for script, c := range map[string]struct {
		has, lacks []byte
		atLeast    int
	}{
		Honest:         {has: []byte("sim-00000"), lacks: []byte(otherString)},
		WrongCommunity: {has: []byte(otherString), lacks: []byte("public")},
		RequestID0:     {has: []byte{tagInteger, 1, 0, tagInteger, 1, 0, tagInteger, 1, 0}, lacks: id},
		CraftedLength:  {has: []byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}},
		HugeStrings:    {has: []byte("sim-00000 \x00\x1b[31m"), atLeast: hugeText},
	} {
		out, _ := hostile(t, script).reply(request, 0, time.Now().UnixNano(), nil)
		if !bytes.Contains(out, c.has) || c.lacks != nil && bytes.Contains(out, c.lacks) || len(out) < c.atLeast || len(out) > maxMessage {
			t.Errorf("%s answers with %d bytes: %.80q", script, len(out), out)
		}
	}
	even := bytes.Replace(request, id, []byte{tagInteger, 1, 78}, 1)
	if out, _ := hostile(t, TooBigPingPong).reply(even, 0, time.Now().UnixNano(), nil); !bytes.Contains(out, []byte("sim-00000")) {
		t.Errorf("an even request-id is answered with %q", out)
	}
}

func TestMutationFollowsFromSeedAndRequest(t *testing.T) {
	t.Parallel()
	now, other := time.Now().UnixNano(), engine(t, Config{Ports: 4, Hostile: []string{Mutate}, HostileSeed: 2})
	damaged, again, differ := hostile(t, Mutate), hostile(t, Mutate), 0
	changed := 0
	for i := range 1000 {
		request := ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 4, fmt.Sprint(ifEntry, "2.", i))
		honest, _ := hostileReply(t, Honest, request, now)
		first, _ := damaged.reply(request, 0, now, nil)
		second, _ := again.reply(request, 0, now, nil)
		third, _ := other.reply(request, 0, now, nil)
		if !bytes.Equal(first, second) {
			t.Fatalf("the same request is answered with %q and %q", first, second)
		}
		if !bytes.Equal(first, honest) {
			changed++
		}
		if !bytes.Equal(first, third) {
			differ++
		}
	}
	if changed < 400 || changed > 600 || differ < 500 {
		t.Errorf("%d of 1000 replies are damaged, %d are others with another seed", changed, differ)
	}
}

func hostileReply(t *testing.T, script string, request []byte, now int64) (out, buf []byte) {
	t.Helper()
	return hostile(t, script).reply(request, 0, now, nil)
}

func TestHostileDevicesLoseAndHoldBack(t *testing.T) {
	t.Parallel()
	const requests = 400
	request := ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, systemGroup+"5.0")
	for script, dropped := range map[string][2]uint64{
		Honest: {0, 0}, Lossy: {60, 180}, BlackHole: {requests, requests}, Slow: {0, 0},
	} {
		a := start(t, Config{Listen: "127.0.0.1:0", Hostile: []string{script}})
		throw(t, a.Addr(0), slices.Repeat([][]byte{request}, requests)...)
		eventually(t, script+" has seen all requests", func() bool { return a.Stats().Requests == requests })
		eventually(t, script+" has done with them", func() bool {
			s := a.Stats()
			return s.Dropped >= dropped[0] && (script == Slow || s.Dropped+s.Replies == requests)
		})
		s := a.Stats()
		if s.Dropped > dropped[1] || script == Slow && s.Replies > 0 {
			t.Errorf("%s: %+v", script, s)
		}
	}
	a := start(t, Config{Listen: "127.0.0.1:0", Hostile: []string{Slow}})
	begun := time.Now()
	if _, err := client(t, a.Addr(0), gosnmp.Version2c).Get([]string{systemGroup + "5.0"}); err != nil || time.Since(begun) < slowBy {
		t.Errorf("answered after %v, %v", time.Since(begun), err)
	}
}

func TestScriptsAreSpread(t *testing.T) {
	t.Parallel()
	at := time.Now()
	c := Config{Listen: "127.0.0.0/16:0", Hostile: []string{Honest, All}, HostileAt: at}
	a, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := HostileNames()
	for device := range 3 * (len(names) + 1) {
		want := ""
		if i := device % (len(names) + 1); i > 0 {
			want = names[i-1]
		}
		if got := a.cast.of(device, at.UnixNano()).name; got != want {
			t.Errorf("device %d plays %q, want %q", device, got, want)
		}
		if got := a.cast.of(device, at.UnixNano()-1).name; got != "" {
			t.Errorf("device %d plays %q before it begins", device, got)
		}
	}
	for _, wrong := range [][]string{{"endless"}, {""}, slices.Repeat([]string{All}, 1+maxHostile/len(names))} {
		c.Hostile = wrong
		if _, err := New(c, nil); err == nil || len(err.Error()) > 600 {
			t.Errorf("%.40q is taken: %v", wrong, err)
		}
	}
}

// The log must not hold a counter under a name or in a form that a poller could not use.
func TestLogOfHostileDevices(t *testing.T) {
	t.Parallel()
	for _, s := range scripts {
		r := hostile(t, s.name)
		r.at.truth = &truth{}
		request := ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 3, ifXEntry+"6")
		request = bytes.Replace(request, []byte{tagInteger, 1, 77}, []byte{tagInteger, 1, 78}, 1)
		if out, _ := r.reply(request, 0, time.Now().UnixNano(), nil); out == nil {
			t.Errorf("%s does not answer", s.name)
		}
		want := 3 * entrySize
		switch {
		case s.lies:
			want = 0
		case s.name == GenErrMidWalk:
			want = rowsBefore * entrySize
		}
		if got := r.at.truth.length(); got != want {
			t.Errorf("%s logs %d bytes, want %d", s.name, got, want)
		}
	}
}

func TestPagesNameEveryScript(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"../docs/simulator.md", "../docs/troubleshoot.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range HostileNames() {
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%s does not name %s", page, name)
			}
		}
	}
}
