//go:build faults

package main_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"pollux/cluster"
)

// tailed is one entry of the log that a test saw.
type tailed struct {
	entry
	id    string // the one it had first
	lines int    // for RRDCached
}

// logTail reads the log while it grows, because with a short window RRDCached's
// part of it is trimmed long before a test ends.
type logTail struct {
	t      testing.TB
	client cluster.Client
	stop   func() // reads to the end of the log, and returns

	mu      sync.Mutex
	last    string
	all     []tailed       // in order, each slot once
	seen    map[slot]int   // how often
	damaged map[string]int // entries that nobody can read, by their ids
}

// followLog reads the log from now on.
func followLog(t testing.TB, client cluster.Client) *logTail {
	l := &logTail{t: t, client: client, seen: map[slot]int{}, damaged: map[string]int{}, last: "0-0"}
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
		messages, err := l.client.XRangeN(ctx, journalStream, "("+l.last, "+", count).Result()
		if err != nil {
			return err
		}
		l.mu.Lock()
		for _, message := range messages {
			payload, _ := message.Values["e"].(string)
			l.take(message.ID, []byte(payload))
		}
		l.mu.Unlock()
		if len(messages) < count {
			return nil
		}
	}
}

func (l *logTail) take(id string, payload []byte) {
	l.last = id
	head, lines, err := readEntry(payload)
	if err != nil {
		l.damaged[id]++
		return
	}
	head.at = appendedAt(l.t, id)
	l.seen[head.slot]++
	if l.seen[head.slot] == 1 {
		l.all = append(l.all, tailed{entry: head, id: id, lines: lines})
	}
}

// readEntry reads what a test needs to know of an entry, and how many lines it makes.
func readEntry(payload []byte) (head entry, lines int, err error) {
	const most = 1 << 24 // bytes: a damaged entry may claim any size
	if size, err := s2.DecodedLen(payload[min(len(payload), 1):]); err != nil || size > most {
		return head, 0, errors.New("no block")
	}
	if head, err = decodeHead(payload); err != nil {
		return head, 0, err
	}
	lines, err = linesOf(payload)
	return head, lines, err
}

// linesOf is how many measurements an entry holds, each a line for RRDCached.
func linesOf(payload []byte) (lines int, err error) {
	body, err := s2.Decode(nil, payload[1:])
	if err != nil {
		return 0, err
	}
	number := func() (n uint64) {
		n, size := binary.Uvarint(body)
		if size <= 0 {
			err = errors.New("cut short")
			return 0
		}
		body = body[size:]
		return n
	}
	number() // device
	number() // slot
	if len(body) == 0 {
		return 0, errors.New("cut short")
	}
	body = body[1:] // outcome
	number()        // step
	number()        // heartbeat
	directory := number()
	if err != nil || directory > uint64(len(body)) {
		return 0, errors.New("cut short")
	}
	body = body[directory:]
	return int(number()), err
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
