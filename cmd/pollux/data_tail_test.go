//go:build faults

package main_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"testing"
	"time"

	"pollux/cluster"
)

// tailed is one entry of the log that a test saw.
type tailed struct {
	entry
	id string // the one it had first
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
	e.at = appendedAt(l.t, id)
	l.seen[e.slot]++
	if l.seen[e.slot] == 1 {
		l.all = append(l.all, tailed{e, id})
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
