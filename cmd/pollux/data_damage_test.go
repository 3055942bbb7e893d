//go:build faults

package main_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
)

// damagedEntry is an entry of the log with the checksum of the good one that it was made of, or "" for none.
type damagedEntry struct{ payload, sum string }

// damagedEntries are made of a good one: cut short, with bits turned over, and never right.
// Half of them have its checksum, which tells a changed bit that leaves an entry readable, too. In the others,
// as a program before the checksums wrote them, nothing tells that from a good one: it is left out.
func damagedEntries(good []byte, sum string, n int) (entries []damagedEntry) {
	random := rand.New(rand.NewPCG(23, 29))
	var damaged []string
	for len(damaged) < n {
		switch bad := bytes.Clone(good); len(damaged) % 4 {
		case 0:
			damaged = append(damaged, string(bad[:random.IntN(len(bad))]))
		case 1:
			bad[1+random.IntN(len(bad)-1)] ^= 1 << random.IntN(8)
			if _, err := s2.Decode(nil, bad[1:]); err != nil || sumOf(len(damaged), sum) != "" {
				damaged = append(damaged, string(bad))
			}
		case 2:
			bad[0] |= 0x80
			damaged = append(damaged, string(bad))
		case 3: // it says that it holds a gigabyte
			damaged = append(damaged, string(binary.AppendUvarint([]byte{bad[0]}, 1<<30))+string(bad[1:]))
		}
	}
	for i, payload := range damaged {
		entries = append(entries, damagedEntry{payload, sumOf(i, sum)})
	}
	return entries
}

// sumOf gives every other four the checksum, so that each kind of damage is there with and without one.
func sumOf(i int, sum string) string {
	if i/4%2 == 0 {
		return sum
	}
	return ""
}

// put adds entries to the log, past all guards.
func (w *dataWorld) put(entries []damagedEntry) {
	w.t.Helper()
	_, err := w.client.Pipelined(w.t.Context(), func(pipe redis.Pipeliner) error {
		for _, e := range entries {
			values := []any{"e", e.payload}
			if e.sum != "" {
				values = append(values, "c", e.sum)
			}
			pipe.XAdd(w.t.Context(), &redis.XAddArgs{Stream: journalStream, Values: values})
		}
		return nil
	})
	must(w.t, err)
}

// dropsDamaged puts so many entries that nobody can read among good ones. The recorders drop these, and no other.
func (w *dataWorld) dropsDamaged(n int) {
	w.t.Helper()
	newest, err := w.client.XRevRangeN(w.t.Context(), journalStream, "+", "-", 1).Result()
	must(w.t, err)
	good, _ := newest[0].Values["e"].(string)
	sum, _ := newest[0].Values["c"].(string)
	if sum == "" {
		w.t.Errorf("entry %s has no checksum", newest[0].ID)
	}
	for _, entry := range damagedEntries([]byte(good), sum, n) {
		w.put([]damagedEntry{entry})
		<-time.After(50 * time.Millisecond)
	}
	all := float64(n * len(w.targets))
	undecodable := func() float64 { return w.sum("pollux_journal_cut_total", `kind="undecodable"`) }
	until(w.t, time.Minute, "the recorders of all targets dropped the damaged entries", func() bool { return undecodable() >= all })
	// A recorder that takes over, or goes back, drops some of them again.
	if dropped := undecodable(); dropped < all || w.tail.spoiled() != n {
		w.t.Errorf("%d entries were damaged, the test saw %d, the recorders of %d targets dropped %.0f", n, w.tail.spoiled(), len(w.targets), dropped)
	}
	if cut := w.sum("pollux_journal_cut_total") - undecodable(); cut > 0 {
		w.t.Errorf("%.0f good entries were cut", cut)
	}
}

// fillToTheCap fills the log until the journal cuts it at a number of bytes, a
// quarter of what Redis may use. Polls of at least two minutes are in it before, so that they are cut first.
func (w *dataWorld) fillToTheCap(limit int) (filled int) {
	w.t.Helper()
	const filler = 3900 // bytes: one takes a node of the stream
	w.redis.Must("CONFIG", "SET", "maxmemory", strconv.Itoa(4*limit))
	pass(w.t, "the processes know the cap, which they read once a minute", time.Now().Add(2*time.Minute))
	fill := slices.Repeat([]damagedEntry{{payload: strings.Repeat("x", filler)}}, 100)
	untilEvery(w.t, 250*time.Millisecond, 5*time.Minute, "the journal is cut at its cap", func() bool {
		if s, err := w.status(); err != nil || s.Lost > 0 {
			return err == nil
		}
		if filled*filler < limit*5/4 {
			w.put(fill)
			filled += len(fill)
		}
		return false
	})
	pass(w.t, "polling goes on at the cap", time.Now().Add(2*dataInterval*time.Second))
	w.redis.Must("CONFIG", "SET", "maxmemory", "2gb")
	pass(w.t, "the cap is out of reach", time.Now().Add(65*time.Second))
	return filled
}

