package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
)

var pollBehaviours = []behaviour{
	{"a poll writes status, times and facts", pollWrites},
	{"a poll without facts keeps the known ones", pollKeepsFacts},
	{"an older poll changes nothing at all", pollStale},
	{"status changes make events and outages", pollStatus},
	{"outages are listed for availability", pollOutages},
	{"a poll brings its own events", pollEvents},
	{"a poll of nothing finished is refused", pollRefused},
	{"an unchanged poll takes two statements", pollStatements},
	{"racing polls leave the newest", pollRace},
	{"hostile texts are stored", pollHostile},
}

func pollWrites(t *testing.T, e engine) {
	d := added(t, e)
	p := pollOf(d, 1)
	p.Outcome, p.Reason = device.OutcomePartial, "ports: timeout"
	save(t, e, p)
	want := d
	want.Status, want.StatusReason, want.LastOutcome = device.StatusUp, "ports: timeout", device.OutcomePartial
	want.PolledAt, want.PolledSlot, want.PollDuration, want.Facts = p.At.Truncate(time.Millisecond), p.Slot, p.Duration, *p.Facts
	if got := reread(t, e, d.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	got, ports, err := e.PollTarget(t.Context(), d.ID)
	if err != nil || !reflect.DeepEqual(got, want) || len(ports) != 0 {
		t.Errorf("poll target %+v, %v, %v", got, ports, err)
	}
	if _, _, err := e.PollTarget(t.Context(), 1<<40); !errors.Is(err, ErrNotFound) {
		t.Errorf("the poll target of an unknown id: %v", err)
	}
}

func pollKeepsFacts(t *testing.T, e engine) {
	d := added(t, e)
	first, second := pollOf(d, 1), pollOf(d, 2)
	second.Outcome, second.Facts = device.OutcomeAuth, nil
	save(t, e, first)
	save(t, e, second)
	if got := reread(t, e, d.ID); got.Facts != *first.Facts || got.Status != device.StatusAuth {
		t.Errorf("got %+v", got)
	}
}

func pollStale(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, withPorts(pollOf(d, 5), reading(1, "eth0")))
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	before, events := reread(t, e, d.ID), messages(t, e, d.ID)
	for _, n := range []int{4, 5} {
		p := withPorts(pollOf(d, n), reading(1, "eth9"), reading(2, "eth2"))
		p.Outcome, p.Facts.SysName = device.OutcomeDown, "older"
		p.Events = []device.Event{{Type: "reboot", Message: "older"}}
		save(t, e, p)
	}
	after, err := e.Ports(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got := reread(t, e, d.ID); !reflect.DeepEqual(got, before) || !reflect.DeepEqual(after, ports) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", got, after, before, ports)
	}
	same(t, "events", messages(t, e, d.ID), events)
	p := pollOf(d, 6)
	p.DeviceID = 1 << 40
	if err := e.SavePoll(t.Context(), p); !errors.Is(err, ErrNotFound) {
		t.Errorf("the poll of a removed device: %v", err)
	}
}

func pollStatus(t *testing.T, e engine) {
	d := added(t, e)
	for n, outcome := range []device.Outcome{
		device.OutcomeUp, device.OutcomeDown, device.OutcomeDown, device.OutcomeAuth, device.OutcomePartial, device.OutcomeUp, device.OutcomeDown,
		device.OutcomeUp, device.OutcomeDown,
	} {
		p := pollOf(d, n)
		p.Outcome, p.Facts, p.Reason = outcome, nil, ""
		if outcome == device.OutcomeDown {
			p.Reason = "no answer"
		}
		save(t, e, p)
	}
	same(t, "events", messages(t, e, d.ID), []string{
		"up ok Device status changed from new to up (node node-a)",
		"down error Device status changed from up to down: no answer (node node-a)",
		"auth error Device status changed from down to auth (node node-a)",
		"up ok Device status changed from auth to up (node node-a)",
		"down error Device status changed from up to down: no answer (node node-a)",
		"up ok Device status changed from down to up (node node-a)",
		"down error Device status changed from up to down: no answer (node node-a)",
	})
	at := func(n int) time.Time { return pollOf(d, n).At.Truncate(time.Millisecond) }
	got := outages(t, e, d.ID)
	if want := []outage{{at(1), at(3)}, {at(6), at(7)}, {GoingDown: at(8)}}; !reflect.DeepEqual(got, want) {
		t.Errorf("outages %v, want %v", got, want)
	}
}

