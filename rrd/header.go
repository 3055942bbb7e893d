package rrd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// The header of an RRD file as rrd_format.h of RRDtool 1.4 and newer has it on
// machines of 64 bits with the lowest byte first. Other machines write another one, which is told apart by the cookie.
const (
	floatCookie  = 8.642135e130
	headBytes    = 128 // stat_head_t
	sourceBytes  = 120 // ds_def_t, of which the first 20 are its name
	archiveBytes = 120 // rra_def_t
	nameBytes    = 20
	liveBytes    = 16 // live_head_t
	maxSources   = 100
	maxHeader    = 64 << 10
)

// errHeader says that a file is no RRD file as this machine writes them.
var errHeader = errors.New("not an RRD file of a 64-bit machine")

// header is what is needed of one.
type header struct {
	sources    []string
	lastUpdate time.Time // whole seconds
}

// parseHeader reads the beginning of a file.
func parseHeader(data []byte) (header, error) {
	if len(data) < headBytes || string(data[:4]) != "RRD\x00" {
		return header{}, errHeader
	}
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(data[at:]) }
	sources, archives := number(24), number(32)
	if math.Float64frombits(number(16)) != floatCookie || sources < 1 || sources > maxSources || archives > maxSources {
		return header{}, errHeader
	}
	live := headBytes + int(sources)*sourceBytes + int(archives)*archiveBytes
	if len(data) < live+liveBytes {
		return header{}, errHeader
	}
	var h header
	for i := range int(sources) {
		at := headBytes + i*sourceBytes
		name, _, _ := bytes.Cut(data[at:at+nameBytes], []byte{0})
		h.sources = append(h.sources, string(name))
	}
	h.lastUpdate = time.Unix(int64(number(live)), 0)
	return h, nil
}
