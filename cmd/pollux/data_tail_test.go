//go:build faults

package main_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"pollux/cluster"
	"pollux/measurement"
)

// tailed is one entry of the log that a test saw.
type tailed struct {
	entry
	id    string          // the one it had first
	lines int             // for RRDCached
	times map[int64]int64 // of the samples of each port, by its id, in Unix milliseconds
}

// logTail reads the log while it grows, because with a short window RRDCached's
// part of it is trimmed long before a test ends.
type logTail struct {
	t      testing.TB
	client cluster.Client
	stream string
	stop   func() // reads to the end of the log, and returns

	mu      sync.Mutex
	last    string
	all     []tailed       // in order, each slot once
	seen    map[slot]int   // how often
	damaged map[string]int // entries that nobody can read, by their ids
}

// followLog reads the log of a shard from now on.
func followLog(t testing.TB, client cluster.Client, stream string) *logTail {
	l := &logTail{t: t, client: client, stream: stream, seen: map[slot]int{}, damaged: map[string]int{}, last: "0-0"}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = l.read(ctx) // Redis may be away
			}
		}
	})
	l.stop = sync.OnceFunc(func() {
		cancel()
		work.Wait()
		if err := l.read(context.Background()); err != nil {
			t.Errorf("read the end of the log: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); work.Wait() })
	return l
}

// read takes what is new.
func (l *logTail) read(ctx context.Context) error {
	const count = 1000
	for {
		messages, err := l.client.XRangeN(ctx, l.stream, "("+l.last, "+", count).Result()
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, message := range messages {
			payload, _ := message.Values["e"].(string)
			sum, _ := message.Values["c"].(string)
			l.take(message.ID, []byte(payload), sum)
		}
		l.mu.Unlock()
		if len(messages) < count {
			return nil
		}
	}
}

func (l *logTail) take(id string, payload []byte, sum string) {
	l.last = id
	e, err := readEntry(payload)
	changed := sum != "" && sum != fmt.Sprint(crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	if err != nil || changed {
		l.damaged[id]++
		return
	}
	e.id, e.at = id, appendedAt(l.t, id)
	l.seen[e.slot]++
	if l.seen[e.slot] == 1 {
		l.all = append(l.all, e)
	}
}

// readEntry reads what a test needs to know of an entry: its head, how many
// lines it makes, and for which times its ports were measured.
func readEntry(payload []byte) (e tailed, err error) {
	const most = 1 << 24 // bytes: a damaged entry may claim any size
	if size, err := s2.DecodedLen(payload[min(len(payload), 1):]); err != nil || size > most {
		return e, errors.New("no block")
	}
	if e.entry, err = decodeHead(payload); err != nil {
		return e, err
	}
	body, err := s2.Decode(nil, payload[1:])
	if err != nil {
		return e, err
	}
	r := &entryReader{rest: body}
	r.number() // device
	r.number() // slot
	r.skip(1)  // outcome
	r.number() // step
	r.number() // heartbeat
	r.skip(int(r.number()))
	e.lines, e.times = int(r.number()), map[int64]int64{}
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
		if kind == measurement.KindPort {
			e.times[instance] = at
		}
		r.values(len(kind.Sources()))
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

// values drops the values of a measurement: all counters, or each with two bits that say what it is.
func (r *entryReader) values(n int) {
	if r.skip(1) == 0 {
		for range n {
			r.number()
		}
		return
	}
	forms := slices.Clone(r.rest[:min((n+3)/4, len(r.rest))])
	r.skip((n + 3) / 4)
	for i := range n {
		switch {
		case r.failed:
			return
		case forms[i/4]>>(i%4*2)&3 == 1:
			r.number()
		case forms[i/4]>>(i%4*2)&3 == 2:
			r.skip(8)
		}
	}
}

// entries are what was seen until now, each slot once, in the order in which they came.
func (l *logTail) entries() []tailed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// spoiled is how many entries were seen that nobody can read.
func (l *logTail) spoiled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.damaged)
}