// pollOutages: those of the last year and the one that goes on, in their order, and the device says when they changed.
func pollOutages(t *testing.T, e engine) {
	d := added(t, e)
	now := time.Now().Truncate(time.Millisecond)
	ago := func(days int) time.Time { return now.Add(-time.Duration(days) * 24 * time.Hour) }
	poll := func(outcome device.Outcome, days int) {
		t.Helper()
		save(t, e, device.Poll{DeviceID: d.ID, Slot: ago(days).Unix(), At: ago(days), Outcome: outcome})
	}
	poll(device.OutcomeUp, 900)
	if got := reread(t, e, d.ID).OutagesChanged; !got.IsZero() {
		t.Errorf("it was never down, and its outages changed at %v", got)
	}
	for _, days := range [][2]int{{800, 790}, {400, 300}, {20, 10}} {
		poll(device.OutcomeDown, days[0])
		if got := reread(t, e, d.ID).OutagesChanged; !got.Equal(ago(days[0])) {
			t.Errorf("down %d days ago: changed at %v", days[0], got)
		}
		poll(device.OutcomeUp, days[1])
		if got := reread(t, e, d.ID).OutagesChanged; !got.Equal(ago(days[1])) {
			t.Errorf("up %d days ago: changed at %v", days[1], got)
		}
	}
	poll(device.OutcomeUp, 9)
	if got := reread(t, e, d.ID).OutagesChanged; !got.Equal(ago(10)) {
		t.Errorf("nothing changed, but at %v", got)
	}
	poll(device.OutcomeDown, 2)
	got, err := e.Outages(t.Context(), d.ID)
	want := []device.Outage{{Down: ago(400), Up: ago(300)}, {Down: ago(20), Up: ago(10)}, {Down: ago(2)}}
	if err != nil || !slices.EqualFunc(got, want, func(a, b device.Outage) bool { return a.Down.Equal(b.Down) && a.Up.Equal(b.Up) }) {
		t.Errorf("outages %v, %v, want %v", got, err, want)
	}
	change(t, e, d.ID, func(d *device.Device) { d.Disabled = true })
	if got, err := e.Outages(t.Context(), d.ID); err != nil || len(got) != 3 || got[2].Up.Before(now) || !reread(t, e, d.ID).OutagesChanged.Equal(got[2].Up) {
		t.Errorf("disabled: outages %v, %v", got, err)
	}
	if got, err := e.Outages(t.Context(), d.ID+1000); err != nil || len(got) != 0 {
		t.Errorf("another device: %v, %v", got, err)
	}
}

func pollEvents(t *testing.T, e engine) {
	d := added(t, e)
	save(t, e, pollOf(d, 1))
	p := pollOf(d, 2)
	p.Events = []device.Event{{Type: "reboot", Severity: device.SeverityWarning, Message: "Device rebooted", DeviceID: 12345}, {Type: "system", Message: "sysName: a -> b"}}
	save(t, e, p)
	events, err := e.Events(t.Context(), EventFilter{DeviceID: d.ID, Limit: 2})
	if err != nil || len(events) != 2 {
		t.Fatalf("events %v, %v", events, err)
	}
	for i := range events {
		events[i].ID = 0
	}
	at := p.At.Truncate(time.Millisecond)
	want := []device.Event{
		{Time: at, DeviceID: d.ID, Type: "system", Severity: device.SeverityInfo, Message: "sysName: a -> b", Node: "node-a"},
		{Time: at, DeviceID: d.ID, Type: "reboot", Severity: device.SeverityWarning, Message: "Device rebooted", Node: "node-a"},
	}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("got  %+v\nwant %+v", events, want)
	}
}

func pollRefused(t *testing.T, e engine) {
	d := added(t, e)
	for _, outcome := range []device.Outcome{"", device.OutcomeExpired, device.OutcomeSkipped} {
		p := pollOf(d, 1)
		p.Outcome = outcome
		if err := e.SavePoll(t.Context(), p); !errors.Is(err, ErrInvalid) {
			t.Errorf("outcome %q: %v", outcome, err)
		}
	}
	p := pollOf(d, 1)
	p.At = time.Time{}
	if err := e.SavePoll(t.Context(), p); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a time: %v", err)
	}
}

// counter counts statements by what they begin with.
type counter struct {
	mu   sync.Mutex
	seen []string
}

func (c *counter) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

func (c *counter) AfterQuery(_ context.Context, event *bun.QueryEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, event.Operation())
}

func pollStatements(t *testing.T, e engine) {
	d := added(t, e)
	readings := manyReadings(48)
	for n := range 3 {
		save(t, e, withPorts(pollOf(d, n), readings...))
	}
	count := &counter{}
	watched := *e.Store
	watched.db = e.db.WithQueryHook(count)
	if err := watched.SavePoll(t.Context(), withPorts(pollOf(d, 3), readings...)); err != nil {
		t.Fatal(err)
	}
	want := []string{"BEGIN", "UPDATE", "SELECT", "COMMIT"}
	if !slices.Equal(count.seen, want) {
		t.Errorf("unchanged: %v, want %v", count.seen, want)
	}
	for i := range readings {
		readings[i].State.IfOperStatus = "down"
	}
	count.seen = nil
	if err := watched.SavePoll(t.Context(), withPorts(pollOf(d, 4), readings...)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"BEGIN", "UPDATE", "SELECT", "SELECT", "INSERT", "UPDATE", "INSERT", "COMMIT"}; !slices.Equal(count.seen, want) {
		t.Errorf("48 changed ports: %v, want %v", count.seen, want)
	}
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil || len(ports) != 48 {
		t.Fatalf("%d ports, %v", len(ports), err)
	}
	for _, port := range ports {
		if port.State.IfOperStatus != "down" {
			t.Errorf("port %+v", port)
		}
	}
}

