//go:build faults

package main_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/redis/go-redis/v9"

	"pollux/polluxtest"
)

// damagedEntries are payloads that nobody can read, made of a good one: cut
// short, with bits turned over, and never right. A changed bit that leaves an
// entry readable is left out: nothing in an entry tells it from a good one.
func damagedEntries(good []byte, n int) (damaged []string) {
	random := rand.New(rand.NewPCG(23, 29))
	for len(damaged) < n {
		switch bad := bytes.Clone(good); len(damaged) % 4 {
		case 0:
			damaged = append(damaged, string(bad[:random.IntN(len(bad))]))
		case 1:
			bad[1+random.IntN(len(bad)-1)] ^= 1 << random.IntN(8)
			if _, err := s2.Decode(nil, bad[1:]); err != nil {
				damaged = append(damaged, string(bad))
			}
		case 2:
			bad[0] |= 0x80
			damaged = append(damaged, string(bad))
		case 3: // it says that it holds a gigabyte
			damaged = append(damaged, string(binary.AppendUvarint([]byte{bad[0]}, 1<<30))+string(bad[1:]))
		}
	}
	return damaged
}

// put adds payloads to the log, past all guards.
func (w *dataWorld) put(payloads []string) {
	w.t.Helper()
	_, err := w.client.Pipelined(w.t.Context(), func(pipe redis.Pipeliner) error {
		for _, payload := range payloads {
			pipe.XAdd(w.t.Context(), &redis.XAddArgs{Stream: journalStream, Values: []any{"e", payload}})
		}
		return nil
	})
	must(w.t, err)
}

// TestDataDamagedEntries puts entries that nobody can read into the log; then
// stops both targets and fills the log up to its cap. Damaged entries are
// dropped and counted, the cap cuts the oldest and counts them apart, and polling goes on.
func TestDataDamagedEntries(t *testing.T) {
	t.Parallel()
	const spoilt, filler = 200, 3900 // bytes: one takes a node of the stream
	targets := []*polluxtest.Server{polluxtest.RRDCached(t, shortWindow...), polluxtest.RRDCachedTCP(t, shortWindow...)}
	w := newDataWorld(t, polluxtest.MariaDB, dataSetup{targets: targets})
	newest, err := w.client.XRevRangeN(t.Context(), journalStream, "+", "-", 1).Result()
	must(t, err)
	good, _ := newest[0].Values["e"].(string)
	for _, payload := range damagedEntries([]byte(good), spoilt) { // among good ones
		w.put([]string{payload})
		<-time.After(50 * time.Millisecond)
	}
	undecodable := func() float64 { return w.sum("pollux_journal_cut_total", `kind="undecodable"`) }
	until(t, time.Minute, "both targets' recorders dropped the damaged entries", func() bool { return undecodable() >= 2*spoilt })
	if dropped := undecodable(); dropped != 2*spoilt || w.tail.spoiled() != spoilt {
		t.Errorf("%d entries were damaged, the test saw %d, the recorders of two targets dropped %.0f", spoilt, w.tail.spoiled(), dropped)
	}
	if cut := w.sum("pollux_journal_cut_total") - undecodable(); cut > 0 {
		t.Errorf("%.0f good entries were cut", cut)
	}
	pass(t, "there is a calm to compare with", time.Now().Add(calmFor))

	const limit = 24 << 20 // bytes of the log: a quarter of what Redis may use, read once a minute
	w.redis.Must("CONFIG", "SET", "maxmemory", strconv.Itoa(4*limit))
	addresses := w.targetAddresses()
	stopped := time.Now()
	for _, target := range targets {
		target.Stop() // what they acknowledged they write
	}
	acked := map[string]string{}
	for id, address := range addresses {
		if acked[address], err = w.client.HGet(t.Context(), journalStream+":cursor:"+id, "acked").Result(); err != nil {
			t.Fatal(err)
		}
	}
	pass(t, "the log has grown", stopped.Add(2*time.Minute))
	fill := make([]string, 100)
	for i := range fill {
		fill[i] = strings.Repeat("x", filler)
	}
	filled := 0
	untilEvery(t, 250*time.Millisecond, 5*time.Minute, "the journal is cut at its cap", func() bool {
		if s, err := w.status(); err != nil || s.Lost > 0 {
			return err == nil
		}
		if filled*filler < limit*5/4 {
			w.put(fill)
			filled += len(fill)
		}
		return false
	})
	pass(t, "polling goes on at the cap", time.Now().Add(2*dataInterval*time.Second))
	w.redis.Must("CONFIG", "SET", "maxmemory", "2gb")
	// The processes read maxmemory once a minute.
	pass(t, "the cap is out of reach", time.Now().Add(65*time.Second))
	status, err := w.status()
	must(t, err)
	first, err := w.client.XRangeN(t.Context(), journalStream, "-", "+", 1).Result()
	must(t, err)
	lost, atRisk := 1<<30, 0 // polls that no target has, and that one of them lacks
	for address, id := range acked {
		cut := w.tail.between(id, first[0].ID)
		w.cut[address] = map[slot]bool{}
		for _, e := range cut {
			w.cut[address][e.slot] = true
		}
		lost, atRisk = min(lost, len(cut)), max(atRisk, len(cut))
	}
	t.Logf("%d entries of filler; the log holds %d bytes of %d", filled, status.Bytes, limit)
	if lost == 0 {
		t.Error("no measurement was cut: the fault did not bite")
	}
	for _, target := range targets {
		target.Start()
	}
	back := time.Now()
	drained := w.drained(back, drainedIn)
	w.healed("all devices are polled in a whole slot", back, 1)
	v := w.judge("%d damaged entries dropped by the recorders of both targets; both away for %v: %d polls cut at the cap before any target had them, %d before both had; %d entries counted as lost and %d as acknowledged; drained after %v",
		spoilt, back.Sub(stopped).Round(time.Second), lost, atRisk, status.Lost, status.AtRisk, drained)
	v.wholly(t)
	w.unaffected(v, "the journal was at its cap", span{stopped, back})
	if status.Lost < int64(lost) || status.Lost > int64(lost+filled) || status.AtRisk < int64(atRisk-lost) {
		t.Errorf("%d polls were cut before any target had them, %d before both had; %d entries are counted as lost and %d as acknowledged", lost, atRisk, status.Lost, status.AtRisk)
	}
}

// targetAddresses are the addresses of the targets by their ids.
func (w *dataWorld) targetAddresses() map[string]string {
	w.t.Helper()
	var shown struct {
		Targets []struct{ Target, Address string }
	}
	must(w.t, json.Unmarshal([]byte(cli(w.t, w.dir, w.env, "journal", "status", "--json")), &shown))
	addresses := map[string]string{}
	for _, target := range shown.Targets {
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
