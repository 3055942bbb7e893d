package simulator

import (
	"strconv"
	"strings"
)

// growth is a counter of a recording that counts: so much at the Unix time 0, and so
// much more each second, in the width of its type. So whoever knows both knows its rate.
type growth struct {
	tag       byte
	initial   uint64
	perSecond uint64
}

// parseGrowth reads "1000+25"; kind is the number of Counter32 or Counter64.
func parseGrowth(kind, text string) (growth, bool) {
	tag, err := strconv.ParseUint(kind, 10, 8)
	if err != nil || tag != tagCounter32 && tag != tagCounter64 {
		return growth{}, false
	}
	initial, rate, _ := strings.Cut(strings.TrimSpace(text), "+")
	g := growth{tag: byte(tag)}
	if g.initial, err = strconv.ParseUint(initial, 10, 64); err != nil {
		return growth{}, false
	}
	g.perSecond, err = strconv.ParseUint(rate, 10, 32)
	return g, err == nil
}

// value is the encoded counter at a time, in Unix nanoseconds.
func (g growth) value(now int64) []byte {
	whole, rest := uint64(now)/1e9, uint64(now)%1e9
	n := g.initial + g.perSecond*whole + g.perSecond*rest/1e9
	if g.tag == tagCounter32 {
		n = uint64(uint32(n))
	}
	return appendUnsigned(nil, g.tag, n)
}
