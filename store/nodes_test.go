package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

// nodeBehaviours are those of nodes and of what is purged with time.
var nodeBehaviours = []behaviour{
	{"a node keeps its orders whatever it reports", nodeOrders},
	{"orders are checked, and those who gave them are named", nodeOrderEvents},
	{"a removed node comes back with its next report", nodeRemoval},
	{"the presence of a node is noted once", nodePresence},
	{"a stop and a crash are events, a crash loop is one", nodeStops},
	{"the history of a node is listed newest first and purged", nodeHistory},
	{"outages that are over are purged", outagePurge},
}

// reportOf is what a process says of itself.
func reportOf(id string) device.Node {
	return device.Node{
		NodeID: id, Role: "consumer", Host: "h1", PID: 42, Version: "v1", Own: []int64{1, 2}, Served: []int64{1}, State: device.NodeActive,
		LastSeen: start.Truncate(time.Millisecond), Started: start.Truncate(time.Millisecond).Add(-time.Hour),
	}
}

func report(t *testing.T, e engine, n device.Node) {
	t.Helper()
	if err := e.SaveNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

func findNode(t *testing.T, e engine, role, id string) (device.Node, bool) {
	t.Helper()
	nodes, err := e.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(nodes, func(n device.Node) bool { return n.NodeID == id && n.Role == role })
	if i < 0 {
		return device.Node{}, false
	}
	return nodes[i], true
}

// nodeMessages are the events about a node as "severity actor message", oldest first.
func nodeMessages(t *testing.T, e engine, id string) []string {
	t.Helper()
	events, err := e.Events(t.Context(), EventFilter{Type: "node"})
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, event := range slices.Backward(events) {
		if event.Node == id {
			list = append(list, fmt.Sprintf("%s %s %s", event.Severity, event.Actor, event.Message))
		}
	}
	return list
}

func order(t *testing.T, e engine, id string, change func(o *device.Orders)) device.Orders {
	t.Helper()
	after, err := e.ChangeNode(t.Context(), "consumer", id, "alice", func(o *device.Orders) error { change(o); return nil })
	if err != nil {
		t.Fatal(err)
	}
	read, err := e.NodeOrders(t.Context(), "consumer", id)
	if err != nil || !reflect.DeepEqual(read, after) {
		t.Errorf("the orders are %+v, read again %+v, %v", after, read, err)
	}
	return after
}

func nodeOrders(t *testing.T, e engine) {
	own := reportOf("orders")
	want := own
	want.Groups = own.Own
	check := func(what string) {
		t.Helper()
		report(t, e, own)
		want.LastSeen, want.PID, want.Own, want.Served, want.State = own.LastSeen, own.PID, own.Own, own.Served, own.State
		if got, _ := findNode(t, e, "consumer", "orders"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
		}
	}
	check("reported")
	order(t, e, "orders", func(o *device.Orders) { o.Assigned, o.Groups, o.Workers, o.Draining = true, []int64{0}, 7, true })
	own.LastSeen, own.PID, own.Served, own.State = own.LastSeen.Add(time.Minute), 43, []int64{}, device.NodeDrained
	want.Groups, want.Assigned, want.Workers, want.Draining = []int64{0}, true, 7, true
	check("assigned, given workers and drained")
	order(t, e, "orders", func(o *device.Orders) { o.Groups = nil })
	want.Groups = []int64{}
	check("assigned to nothing")
	order(t, e, "orders", func(o *device.Orders) { *o = device.Orders{} })
	want.Groups, want.Assigned, want.Workers, want.Draining = own.Own, false, 0, false
	check("on its own again")
	own.Own, own.Served = nil, nil
	want.Groups = nil
	check("of a role without groups")
	if orders, err := e.NodeOrders(t.Context(), "consumer", "no such node"); err != nil || !reflect.DeepEqual(orders, device.Orders{}) {
		t.Errorf("a node without a row has the orders %+v, %v", orders, err)
	}
}

func nodeOrderEvents(t *testing.T, e engine) {
	const id = "audited"
	report(t, e, reportOf(id))
	north, err := e.AddGroup(t.Context(), device.Group{Name: "node north"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	order(t, e, id, func(o *device.Orders) { o.Assigned, o.Groups, o.Workers = true, []int64{0, north.ID}, 9 })
	order(t, e, id, func(o *device.Orders) { o.Draining = true })
	order(t, e, id, func(o *device.Orders) { o.Draining = true })
	order(t, e, id, func(o *device.Orders) { o.Draining, o.Groups, o.Workers = false, []int64{}, 0 })
	order(t, e, id, func(o *device.Orders) { o.Assigned, o.Groups = false, nil })
	same(t, "events", nodeMessages(t, e, id), []string{
		fmt.Sprintf("notice alice consumer audited: poller groups of its .env -> 0,%d; workers default -> 9", north.ID),
		"notice alice consumer audited: drained: it takes nothing new",
		fmt.Sprintf("notice alice consumer audited: poller groups 0,%d -> none; workers 9 -> default; undrained", north.ID),
		"notice alice consumer audited: poller groups none -> of its .env",
	})
	before, _ := findNode(t, e, "consumer", id)
	own := errors.New("own")
	for what, c := range map[string]struct {
		role, id string
		change   func(o *device.Orders) error
		want     error
	}{
		"a group that does not exist": {"consumer", id, func(o *device.Orders) error { o.Assigned, o.Groups = true, []int64{0, 1 << 40}; return nil }, ErrNotFound},
		"another role":                {"producer", id, func(o *device.Orders) error { o.Draining = true; return nil }, ErrNotFound},
		"another node":                {"consumer", "nobody", func(o *device.Orders) error { o.Draining = true; return nil }, ErrNotFound},
		"too many workers":            {"consumer", id, func(o *device.Orders) error { o.Workers = 10_001; return nil }, ErrInvalid},
		"fewer than no workers":       {"consumer", id, func(o *device.Orders) error { o.Workers = -1; return nil }, ErrInvalid},
		"an error of its own":         {"consumer", id, func(o *device.Orders) error { o.Draining = true; return own }, own},
	} {
		if _, err := e.ChangeNode(t.Context(), c.role, c.id, "alice", c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after, _ := findNode(t, e, "consumer", id); !reflect.DeepEqual(after, before) {
		t.Errorf("what was refused changed the row:\n%+v\n%+v", before, after)
	}
}

func nodeRemoval(t *testing.T, e engine) {
	const id = "removed"
	report(t, e, reportOf(id))
	order(t, e, id, func(o *device.Orders) { o.Draining = true })
	if err := e.RemoveNode(t.Context(), "consumer", id, "bob"); err != nil {
		t.Fatal(err)
	}
	if n, found := findNode(t, e, "consumer", id); found {
		t.Errorf("it is still there: %+v", n)
	}
	if err := e.RemoveNode(t.Context(), "consumer", id, "bob"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	report(t, e, reportOf(id))
	if n, found := findNode(t, e, "consumer", id); !found || n.Draining || n.Presence != "" {
		t.Errorf("it came back as %+v, %t", n, found)
	}
	same(t, "events", nodeMessages(t, e, id), []string{"notice alice consumer removed: drained: it takes nothing new", "notice bob consumer removed removed"})
}

// Two leaders may see the same at the same time, and one may see it again.
func nodePresence(t *testing.T, e engine) {
	const id = "seen"
	report(t, e, reportOf(id))
	for _, to := range []device.Presence{device.PresencePresent, device.PresenceMissing, device.PresencePresent} {
		seen, _ := findNode(t, e, "consumer", id)
		var wrote atomic.Int64
		var leaders sync.WaitGroup
		for range 4 {
			leaders.Go(func() {
				noted, err := e.NoteNode(t.Context(), seen, to, device.Event{Time: time.Now(), Type: "node", Severity: device.SeverityInfo, Node: id, Message: string(to)})
				if err != nil {
					t.Error(err)
				}
				if noted {
					wrote.Add(1)
				}
			})
		}
		leaders.Wait()
		if now, _ := findNode(t, e, "consumer", id); wrote.Load() != 1 || now.Presence != to {
			t.Errorf("%d wrote that it is %s; it is %s", wrote.Load(), to, now.Presence)
		}
		report(t, e, reportOf(id)) // which changes nothing of it
	}
	same(t, "events", nodeMessages(t, e, id), []string{"info  present", "info  missing", "info  present"})
}

func nodeStops(t *testing.T, e engine) {
	const id = "crashing"
	n := reportOf(id)
	stopped := n
	stopped.State = device.NodeStopped
	report(t, e, n)
	report(t, e, stopped) // nobody has seen it yet
	note := func(to device.Presence) {
		t.Helper()
		seen, _ := findNode(t, e, "consumer", id)
		if _, err := e.NoteNode(t.Context(), seen, to, device.Event{Type: "test", Time: start}); err != nil {
			t.Fatal(err)
		}
	}
	note(device.PresencePresent)
	report(t, e, stopped)
	report(t, e, stopped)
	note(device.PresencePresent)
	for i, lived := range []time.Duration{time.Hour, time.Minute, time.Minute, 4 * time.Minute} {
		n.Started, n.PID, n.Host = n.Started.Add(lived), n.PID+1, fmt.Sprintf("h%d", i+2)
		report(t, e, n)
		report(t, e, n)
	}
	same(t, "events", nodeMessages(t, e, id), []string{
		"info  consumer crashing stopped (host h1, pid 42)",
		"warning  consumer crashing was started again (host h2, pid 43) without having stopped (host h1, pid 42)",
	})
	if now, _ := findNode(t, e, "consumer", id); now.PID != 46 || now.Host != "h5" || now.Presence != device.PresencePresent {
		t.Errorf("the row is %+v", now)
	}
}

func nodeHistory(t *testing.T, e engine) {
	old := time.UnixMilli(1_000_000_200_000).UTC() // long before what other behaviours write
	window := func(i int) device.NodeHistory {
		return device.NodeHistory{
			NodeID: "historic", Role: "consumer", At: old.Add(time.Duration(i) * 5 * time.Minute), Pending: int64(i), Groups: []int64{0, 3},
			Work: device.Work{
				Kind: "poller", Workers: 100, Window: 5 * time.Minute, Done: int64(10 + i), Errors: 1, Busy: 1234 * time.Millisecond, Capacity: 500 * time.Minute,
				LatenessMean: 20 * time.Millisecond, LatenessMax: time.Second,
			},
		}
	}
	var all []device.NodeHistory
	for i := range 5 {
		all = append(all, window(i))
	}
	again := window(4)
	again.Done, again.Groups = 99, []int64{}
	other := window(2)
	other.NodeID = "another"
	for _, windows := range [][]device.NodeHistory{nil, all, {again, other}} {
		if err := e.AddNodeHistory(t.Context(), windows); err != nil {
			t.Fatal(err)
		}
	}
	list, err := e.NodeHistory(t.Context(), "consumer", "historic", 3)
	if want := []device.NodeHistory{again, window(3), window(2)}; err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("listed %+v, %v\nwant %+v", list, err, want)
	}
	removed, err := e.PurgeNodeHistory(t.Context(), old.Add(10*time.Minute))
	if err != nil || removed != 2 {
		t.Errorf("purged %d, %v", removed, err)
	}
	if list, err = e.NodeHistory(t.Context(), "consumer", "historic", 0); err != nil || len(list) != 3 {
		t.Errorf("left %+v, %v", list, err)
	}
}

func outagePurge(t *testing.T, e engine) {
	d := added(t, e)
	old := time.UnixMilli(1_000_000_000_000)
	err := e.tx(t.Context(), "test", func(ctx context.Context, tx bun.Tx) error {
		rows := []outageRow{
			{DeviceID: d.ID, GoingDown: millis(old.Add(-time.Hour))}, // it goes on
		}
		for i := range purgeBatch + 3 {
			row := outageRow{DeviceID: d.ID, GoingDown: millis(old) - 1}
			row.UpAgain.Int64, row.UpAgain.Valid = millis(old.Add(time.Duration(i-3)*time.Millisecond)), true
			rows = append(rows, row)
		}
		_, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	removed, err := e.PurgeOutages(t.Context(), old.Add(purgeBatch*time.Millisecond-time.Millisecond))
	if err != nil || removed != purgeBatch+2 {
		t.Errorf("purged %d, %v", removed, err)
	}
	left := outages(t, e, d.ID)
	if len(left) != 2 || !left[0].UpAgain.IsZero() {
		t.Errorf("left %v", left)
	}
}
