package consumer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/poller"
	"pollux/poller/definitions"
	"pollux/secret"
	"pollux/settings"
)

func TestDatabaseAwayCostsNoMeasurement(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	if err := r.handle(r.turn(1, 10)); err != nil {
		t.Fatal(err)
	}
	r.store.err = errors.New("the database is away")
	r.clock.offset.Add(int64(10 * time.Second))
	if err := r.handle(r.turn(1, 10)); err != nil {
		t.Fatal(err)
	}
	if got := r.outcomes(t); got["up"] != 2 || len(r.journal.appended()) != 2 {
		t.Errorf("outcomes %v, %d entries", got, len(r.journal.appended()))
	}
	if r.metric(t, "pollux_poll_targets_total", "source=copy") != 1 || r.metric(t, "pollux_poll_saves_total", "result=failed") != 1 {
		t.Error("the copy or the failed save is not counted")
	}
	if found, err := r.inventory.read(t.Context(), 1); err != nil || found.device.PolledSlot == 0 {
		t.Errorf("the copy does not go on: %+v, %v", found.device, err)
	}
}

// What a poll leaves is there for the next one of its device by this node, and leaves with its copy.
func TestPollsLeaveAMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, nil)
	if err := r.handle(r.turn(1, 10)); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if found, err := r.inventory.read(t.Context(), 1); err != nil || found.memory == nil {
			t.Errorf("reading %d: %v, memory %v", n, err, found.memory)
		}
	}
	if found, err := r.inventory.read(t.Context(), 2); err != nil || found.memory != nil {
		t.Errorf("a device that was not polled: %v, memory %v", err, found.memory)
	}
	if r.inventory.forget(1); r.inventory.ports < 0 {
		t.Errorf("the copies hold %d ports", r.inventory.ports)
	}
	r.inventory.remember(1, nil)
}

// TestHangingDatabaseHoldsNoWorkers: one poll finds out, the others use their copies at once.
func TestHangingDatabaseHoldsNoWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 60, nil)
		for id := range int64(5) {
			if err := r.handle(r.turn(id+1, 60)); err != nil {
				t.Fatal(err)
			}
		}
		r.clock.offset.Add(int64(time.Minute))
		r.store.hang = true
		if _, err := r.inventory.read(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for id := range int64(5) {
			if _, err := r.inventory.read(t.Context(), id+1); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("five copies took %v", took)
		}
	})
}

func TestCopiesAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	i := r.inventory
	for id := range int64(maxCopies + 5) {
		i.keep(target{device: device.Device{ID: id}, ports: make([]device.Port, 1)})
	}
	if _, known := i.copy(4); known || i.used.Len() != maxCopies || len(i.copies) != maxCopies || i.ports != maxCopies {
		t.Errorf("%d copies with %d ports", i.used.Len(), i.ports)
	}
	if n := r.metric(t, "pollux_poll_target_copies"); n != maxCopies {
		t.Errorf("pollux_poll_target_copies is %v", n)
	}
	i.forget(maxCopies)
	if n := r.metric(t, "pollux_poll_target_copies"); n != maxCopies-1 {
		t.Errorf("pollux_poll_target_copies is %v after one device has gone", n)
	}
	i.keep(target{device: device.Device{ID: -1}, ports: make([]device.Port, maxCopiedPorts)})
	if i.ports > maxCopiedPorts || len(i.copies) != i.used.Len() {
		t.Errorf("%d ports in %d copies", i.ports, i.used.Len())
	}
}

// TestOutagesAreReadWhenTheyChanged: a device that was never down costs no question, and one that was one for each change.
func TestOutagesAreReadWhenTheyChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	at := time.Now().Truncate(time.Second)
	r.store.outages = []device.Outage{{Down: at.Add(-time.Hour), Up: at.Add(-time.Minute)}}
	for i, c := range []struct {
		changed time.Time
		asked   int
	}{{time.Time{}, 0}, {at, 1}, {at, 1}, {at.Add(time.Second), 2}, {at.Add(time.Second), 2}} {
		change(r, func(d *device.Device) { d.OutagesChanged = c.changed })
		found, err := r.inventory.read(t.Context(), 1)
		if err != nil || r.store.outagesAsked != c.asked || (len(found.outages) == 1) == c.changed.IsZero() {
			t.Errorf("%d: asked %d times, want %d; %+v, %v", i, r.store.outagesAsked, c.asked, found.outages, err)
		}
	}
	r.clock.offset.Store(int64(time.Hour)) // Redis is ahead
	found, _ := r.inventory.read(t.Context(), 1)
	target := r.recall(r.turn(1, 60), poller.Target{Device: found.device, Outages: found.outages})
	if len(target.Outages) != 1 {
		t.Fatalf("the poll knows the outages %+v", target.Outages)
	}
	if got := target.Outages[0]; got.Down.Sub(at.Add(-2*time.Hour)).Abs() > time.Second || got.Up.Sub(at.Add(-time.Hour-time.Minute)).Abs() > time.Second {
		t.Errorf("by the local clock %+v", got)
	}
	if !found.outages[0].Down.Equal(at.Add(-time.Hour)) {
		t.Errorf("the copy was changed: %+v", found.outages)
	}
}