func pollRace(t *testing.T, e engine) {
	d := added(t, e)
	const polls, newest = 24, 23
	order := rand.Perm(polls)
	var wait sync.WaitGroup
	var failed atomic.Int64
	for _, n := range order {
		wait.Go(func() {
			p := withPorts(pollOf(d, n), reading(1, "eth0"), reading(int64(100+n), "new"+string(rune('a'+n))))
			if n%2 == 0 {
				p.Outcome, p.Ports, p.PortsComplete, p.Facts = device.OutcomeDown, nil, false, nil
			}
			if err := e.SavePoll(t.Context(), p); err != nil {
				failed.Add(1)
				t.Errorf("poll %d: %v", n, err)
			}
		})
	}
	wait.Wait()
	got := reread(t, e, d.ID)
	if got.PolledSlot != pollOf(d, newest).Slot || got.Status != device.StatusUp {
		t.Errorf("order %v left slot %d, status %s", order, got.PolledSlot, got.Status)
	}
	ports, err := e.Ports(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	indexes := map[int64]int{}
	for _, port := range ports {
		indexes[port.State.IfIndex]++
	}
	if indexes[1] != 1 || indexes[100+newest] != 1 || len(indexes) != len(ports) {
		t.Errorf("order %v left ports %v", order, indexes)
	}
	for _, outage := range outages(t, e, d.ID) {
		if outage.UpAgain.IsZero() {
			t.Errorf("the device is up but an outage goes on: %v", outage)
		}
	}
}

// hostile are texts that have broken inventories.
func hostile() []string {
	return []string{
		"\xff\xfe\x80 not UTF-8", "nul\x00inside\x00", "\u202egnihton\u202c rtl", "'; DROP TABLE devices; --", `back\slash\' "quoted"`, "%s ? ?0 $1 :x ?",
		strings.Repeat("x", 64<<10), strings.Repeat("\xff", 64<<10), strings.Repeat("é", 32<<10), strings.Repeat("🦑", 16<<10), "\r\n\t\x1b[2J\x7f", "\u0000\u0001\ufeff", "-- c\n/* x",
	}
}

func pollHostile(t *testing.T, e engine) {
	for _, text := range hostile() {
		d := added(t, e)
		p := withPorts(pollOf(d, 1), reading(1, text))
		p.Facts = &device.Facts{
			SysName: text, SysDescr: text, SysObjectID: text, SysLocation: text, SysContact: text, OS: text, Hardware: text, Version: text, Serial: text, Uptime: 1 << 62,
		}
		p.Reason, p.Node = text, text
		p.Events = []device.Event{{Type: text, Severity: device.Severity(text), Message: text, Node: text, Actor: text}}
		s := &p.Ports[0].State
		s.IfDescr, s.IfAlias, s.IfType, s.IfAdminStatus, s.IfOperStatus, s.IfPhysAddress = text, text, text, text, text, text
		s.IfMTU, s.IfSpeed, s.IfLastChange = -1<<63, 1<<64-1, 1<<63-1
		if err := e.SavePoll(t.Context(), p); err != nil {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		got := reread(t, e, d.ID)
		if want := line(text, maxName); got.Facts.SysName != want {
			t.Errorf("%.40q came back as %.40q", text, got.Facts.SysName)
		}
		ports, err := e.Ports(t.Context(), d.ID)
		if err != nil || len(ports) != 1 || ports[0].State.IfAlias != line(text, maxName) {
			t.Errorf("%.40q: ports %.200v, %v", text, ports, err)
		}
		for n := 2; n < 4; n++ { // stored texts are shorter than read ones: that is no change
			p.At, p.Slot, p.Events = p.At.Add(time.Minute), p.Slot+60, nil
			p.Ports[0].PortID, p.Ports[0].RRDMax = ports[0].ID, uint64(n)
			save(t, e, p)
		}
		events := messages(t, e, d.ID)
		if len(events) != 3 { // status, ports found, and the one of the poll
			t.Errorf("%.40q: events %.300q", text, events)
		}
		node := device.Node{Role: text, NodeID: text, Host: text, Version: text, LastSeen: p.At}
		if err := e.SaveNode(t.Context(), node); err != nil {
			t.Errorf("%.40q as a node: %v", text, err)
		}
		if err := e.AddEvent(t.Context(), device.Event{Type: text, Message: text, Actor: text}); err != nil {
			t.Errorf("%.40q as an event: %v", text, err)
		}
	}
}
