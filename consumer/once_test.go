package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/device"
	"pollux/journal"
	"pollux/store"
)

func TestPollOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 60, nil)
	deps := func() Deps {
		d := r.deps
		d.Registerer = prometheus.NewRegistry()
		return d
	}
	change(r, func(d *device.Device) { d.Group = 4 })
	once, err := PollOnce(t.Context(), r.config, deps(), 1)
	if err != nil || once.Journal != journal.Accepted || once.SaveErr != nil || once.Report.Poll.Outcome != device.OutcomeUp || len(once.Report.Modules) == 0 {
		t.Errorf("%+v, %v", once, err)
	}
	if entries := r.journal.appended(); len(entries) != 1 || entries[0].Slot != device.SlotAt(1, 60, r.clock.Now().Unix()) || len(r.store.saved) != 1 {
		t.Errorf("entries %+v, saved %+v", entries, r.store.saved)
	}
	r.journal.results = []journal.Result{journal.Stale} // polled again at once
	if once, err := PollOnce(t.Context(), r.config, deps(), 1); err != nil || once.Journal != journal.Stale || len(r.store.saved) != 1 {
		t.Errorf("%+v, %v", once, err)
	}
	if r.journal.again != 2 {
		t.Errorf("%d of 2 entries were appended although the slot may be finished", r.journal.again)
	}
	if _, err := PollOnce(t.Context(), r.config, deps(), 99); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown device: %v", err)
	}
	if left := time.Until(r.leases.until); left > 48*time.Second || left < 31*time.Second || r.leases.ttl != 30*time.Second {
		t.Errorf("the lease is renewed for %v, by %v, want the 48 s of the poll", left, r.leases.ttl)
	}
	r.leases.busy = true
	if _, err := PollOnce(t.Context(), r.config, deps(), 1); err == nil || !strings.Contains(err.Error(), "another poll") {
		t.Errorf("a busy device: %v", err)
	}
	if r.leases.held != 0 || r.polls(1) != 2 {
		t.Errorf("%d leases are held, device 1 was polled %d times", r.leases.held, r.polls(1))
	}
}
