package simulator

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

func hexText(b []byte) string { return hex.EncodeToString(b) }

// smallRecording is what testdata/small.snmprec holds once its oddities are seen through.
var smallRecording = []string{
	"1.3.6.1.2.1.1.1.0 A small switch | with a bar", "1.3.6.1.2.1.1.2.0 .1.3.6.1.4.1.99999.1",
	"1.3.6.1.2.1.1.3.0 8640000", "1.3.6.1.2.1.1.5.0 small",
	"1.3.6.1.2.1.2.2.1.2.9 port 9", "1.3.6.1.2.1.2.2.1.2.10 port 10",
	"1.3.6.1.2.1.2.2.1.6.9 \x02\xab\xcd\x00\x00\x09", "1.3.6.1.2.1.2.2.1.6.11 :2e:5=",
	"1.3.6.1.2.1.2.2.1.10.9 4294967295",
	"1.3.6.1.2.1.4.20.1.1.192.0.2.1 192.0.2.1", "1.3.6.1.2.1.4.20.1.1.192.0.2.2 192.0.2.2", "1.3.6.1.2.1.4.20.1.1.192.0.2.3 192.0.2.3",
	"1.3.6.1.2.1.25.1.2.0 \x07\xe4\t\x0c\"\\A", "1.3.6.1.2.1.31.1.1.1.6.9 18446744073709551615",
	"1.3.6.1.4.1.99999.2.0 -5", "1.3.6.1.4.1.99999.3.0 12", "1.3.6.1.4.1.99999.4.0 ", "1.3.6.1.4.1.99999.5.0 <nil>",
}

func TestRecordingWithOddities(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.40.0.0/16:0", Recordings: "testdata", V3: user("SHA", "AES")})
	for _, name := range []string{"small", "small@returns"} {
		g := client(t, a.Addr(1234), gosnmp.Version2c)
		g.Community = name
		secure := secureClient(t, a, 1234, user("SHA", "AES"))
		secure.ContextName = name
		for _, g := range []*gosnmp.GoSNMP{g, secure} {
			for how, walk := range map[string]func(string) ([]gosnmp.SnmpPDU, error){"GETNEXT": g.WalkAll, "GETBULK": g.BulkWalkAll} {
				all, err := walk("1.3")
				if err != nil {
					t.Fatalf("%s by %s: %v", name, how, err)
				}
				if got := texts(all); !slices.Equal(got, smallRecording) {
					t.Errorf("%s by %s:\n%q, want\n%q", name, how, got, smallRecording)
				}
			}
		}
	}
	g := client(t, a.Addr(0), gosnmp.Version2c)
	g.Community = "small"
	p, err := g.Get([]string{"1.3.6.1.2.1.2.2.1.2.11", "1.3.6.1.2.1.2.2.1.3.9"})
	if err != nil || p.Variables[0].Type != gosnmp.NoSuchInstance || p.Variables[1].Type != gosnmp.NoSuchObject {
		t.Errorf("missing objects are %v, %v", p, err)
	}
	for _, name := range []string{"other", "../testdata/small", "small.snmprec", ""} {
		if a.library.find([]byte(name)) != nil {
			t.Errorf("%q is a recording", name)
		}
	}
}

func texts(all []gosnmp.SnmpPDU) []string {
	var out []string
	for _, v := range all {
		switch value := v.Value.(type) {
		case []byte:
			out = append(out, fmt.Sprintf("%s %s", v.Name[1:], value))
		default:
			if v.Type == gosnmp.Opaque || v.Type == gosnmp.OpaqueFloat || v.Type == gosnmp.OpaqueDouble {
				value = ""
			}
			out = append(out, fmt.Sprintf("%s %v", v.Name[1:], value))
		}
	}
	return out
}

func TestValuesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"1.3.6.1|", "1.3.6.1|4", "|4|x", "1.3.6.x|4|x", "1.3.6.1|x|x", "1.3.6.1|99|1", "1.3.6.1|2|up", "1.3.6.1|2|1.5", "1.3.6.1|4x|0",
		"1.3.6.1|4x|zz", "1.3.6.1|6|no.oid", "1.3.6.1|64|1.2.3", "1.3.6.1|64|::1", "1.3.6.1|64x|010203", "1.3.6.1|65|", "1.3.6.1|-2|1", "1.3.6.1|-254|1", "1.3.6.1|258|1",
	} {
		if _, ok := parseRow(line); ok {
			t.Errorf("%q is taken", line)
		}
	}
	for text, want := range map[string]string{`a\`: `a\`, `\q`: `\q`, `\x4`: "\x04", `\xzz`: `\xzz`, `\0101`: "\x081", `\777`: `\777`} {
		// Escapes that go beyond a byte or are none stay as they are.
		if got := string(unescape(text)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestLibraryIsBounded(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 20 {
		var content strings.Builder
		for k := range 500 {
			fmt.Fprintf(&content, "1.3.6.1.4.1.1.%d|4|recording %d\n", k, i)
		}
		files[fmt.Sprintf("r%d.snmprec", i)] = content.String()
	}
	files["huge.snmprec"] = "1.3.6.1.1|4|" + strings.Repeat("x", maxLine) + "\n"
	dir := recordings(t, files)
	r := engine(t, Config{Recordings: dir})
	one := r.library.find([]byte("r0")).weight()
	r.library.limit = 5*one + one/2
	for round := range 2 {
		for i := range 20 {
			recording := r.library.find(fmt.Appendf(nil, "r%d", i))
			if recording.size() != 500 || !strings.Contains(string(recording.binding(7)), fmt.Sprint("recording ", i)) {
				t.Fatalf("round %d: recording %d is wrong", round, i)
			}
			if r.library.weight > r.library.limit || r.library.recent.Len() != len(r.library.held) {
				t.Fatalf("the library weighs %d of %d", r.library.weight, r.library.limit)
			}
		}
	}
	if len(r.library.held) != 5 {
		t.Errorf("%d recordings are held, want 5", len(r.library.held))
	}
	if r.library.find([]byte("huge")) != nil {
		t.Error("a file with a line beyond the limit is taken")
	}
	if err := os.Remove(filepath.Join(dir, "r1.snmprec")); err != nil {
		t.Fatal(err)
	}
	if r.library.find([]byte("r1")) != nil {
		t.Error("a file that is gone is answered")
	}
}

func TestLongValueComesAlone(t *testing.T) {
	t.Parallel()
	content := "1.3.6.1.1|2|1\n1.3.6.1.2|4|" + strings.Repeat("x", 5000) + "\n1.3.6.1.3|2|3\n"
	a := start(t, Config{Listen: "127.41.0.0/16:0", Recordings: recordings(t, map[string]string{"long.snmprec": content})})
	g := client(t, a.Addr(0), gosnmp.Version2c)
	g.Community = "long"
	all, err := g.BulkWalkAll("1.3")
	if err != nil || len(all) != 3 || len(all[1].Value.([]byte)) != 5000 {
		t.Errorf("the walk gives %d objects, %v", len(all), err)
	}
	p, err := g.Get([]string{"1.3.6.1.1", "1.3.6.1.2"})
	if err != nil || p.Error != gosnmp.TooBig {
		t.Errorf("a long value beside another: %v, %v", p, err)
	}
}

func TestHugeValueIsTooBig(t *testing.T) {
	t.Parallel()
	dir := recordings(t, map[string]string{"long.snmprec": "1.3.6.1.1|4|" + strings.Repeat("x", 300_000) + "\n"})
	r := engine(t, Config{Recordings: dir})
	request := ask(t, gosnmp.Version2c, gosnmp.GetBulkRequest, 0, 10, "1.3")
	request = []byte(strings.Replace(string(request), "\x04\x06public", "\x04\x04long", 1))
	request[1] -= 2
	out, buf := r.reply(request, 0, time.Now().UnixNano(), nil)
	if out == nil || len(out) > 100 || buf != nil {
		t.Errorf("a value of 300 kB gives a reply of %d bytes", len(out))
	}
	if p, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c}).SnmpDecodePacket(out); err != nil || p.Error != gosnmp.TooBig {
		t.Errorf("a value of 300 kB: %+v, %v", p, err)
	}
}
