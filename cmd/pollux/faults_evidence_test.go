//go:build faults

package main_test

import (
	"bufio"
	"context"
	"os"
	"slices"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/simulator"
)

// What the history checker judges: polls as the devices saw them, and the queues as they stand.

// visitPause is how long a client asks nothing until its next request counts as another poll's.
const visitPause = 12 * time.Second

// visits are the polls as the devices saw them, in order; those by which the
// test added a device are left out. The fleet must be stopped.
func (f *fleet) visits() (all []visit) {
	f.t.Helper()
	file, err := os.Open(f.answers)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	perDevice := make([][]simulator.Entry, f.devices)
	for entry, err := range simulator.ReadLog(bufio.NewReaderSize(file, 1<<20)) {
		if err != nil {
			f.t.Fatal(err)
		}
		if number, own := f.number(entry); own && entry.UnixNano > f.added[number].UnixNano() {
			perDevice[number] = append(perDevice[number], entry)
		}
	}
	for number, entries := range perDevice {
		slices.SortFunc(entries, func(a, b simulator.Entry) int { return int(a.UnixNano - b.UnixNano) })
		all = append(all, f.visitsOf(number, entries)...)
	}
	return all
}

func (f *fleet) visitsOf(number int, entries []simulator.Entry) (all []visit) {
	open := map[uint16]int{} // index of the visit of a client
	for _, e := range entries {
		at := time.Unix(0, e.UnixNano)
		i, known := open[e.Source]
		if !known || at.Sub(all[i].to) > visitPause {
			begun := at.Add(-f.latency / 2)
			i = len(all)
			open[e.Source] = i
			all = append(all, visit{slot: slot{f.ids[number], device.SlotAt(f.ids[number], f.interval, begun.Unix())}, source: e.Source, from: at})
		}
		all[i].to = at
		if e.Port == witness && e.Column == simulator.InOctets && e.Wide {
			all[i].reads = append(all[i].reads, at)
		}
	}
	return all
}

// judgeQueues is I6 for all queues.
func judgeQueues(ctx context.Context, client cluster.Client) (wrong []string) {
	queues, err := client.SMembers(ctx, "asynq:queues").Result()
	if err != nil {
		return []string{"I6: the queues cannot be listed: " + err.Error()}
	}
	slices.Sort(queues)
	for _, name := range queues {
		prefix := "asynq:{" + name + "}:"
		q := queueState{name: name, leased: map[string]bool{}}
		leased, err1 := client.ZRange(ctx, prefix+"lease", 0, -1).Result()
		active, err2 := client.LRange(ctx, prefix+"active", 0, -1).Result()
		// A task that was taken between the two questions has its lease now.
		later, err3 := client.ZRange(ctx, prefix+"lease", 0, -1).Result()
		archived, err4 := client.ZCard(ctx, prefix+"archived").Result()
		retry, err5 := client.ZCard(ctx, prefix+"retry").Result()
		for _, err := range []error{err1, err2, err3, err4, err5} {
			if err != nil {
				return []string{"I6: a queue cannot be read: " + err.Error()}
			}
		}
		for _, id := range append(leased, later...) {
			q.leased[id] = true
		}
		q.active, q.archived, q.retry = active, int(archived), int(retry)
		wrong = append(wrong, q.judge()...)
	}
	return wrong
}

func levelsOf(m metrics) levels {
	return levels{m.sum("process_resident_memory_bytes"), m.sum("go_goroutines")}
}
