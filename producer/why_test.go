package producer

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/tasks"
)

// well are the facts of a device of 10 s that was polled 2 s after its present slot began, 3 s ago.
func well() Facts {
	d := device.Device{ID: 1, Hostname: "sw1", Interval: 10, Group: 3, Status: device.StatusUp, CreatedAt: time.Unix(epoch-86_400, 0)}
	slot := device.SlotAt(1, 10, epoch)
	return Facts{
		Now: time.Unix(slot+5, 0), Device: d, GroupName: "Berlin", GroupExists: true, Distributed: true,
		Queue:  QueueState{Name: "poller:3", Group: 3, Devices: 30, Nodes: []string{"c1", "c2"}, Active: 4, Latency: 7 * time.Second},
		Memory: Memory{Used: 1 << 20, Limit: 100 << 20},
		Leader: cluster.ParseHolder("p1/h:1/x"), Slot: slot, Next: slot + 10,
		Last: journal.Last{Slot: slot, Before: [journal.Remembered - 1]int64{slot - 10}, SampleAt: time.Unix(slot+2, 0), Outcome: device.OutcomeUp},
		Task: TaskFacts{State: "completed"}, Outside: Outside{RRDCached: map[string]error{"unix:/rrd": nil}},
	}
}

// neglected is a device whose last four slots were not finished.
func neglected(f *Facts) {
	f.Last = journal.Last{Slot: f.Slot - 40, Before: [journal.Remembered - 1]int64{f.Slot - 50}, Outcome: device.OutcomeUp}
	f.Task = TaskFacts{}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	away := errors.New("nothing listens there")
	seen := map[string]bool{}
	for _, c := range []struct {
		name   string
		change func(f *Facts)
		code   string
		polled bool
		says   []string // in the text or the advice
	}{
		{"polled fine", func(*Facts) {}, WhyUp, true, []string{"polled 3s ago", "next slot begins in 5s"}},
		{"polled in the last slot, the present one has just begun", func(f *Facts) {
			f.Last.Slot, f.Last.SampleAt = f.Slot-10, time.Unix(f.Slot-9, 0)
			f.Task = TaskFacts{State: "pending"}
		}, WhyUp, true, []string{"polled 14s ago"}},
		{"partial", func(f *Facts) { f.Last.Outcome, f.Device.StatusReason = device.OutcomePartial, "ports: timeout" }, WhyPartial, true, []string{"in part: ports: timeout", "poll sw1 -v"}},
		{"down", func(f *Facts) {
			f.Last.Outcome, f.Last.SampleAt, f.DownSince = device.OutcomeDown, time.Time{}, time.Unix(epoch-3600, 0)
			f.Device.PolledSlot, f.Device.PolledAt = f.Slot, time.Unix(f.Slot+1, 0)
		}, WhyDown, true, []string{"polled 4s ago", "does not answer, since 20", "probed once per slot"}},
		{"down for longer than the eventlog", func(f *Facts) { f.Last.Outcome = device.OutcomeDown }, WhyDown, true, []string{"does not answer; it is probed"}},
		{"wrong credentials", func(f *Facts) { f.Last.Outcome = device.OutcomeAuth }, WhyAuth, true, []string{"refuses the credentials", "pollux device set sw1"}},
		{"RRDCached is away", func(f *Facts) { f.RRDCached["unix:/rrd"] = away }, WhyRRDCached, true, []string{"RRDCached unix:/rrd does not answer", "journal keeps"}},
		{"disabled", func(f *Facts) { f.Device.Disabled = true; f.Redis = away }, WhyDisabled, false, []string{"disabled", "--enable"}},
		{"Redis is away", func(f *Facts) { f.Redis, f.Leader = away, cluster.Holder{} }, WhyRedis, false, []string{"nothing listens there", "pollux doctor"}},
		{"the journal's Redis is away", func(f *Facts) { f.Journal = away }, WhyJournal, false, []string{"nothing listens there"}},
		{"its group is gone", func(f *Facts) { f.GroupExists, f.GroupName = false, "" }, WhyNoGroup, false, []string{"poller group 3 does not exist", "--group 0"}},
		{"no leader", func(f *Facts) { f.Leader = cluster.Holder{}; f.Queue.Nodes = nil }, WhyNoLeader, false, []string{"no producer leads", "pollux producer"}},
		{"no node", func(f *Facts) { f.Queue.Nodes = nil }, WhyNoNode, false, []string{"no live node serves poller group 3 (Berlin)", "last polled 3s ago"}},
		{"no node at all", func(f *Facts) { f.Queue.Nodes, f.Distributed = nil, false }, WhyNoNode, false, []string{"no consumer lives", "pollux consumer"}},
		{"drained", func(f *Facts) { f.Queue.Nodes, f.Queue.Drained = nil, []string{"c1", "c2"} }, WhyDrained, false, []string{"drained (c1, c2)", "undrain c1"}},
		{"skewed", func(f *Facts) { f.Queue.Nodes, f.Queue.Skewed = nil, []string{"c1"} }, WhySkewed, false, []string{"(c1)", "clocks"}},
		{"one of its nodes is drained", func(f *Facts) { f.Queue.Drained = []string{"c9"} }, WhyUp, true, nil},
		{"paused", func(f *Facts) { f.Queue.Paused, f.Queue.PausedSince = true, time.Unix(epoch-5, 0) }, WhyPaused, false, []string{"poller:3 is paused since ", "pollux queue resume poller:3"}},
		{"memory", func(f *Facts) { f.Memory.Used = 80 << 20 }, WhyMemory, false, []string{"80 of 100 MiB"}},
		{"memory without a limit", func(f *Facts) { f.Memory = Memory{Used: 1 << 40} }, WhyUp, true, nil},
		{"a new interval", func(f *Facts) { f.Slot, f.Next, f.Device.SlotFrom = 0, f.Slot+100, f.Slot+95 }, WhyStartsLater, true, []string{"first slot of 10 s begins at", "in 1m35s"}},
		{"just added", func(f *Facts) {
			f.Last, f.Task, f.Device.CreatedAt = journal.Last{}, TaskFacts{}, f.Now.Add(-2*time.Second)
		}, WhyStartsLater, false, []string{"added 2s ago", "begins at"}},
		{"just added and offered", func(f *Facts) {
			f.Last, f.Task, f.Device.CreatedAt = journal.Last{}, TaskFacts{State: "pending"}, f.Now.Add(-2*time.Second)
		}, WhyStartsLater, false, nil},
		{"just added and polled now", func(f *Facts) {
			f.Last, f.Task, f.Device.CreatedAt = journal.Last{}, TaskFacts{State: "active"}, f.Now.Add(-2*time.Second)
		}, WhyPolling, false, []string{"never polled"}},
		{"another poll holds its lease", func(f *Facts) {
			neglected(f)
			f.Task, f.Lease, f.Lapse = TaskFacts{State: "active", Place: "h:1"}, cluster.ParseHolder("c2/h:2/x"), 4*time.Second
		}, WhyLease, false, []string{"that of c2 (h:2), which lapses in 4s", "last polled 45s ago"}},
		{"its own poll holds its lease", func(f *Facts) {
			neglected(f)
			f.Task, f.Lease = TaskFacts{State: "active", Place: "h:2"}, cluster.ParseHolder("c2/h:2/x")
		}, WhyPolling, false, []string{"now by c2", "4.5 intervals"}},
		{"queue full", func(f *Facts) { neglected(f); f.Queue.Pending = 60 }, WhyQueueFull, false, []string{"60 tasks wait for 30 devices", "service_poller_workers"}},
		{"queue full, but its task is in it", func(f *Facts) { neglected(f); f.Queue.Pending, f.Task.State = 60, "pending" }, WhyBacklog, false, []string{"60 tasks, the oldest for 7s, while 4 tasks of 2 nodes run"}},
		{"backlog", func(f *Facts) { neglected(f); f.Queue.Pending, f.Task.State = 20, "pending" }, WhyBacklog, false, []string{"behind others"}},
		{"credentials that do not open", func(f *Facts) {
			neglected(f)
			f.Task = TaskFacts{State: "retry", LastError: "handed back: " + tasks.CredentialsDoNotOpen}
		}, WhyCredentials, false, []string{"credentials do not open", "device set sw1", "APP_PREVIOUS_KEYS"}},
		{"credentials that did not open until the slot was over", func(f *Facts) {
			neglected(f)
			f.Task = TaskFacts{State: "completed", LastError: "handed back: " + tasks.CredentialsDoNotOpen}
		}, WhyCredentials, false, nil},
		{"handed back", func(f *Facts) {
			neglected(f)
			f.Task = TaskFacts{State: "retry", NextAt: time.Unix(epoch, 0), LastError: "too many workers ask devices that are down"}
		}, WhyHandedBack, false, []string{"too many workers"}},
		{"failed", func(f *Facts) { neglected(f); f.Task = TaskFacts{State: "archived", LastError: "boom"} }, WhyFailed, false, []string{"failed: boom"}},
		{"ended without a poll", func(f *Facts) { neglected(f); f.Task.State = "completed" }, WhyUnfinished, false, []string{"without a poll"}},
		{"not offered", neglected, WhyNotOffered, false, []string{"45s ago, 4.5 intervals", "no task of its present slot", "leading producer, p1"}},
		{"never polled and not offered", func(f *Facts) { neglected(f); f.Last = journal.Last{} }, WhyNotOffered, false, []string{"never polled"}},
	} {
		f := well()
		c.change(&f)
		f.Unpolled = unpolled(scheduled(f.Device), f.Last, 0, 0, f.Now.Unix())
		v := Explain(f)
		seen[v.Code] = true
		if v.Code != c.code || v.Polled != c.polled || v.Text == "" || strings.ContainsAny(v.Text+v.Advice, "\n") {
			t.Errorf("%s: %+v, want %s, polled %t", c.name, v, c.code, c.polled)
		}
		for _, part := range c.says {
			if !strings.Contains(v.Text+"; "+v.Advice, part) {
				t.Errorf("%s: %q %q does not say %q", c.name, v.Text, v.Advice, part)
			}
		}
		if bad := c.code != WhyUp && c.code != WhyPolling && c.code != WhyStartsLater; bad && v.Advice == "" {
			t.Errorf("%s: no word on what to do", c.name)
		}
	}
	page, err := os.ReadFile("../docs/troubleshoot.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range verdictCodes(t) {
		if !seen[code] {
			t.Errorf("no case ends in the verdict %q", code)
		}
		if !strings.Contains(string(page), "`"+code+"`") {
			t.Errorf("docs/troubleshoot.md does not explain the verdict %q", code)
		}
	}
}

// verdictCodes are the codes in the source.
func verdictCodes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "why.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Why") {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		return true
	})
	if len(codes) < 20 {
		t.Fatalf("found only %v in why.go", codes)
	}
	return codes
}
