package simulator

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestOIDOrderIsTheOrderOfSubidentifiers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	edges := []uint32{0, 1, 127, 128, 255, 256, 16383, 16384, 2097151, 2097152, 268435455, 268435456, math.MaxUint32}
	make1 := func() ([]uint32, []byte) {
		ids := []uint32{1, 3}
		for range random.IntN(4) {
			ids = append(ids, edges[random.IntN(len(edges))])
		}
		content, ok := appendOID(nil, strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", "."), "[]"))
		if !ok || !validOID(content) {
			t.Fatalf("OID %v is refused", ids)
		}
		return ids, content
	}
	for range 20_000 {
		aIDs, a := make1()
		bIDs, b := make1()
		if got, want := cmp.Compare(compareOID(a, b), 0), slices.Compare(aIDs, bIDs); got != want {
			t.Fatalf("%v against %v: %d, want %d", aIDs, bIDs, got, want)
		}
	}
}

func TestOIDTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.3.6.1": "2b0601", ".1.3.6.1.128": "2b06018100", "2.999": "8837", "0.0": "00", "1.3.4294967295": "2b8fffffff7f",
		"": "", "1": "", "1..3": "", "1.3.x": "", "3.1": "", "1.40": "", "1.3.4294967296": "", "1.3.-1": "", "1.3.+1": "",
	} {
		got, ok := appendOID(nil, text)
		if ok != (want != "") || ok && fmt.Sprintf("%x", got) != want {
			t.Errorf("%q: %x %v, want %s", text, got, ok, want)
		}
	}
	for _, bad := range [][]byte{{0x2b, 0x80, 0x01}, {0x2b, 0x81}, {0x2b, 0x9f, 0xff, 0xff, 0xff, 0x7f}, bytes.Repeat([]byte{1}, 128)} {
		if validOID(bad) {
			t.Errorf("% x counts as valid", bad)
		}
	}
}

func TestIntegers(t *testing.T) {
	t.Parallel()
	for _, value := range []int64{0, 1, 127, 128, 255, 256, 32767, 32768, math.MaxInt32, -1, -128, -129, math.MinInt32, math.MaxUint32} {
		encoded := appendInteger(nil, value)
		got, rest, ok := readInteger(encoded)
		if !ok || got != value || len(rest) != 0 {
			t.Errorf("%d: % x is read as %d", value, encoded, got)
		}
	}
	for value, want := range map[uint64]string{0: "460100", 127: "46017f", 128: "46020080", math.MaxUint64: "460900ffffffffffffffff", 1 << 56: "46080100000000000000"} {
		if got := fmt.Sprintf("%x", appendUnsigned(nil, tagCounter64, value)); got != want {
			t.Errorf("%d: %s, want %s", value, got, want)
		}
	}
}
