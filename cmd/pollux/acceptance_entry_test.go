package main_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"pollux/measurement"
)

// entry is what an entry of the log says.
type entry struct {
	slot
	outcome byte                 // 1 is up
	at      time.Time            // when Redis took it
	lines   int                  // for RRDCached
	ports   map[int64]portSample // by the ports' ids
}

// portSample is what an entry has of a port: its octet counters, and the Unix
// millisecond for which the poller took them.
type portSample struct {
	ms      int64
	in, out uint64
}

const (
	outcomeUp   = 1
	outcomeDown = 3
)

// readEntry reads what a test needs to know of an entry: its head, how many
// lines it makes, and what was measured of its ports, and when.
func readEntry(payload []byte) (e entry, err error) {
	const most = 1 << 24 // bytes: a damaged entry may claim any size
	if size, err := s2.DecodedLen(payload[min(len(payload), 1):]); err != nil || size > most {
		return e, errors.New("no block")
	}
	if len(payload) < 2 || payload[0] < 1 || payload[0] > 4 {
		return e, errors.New("not of version 1 to 4")
	}
	body, err := s2.Decode(nil, payload[1:])
	if err != nil {
		return e, fmt.Errorf("its block: %w", err)
	}
	r := &entryReader{rest: body}
	e.slot = slot{int64(r.number()), int64(r.number())}
	e.outcome = r.skip(1)
	r.number() // step
	r.number() // heartbeat
	r.skip(int(r.number()))
	e.lines, e.ports = int(r.number()), map[int64]portSample{}
	var instance, at int64
	for i := 0; i < e.lines && !r.failed; i++ {
		kind := measurement.Kind(r.skip(1))
		instance += r.signed()
		r.number() // generation
		if kind.Named() {
			r.skip(int(r.number()))
		}
		r.number() // maximum
		at += r.signed()
		values := r.values(len(kind.Sources()))
		if kind == measurement.KindPort && len(values) > 1 {
			e.ports[instance] = portSample{at, values[0], values[1]}
		}
	}
	if r.failed || len(r.rest) > 0 {
		return e, errors.New("cut short, or too long")
	}
	return e, nil
}

// entryReader takes the parts of an entry off its front, as journal's encoder wrote them.
type entryReader struct {
	rest   []byte
	failed bool
}

// skip drops n bytes and returns the first.
func (r *entryReader) skip(n int) (first byte) {
	if n < 0 || n > len(r.rest) {
		r.failed, r.rest = true, nil
	}
	if r.failed || n == 0 {
		return 0
	}
	first, r.rest = r.rest[0], r.rest[n:]
	return first
}

func (r *entryReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.skip(max(size, 1))
	return n
}

func (r *entryReader) signed() int64 {
	n, size := binary.Varint(r.rest)
	r.skip(max(size, 1))
	return n
}

// values reads the values of a measurement: all counters, or each with two bits
// that say what it is. What is no counter is 0.
func (r *entryReader) values(n int) []uint64 {
	read := make([]uint64, n)
	if r.skip(1) == 0 {
		for i := range read {
			read[i] = r.number()
		}
		return read
	}
	forms := slices.Clone(r.rest[:min((n+3)/4, len(r.rest))])
	r.skip((n + 3) / 4)
	for i := range read {
		switch {
		case r.failed:
			return nil
		case forms[i/4]>>(i%4*2)&3 == 1:
			read[i] = r.number()
		case forms[i/4]>>(i%4*2)&3 == 2:
			r.skip(8)
		}
	}
	return read
}
