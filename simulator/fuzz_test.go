package simulator

import (
	"bytes"
	"container/list"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"
)

// FuzzRecording reads any bytes as a .snmprec file: what is read is sorted, well
// formed and no more than was there, and an agent with it answers a walk of all of it.
func FuzzRecording(f *testing.F) {
	small, err := os.ReadFile("testdata/small.snmprec")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Add([]byte("1.3.6.1.2|4x|0xZZ\n1.3.6|2|-2147483649\n.1.3.6.1|70|18446744073709551616\n1.3.6.1.5|6|.1\n1.3|5|\n2.4294967295|65|1\r\n1|4|x"))
	f.Add([]byte(`1.3.6.1.1|4e|\x00\777\\\q` + "\n1.3.6.1.1|64x|0a000001\n1.3.6.1.2|68|\x9f\x78\x04" + strings.Repeat("\n1.3.6.1.4|2|1", 40)))
	r := engine(f, Config{Recordings: "testdata"})
	f.Fuzz(func(t *testing.T, file []byte) {
		recorded, skipped, err := readRecording(bytes.NewReader(file))
		if err != nil {
			return // a line beyond the limit
		}
		if lines := bytes.Count(file, []byte{'\n'}) + 1; recorded.size()+skipped > lines {
			t.Fatalf("%d objects and %d lines left out of %d lines", recorded.size(), skipped, lines)
		}
		if recorded.weight() > 8*len(file)+64 {
			t.Errorf("%d bytes of a file weigh %d", len(file), recorded.weight())
		}
		checkRecording(t, recorded)
		checkWalk(t, r, recorded)
	})
}

// checkRecording holds that every object is a VarBind, and comes after the one before it.
func checkRecording(t *testing.T, r *recording) {
	t.Helper()
	for i := range r.size() {
		tag, content, rest, ok := readTLV(r.binding(i))
		oid, value, named := readExpected(content, tagOID)
		_, _, behind, valued := readTLV(value)
		if !ok || tag != tagSequence || len(rest) > 0 || !named || !validOID(oid) || !valued || len(behind) > 0 {
			t.Fatalf("object %d is %x", i, r.binding(i))
		}
		if i > 0 && compareOID(r.oid(i-1), oid) >= 0 {
			t.Fatalf("%x is not behind %x", oid, r.oid(i-1))
		}
		if at, exact := seek(r, oid); !exact || at != i {
			t.Fatalf("%x is found at %d, not at %d", oid, at, i)
		}
	}
}

// checkWalk asks for the recording as a client does, by GETBULK in v2c and by
// GETNEXT in v1, which does not see Counter64, and wants every object once.
func checkWalk(t *testing.T, r *responder, recorded *recording) {
	t.Helper()
	v := &volume{name: "fuzz", recording: recorded}
	v.once.Do(func() {})
	recent := list.New()
	r.library = &library{names: map[string]bool{"fuzz": true}, limit: maxLibrary, held: map[string]*list.Element{"fuzz": recent.PushFront(v)}, recent: recent}
	for _, version := range []int64{version1, version2c} {
		want, got := 0, 0
		for i := range recorded.size() {
			if len(recorded.binding(i)) > maxMessage/2 {
				return // too big for a reply, see TestHugeValueIsTooBig
			}
			if version != version1 || !recorded.wide(i) {
				want++
			}
		}
		oid := []byte{}
		for range want + 1 {
			next, n := walkOn(t, r, version, oid)
			got += n
			if n == 0 {
				break
			}
			oid = next
		}
		if got != want {
			t.Fatalf("a walk in version %d gives %d objects of %d", version, got, want)
		}
	}
}

// walkOn is one request of a walk: the last object it gives, and how many.
func walkOn(t *testing.T, r *responder, version int64, from []byte) (last []byte, n int) {
	t.Helper()
	pdu, repetitions := byte(pduGetNext), int64(0)
	if version == version2c {
		pdu, repetitions = pduGetBulk, 20
	}
	w := backward{buf: make([]byte, 2000)}
	w.start, w.end = len(w.buf), len(w.buf)
	w.raw(appendBinding(nil, from, []byte{tagNull, 0}))
	w.wrap(tagSequence)
	w.integer(repetitions)
	w.integer(0)
	w.integer(7)
	w.wrap(pdu)
	w.bytes(tagOctetString, []byte("fuzz"))
	w.integer(version)
	w.wrap(tagSequence)
	out, _ := r.reply(w.buf[w.start:w.end], 0, moment2026.UnixNano(), nil)
	if len(out) == 0 || len(out) > headroom+maxMessage {
		t.Fatalf("%d bytes in reply to a request behind %x", len(out), from)
	}
	message, _, _ := readExpected(out, tagSequence)
	_, message, _ = readInteger(message)
	_, message, _ = readExpected(message, tagOctetString)
	response, _, _ := readExpected(message, pduResponse)
	_, response, _ = readInteger(response)
	status, response, _ := readInteger(response)
	_, response, _ = readInteger(response)
	bindings, _, ok := readExpected(response, tagSequence)
	if !ok || status != noError && status != errNoSuchName {
		t.Fatalf("behind %x comes %x", from, out)
	}
	for len(bindings) > 0 && status == noError {
		var binding []byte
		binding, bindings, _ = readExpected(bindings, tagSequence)
		oid, value, ok := readExpected(binding, tagOID)
		if !ok || len(value) == 0 {
			t.Fatalf("%x is no VarBind", binding)
		}
		if value[0] == tagEndOfMibView {
			break
		}
		if compareOID(oid, from) <= 0 {
			t.Fatalf("%x is not behind %x", oid, from)
		}
		last, from = slices.Clone(oid), oid
		n++
	}
	return last, n
}

// FuzzReply holds that no packet breaks a responder or makes a reply beyond its limit.
func FuzzReply(f *testing.F) {
	f.Add(ask(f, gosnmp.Version2c, gosnmp.GetBulkRequest, 1, 10, ifNumber, ifXEntry+"6"))
	f.Add(ask(f, gosnmp.Version1, gosnmp.GetRequest, 0, 0, ifNumber+".0"))
	discovery := []byte{0x30, 0x3a, 2, 1, 3, 0x30, 0x0f, 2, 2, 1, 1, 2, 3, 0, 0xff, 0xe3, 4, 1, 4, 2, 1, 3, 4, 0x10, 0x30, 0x0e, 4, 0, 2, 1, 0,
		2, 1, 0, 4, 0, 4, 0, 4, 0, 0x30, 0x12, 4, 0, 4, 0, 0xa0, 0x0c, 2, 2, 0, 1, 2, 1, 0, 2, 1, 0, 0x30, 0}
	f.Add(discovery)
	r := engine(f, Config{Ports: 4, V3: user("SHA", "AES"), Recordings: "testdata"})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if out, _ := r.reply(packet, 3, moment2026.UnixNano(), nil); len(out) > r.limit {
			t.Errorf("a reply has %d bytes", len(out))
		}
	})
}