// TestModulesOfPollsAreSwitchedOff for all devices, for one, and for an OS.
func TestModulesOfPollsAreSwitchedOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "os: quietos\ntext: Quiet\ntype: network\ndetect: [{sysObjectID: 1.3.6.1.4.1.99999.1}]\npoller_modules: {icmp: false, sensors: false}\n"
	if err := os.Mkdir(filepath.Join(dir, "os"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "os", "quietos.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems, err := definitions.Load(dir)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	all := "availability,host,icmp,mempools,ports,processors,sensors,storage"
	for _, c := range []struct {
		setting string
		d       device.Device
		want    []string
	}{
		{all, device.Device{}, nil},
		{"ports,icmp", device.Device{}, []string{"availability", "host", "mempools", "processors", "sensors", "storage"}},
		{all, device.Device{PollerOff: []string{"ports"}}, []string{"ports"}},
		{all, device.Device{Facts: device.Facts{OS: "quietos"}}, []string{"icmp", "sensors"}},
		{all, device.Device{Facts: device.Facts{OS: "ios"}}, nil},
		{"availability,host,icmp,mempools,ports,processors,sensors", device.Device{PollerOff: []string{"ports"}, Facts: device.Facts{OS: "quietos"}}, []string{"icmp", "ports", "sensors", "storage"}},
	} {
		r := newRig(t, 60, nil)
		r.deps.Definitions = set
		r.set(settings.KeyPollerModules, c.setting)
		if got := slices.Sorted(slices.Values(r.apply(poller.Target{Device: c.d}).ModulesOff)); !slices.Equal(got, c.want) {
			t.Errorf("%s and %+v: without %v, want %v", c.setting, c.d, got, c.want)
		}
	}
}

// The credentials of a device that do not open any more are not used silently, as long as a copy has them.
func TestFormerCredentialsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		var log bytes.Buffer
		r.inventory.log = slog.New(slog.NewTextHandler(&log, nil))
		poll := func() {
			t.Helper()
			if err := r.handle(r.turn(1, 10)); err != nil {
				t.Fatal(err)
			}
			r.clock.offset.Add(int64(10 * time.Second))
		}
		poll()
		if err := r.Credentials(); err != nil {
			t.Errorf("at first: %v", err)
		}
		r.store.err = fmt.Errorf("open the community: %w", secret.ErrOpen)
		for range 3 {
			poll()
		}
		if n := strings.Count(log.String(), "do not open"); n != 1 {
			t.Errorf("the log tells it %d times:\n%s", n, log.String())
		}
		if r.metric(t, "pollux_poll_targets_total", "source=sealed") != 3 || r.metric(t, "pollux_poll_targets_total", "source=copy") != 0 {
			t.Error("they are not counted")
		}
		if err := r.Credentials(); err == nil || !strings.Contains(err.Error(), "1 devices, such as 1,") {
			t.Errorf("the check says %v", err)
		}
		r.store.err = nil
		poll()
		if err := r.Credentials(); err != nil {
			t.Errorf("at last: %v", err)
		}
		r.inventory.sealed.note(7, time.Now())
		time.Sleep(sealedFor + time.Second)
		if err := r.Credentials(); err != nil {
			t.Errorf("of a device that went elsewhere: %v", err)
		}
	})
}

// A database that flaps is told once in ten seconds, and at last as it is.
func TestFlappingDatabaseFloodsNoLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10, nil)
		var log bytes.Buffer
		r.inventory.log = slog.New(slog.NewTextHandler(&log, nil))
		for k := range 200 { // 20 s
			r.store.err = nil
			if k%2 == 0 {
				r.store.err = errors.New("the database is away")
			}
			_, _ = r.inventory.read(t.Context(), 1)
			time.Sleep(100 * time.Millisecond)
		}
		if n := strings.Count(log.String(), "\n"); n < 1 || n > 3 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
		time.Sleep(seldomEnough)
		if _, err := r.inventory.read(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, "the database answers again") {
			t.Errorf("the last line is %s", last)
		}
	})
}

// seldomEnough is longer than ops.Seldom is silent.
const seldomEnough = 11 * time.Second
