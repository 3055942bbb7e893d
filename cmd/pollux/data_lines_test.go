//go:build faults

package main_test

import (
	"fmt"
	"slices"
	"strings"

	"pollux/journal"
	"pollux/polluxtest"
)

// I5: appended = recorded + counted cuts, for each target of each log.

// countLines are the lines for a target, as the metrics of all consumers sum them up.
func countLines(sum func(name string, labels ...string) float64, target string) lines {
	of := func(result string) int {
		return int(sum("pollux_rrd_updates_total", fmt.Sprintf("target=%q", target), fmt.Sprintf("result=%q", result)))
	}
	return lines{accepted: of("accepted"), present: of("present"), refused: of("refused"), removed: of("removed")}
}

// linesIn are the lines that entries make for a target.
func linesIn(entries []tailed) (n int) {
	for _, e := range entries {
		n += e.lines
	}
	return n
}

// judgeLines is I5 for a cluster with one log.
//
// What a killed consumer counted after it was last asked, up to a second before, died with it. Where RRDCached
// was killed as well (TestDataRRDCachedKilled) no line is missing for that: the whole window was sent again,
// and counted by a process that lived. Where it was not (TestDataRecorderKilled) it began before the
// first line, and its own count has every line that it was sent. That count has also what two
// recorders sent one after the other: whether each line is in its file is what I3 says.
func (w *dataWorld) judgeLines(v verdict, status journal.Status) {
	w.t.Helper()
	died := slices.ContainsFunc(w.all, func(p *process) bool {
		return strings.HasPrefix(p.name, "c") && p.command.ProcessState != nil && p.command.ProcessState.ExitCode() < 0
	})
	for _, target := range w.targets {
		l := countLines(w.sum, target.Address)
		l.appended, l.cut = v.lines, v.lines
		for _, e := range w.kept(target) {
			l.cut -= e.lines
		}
		if died {
			l.received = int(w.stats(target).UpdatesReceived)
		}
		w.t.Logf("I5: %s: %v", target.Address, l)
		w.report(l.judge())
	}
	if len(w.cut) == 0 {
		w.judgeCuts(status)
	}
}

// judgeCuts fails the test when a journal that was never full gave up entries.
func (w *dataWorld) judgeCuts(status journal.Status) {
	w.t.Helper()
	if status.Lost+status.AtRisk > 0 {
		w.t.Errorf("I5: the journal counts %d entries as cut and lost and %d as cut and acknowledged", status.Lost, status.AtRisk)
	}
}

// judgeShardLines is I5 for each shard: a device's lines are in the log of the shard that it was in, and those that
// the first shard's daemons are sent again after it has moved are dropped. All entries must have been recorded.
func (w *dataWorld) judgeShardLines(shards *journal.Shards, rrds map[int][]*polluxtest.Server, logs map[int]*logTail) {
	w.t.Helper()
	for shard, servers := range rrds {
		status, err := shards.Shard(shard).Status(w.t.Context())
		must(w.t, err)
		w.judgeCuts(status)
		for _, server := range servers {
			l := countLines(w.sum, server.Address)
			l.appended, l.removing = linesIn(logs[shard].entries()), true
			w.t.Logf("I5: shard %d, %s: %v", shard, server.Address, l)
			w.report(l.judge())
		}
	}
}