// noteCuts notes what each target lacked when the log was cut. lost are the polls
// that no target has, atRisk those that at least one lacks.
func (w *dataWorld) noteCuts(acked map[string]string) (lost, atRisk int) {
	w.t.Helper()
	first, err := w.client.XRangeN(w.t.Context(), journalStream, "-", "+", 1).Result()
	must(w.t, err)
	lost = 1 << 30
	for address, id := range acked {
		cut := w.tail.between(id, first[0].ID)
		w.cut[address] = map[slot]bool{}
		for _, e := range cut {
			w.cut[address][e.slot] = true
		}
		lost, atRisk = min(lost, len(cut)), max(atRisk, len(cut))
	}
	return lost, atRisk
}

// TestDataDamagedEntries puts entries that nobody can read into the log; then
// stops both targets and fills the log up to its cap. Damaged entries are
// dropped and counted, the cap cuts the oldest and counts them apart, and polling goes on.
func TestDataDamagedEntries(t *testing.T) {
	t.Parallel()
	const spoilt, limit = 200, 24 << 20
	targets := []*polluxtest.Server{polluxtest.RRDCached(t, shortWindow...), polluxtest.RRDCachedTCP(t, shortWindow...)}
	w := newDataWorld(t, polluxtest.MariaDB, dataSetup{targets: targets})
	w.dropsDamaged(spoilt)
	pass(t, "there is a calm to compare with", time.Now().Add(calmFor))

	addresses, acked := w.targetAddresses(), map[string]string{}
	stopped := time.Now()
	for _, target := range targets {
		target.Stop() // what they acknowledged they write
	}
	for id, address := range addresses {
		var err error
		acked[address], err = w.client.HGet(t.Context(), journalStream+":cursor:"+id, "acked").Result()
		must(t, err)
	}
	filled := w.fillToTheCap(limit)
	lost, atRisk := w.noteCuts(acked)
	status, err := w.status()
	must(t, err)
	if lost == 0 || status.Bytes > limit {
		t.Errorf("%d polls were cut, the log holds %d bytes of %d", lost, status.Bytes, limit)
	}
	for _, target := range targets {
		target.Start()
	}
	back := time.Now()
	drained := w.drained(back, drainedIn)
	w.healed("all devices are polled in a whole slot", back, 1)
	v := w.judge("%d damaged entries dropped by the recorders of both targets; both away for %v: %d polls cut before any target had them, %d before both had; "+
		"%d entries counted as lost and %d as acknowledged; drained after %v", spoilt, back.Sub(stopped).Round(time.Second), lost, atRisk, status.Lost, status.AtRisk, drained)
	v.wholly(t, stopped)
	w.unaffected(v, "the journal was at its cap", span{stopped, back})
	if status.Lost < int64(lost) || status.Lost > int64(lost+filled) || status.AtRisk < int64(atRisk-lost) {
		t.Errorf("%d polls were cut before any target had them, %d before both had; %d entries are counted as lost and %d as acknowledged", lost, atRisk, status.Lost, status.AtRisk)
	}
}

// targetAddresses are the addresses of the targets by their ids.
func (w *dataWorld) targetAddresses() map[string]string {
	w.t.Helper()
	var shown struct {
		Items []struct { // a shard each
			Targets []struct{ Target, Address string }
		}
	}
	must(w.t, json.Unmarshal([]byte(cli(w.t, w.dir, w.env, "journal", "status", "--json")), &shown))
	addresses := map[string]string{}
	for _, target := range shown.Items[0].Targets {
		addresses[target.Target] = target.Address
	}
	if len(addresses) != len(w.targets) {
		w.t.Fatalf("the journal has the targets %v", addresses)
	}
	return addresses
}

// laterID says whether the id of an entry comes after another one.
func laterID(a, b string) bool {
	var aMS, aSeq, bMS, bSeq uint64
	_, _ = fmt.Sscanf(a, "%d-%d", &aMS, &aSeq)
	_, _ = fmt.Sscanf(b, "%d-%d", &bMS, &bSeq)
	return aMS > bMS || aMS == bMS && aSeq > bSeq
}

// between are the entries after one id and before another.
func (l *logTail) between(after, before string) (found []tailed) {
	for _, e := range l.entries() {
		if laterID(e.id, after) && laterID(before, e.id) {
			found = append(found, e)
		}
	}
	return found
}
