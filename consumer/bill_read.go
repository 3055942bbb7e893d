package consumer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pollux/billing"
	"pollux/device"
	"pollux/poller"
	"pollux/secret"
	"pollux/settings"
	"pollux/store"
)

const (
	// collectLease is how long the lease of a device lasts without being renewed while its billed ports are read.
	collectLease = 10 * time.Second
	// collectLimit bounds one reading: a device that is so slow holds up others.
	collectLimit = 2 * time.Minute
	// leastObjects is how many objects one request must be able to name: all that is asked of one port, with sysUpTime.
	leastObjects = 10
)

// billTarget reads whom to ask, how, and for which ports: those that were not read in this slot.
func (c *Consumer) billTarget(t *collectTurn) (poller.BillTarget, error) {
	ctx, cancel := context.WithTimeout(c.reading, readTimeout)
	defer cancel()
	now := c.deps.Clock.Now()
	ports, err := c.deps.Billing.Store.BilledPorts(ctx, t.DeviceID)
	var found device.Device
	if err == nil && len(ports) > 0 {
		found, err = c.deps.Billing.Store.Device(ctx, t.DeviceID)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return poller.BillTarget{}, &collectEndError{collectNothing}
	case err != nil && c.stopping():
		return poller.BillTarget{}, errHandBack
	case errors.Is(err, secret.ErrOpen):
		c.complain(&c.secrets, slog.LevelError, "the credentials of a device cannot be read; set them anew with: pollux device set", "device", t.DeviceID, "err", err)
		return poller.BillTarget{}, t.again(now, errCollectDatabase, &collectEndError{collectDatabase})
	case err != nil:
		c.complain(&c.unbilled, slog.LevelWarn, "what is billed of a device cannot be read; the next slot brings it", "device", t.DeviceID, "err", err)
		return poller.BillTarget{}, t.again(now, errCollectDatabase, &collectEndError{collectDatabase})
	case len(ports) == 0, found.Disabled, found.PingOnly:
		return poller.BillTarget{}, &collectEndError{collectNothing}
	case t.group >= 0 && found.Group != t.group:
		return poller.BillTarget{}, &collectEndError{collectMoved}
	}
	target := poller.BillTarget{
		Device: found, Slot: t.Slot, Interval: t.Interval, Fixed: c.biller.sought.lately(t.DeviceID),
		MaxObjects: max(c.deps.Settings().Int(settings.KeySNMPMaxOID), leastObjects), Definitions: c.deps.Definitions,
	}
	for _, port := range ports {
		if port.Last < t.Slot {
			target.Ports = append(target.Ports, port)
		}
	}
	if len(target.Ports) == 0 {
		return target, &collectEndError{collectRepeat}
	}
	t.ports = len(target.Ports)
	return target, nil
}

// readBilled asks the device. It waits for a poll of it that runs, and keeps
// the bounds of its agent. What it finds is readings, whatever the device did.
func (c *Consumer) readBilled(t *collectTurn, target poller.BillTarget) ([]billing.Reading, error) {
	limit := min(t.remaining(c.deps.Clock.Now()), collectLimit)
	release, err := c.lockBilled(t, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	leaveAgent, err := c.enterAgentOf(t.DeviceID, target.Device, c.deps.Settings().Int(settings.KeyAddressInFlight), limit)
	if err != nil {
		return nil, t.again(c.deps.Clock.Now(), errAgentBusy, &collectEndError{collectBusy})
	}
	defer leaveAgent()
	if target.Device.Status == device.StatusDown {
		if !c.biller.probes.tryEnter() {
			return nil, t.again(c.deps.Clock.Now(), errProbesBusy, &collectEndError{collectBusy})
		}
		defer c.biller.probes.leave()
	}
	ctx, cancel := context.WithTimeout(c.reading, min(t.remaining(c.deps.Clock.Now()), collectLimit))
	defer cancel()
	c.log.Debug("billed ports are read", "device", t.DeviceID, "slot", t.Slot, "ports", len(target.Ports))
	began := time.Now()
	report := c.askBilled(ctx, target)
	if c.reading.Err() != nil && len(report.Readings) == 0 {
		return nil, errHandBack
	}
	c.metrics.collectSeconds.Observe(time.Since(began).Seconds())
	if !report.FirstRequest.IsZero() {
		c.metrics.collectLateness.Observe(max(c.deps.Clock.At(report.FirstRequest).Sub(t.moment()), 0).Seconds())
	}
	if report.Fruitless {
		c.biller.sought.note(t.DeviceID)
	}
	return c.dateReadings(t, report), nil
}

// lockBilled takes the device's lease, so that one conversation with it goes on at a time. Without an answer of Redis
// the reading goes on without: the lease spares the device only.
func (c *Consumer) lockBilled(t *collectTurn, limit time.Duration) (release func(), err error) {
	ctx, cancel := context.WithCancel(c.reading)
	defer cancel()
	defer context.AfterFunc(c.draining, cancel)()
	release, ok, err := c.deps.Leases.Acquire(ctx, t.DeviceID, collectLease, time.Now().Add(limit))
	switch {
	case err != nil && c.stopping():
		return nil, errHandBack
	case err != nil:
		c.log.Debug("read for billing without the device's lease", "device", t.DeviceID, "err", err)
	case !ok:
		release()
		return nil, t.again(c.deps.Clock.Now(), errCollectBusy, &collectEndError{collectBusy})
	}
	return release, nil
}

// askBilled opens a session and reads. A session that cannot be opened is a device that does not answer.
func (c *Consumer) askBilled(ctx context.Context, target poller.BillTarget) poller.BillReport {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	applied := c.apply(poller.Target{Device: target.Device})
	session, err := c.dialFor(dialing, applied, target.MaxObjects)
	cancel()
	if err != nil {
		return poller.ReadBilled(ctx, closed{err}, target)
	}
	defer func() {
		if err := session.Close(); err != nil {
			c.log.Debug("a session did not close", "device", target.Device.ID, "err", err)
		}
	}()
	return poller.ReadBilled(ctx, session, target)
}

// dateReadings converts the times of readings to the clock of Redis, counts what is missing, and leaves out
// what was read outside the slot: it would be filed to a time it does not belong to.
func (c *Consumer) dateReadings(t *collectTurn, report poller.BillReport) []billing.Reading {
	for _, why := range report.Missing {
		c.metrics.missing.WithLabelValues(string(why)).Inc()
	}
	if len(report.Missing) > 0 {
		c.log.Debug("billed ports have no reading", "device", t.DeviceID, "slot", t.Slot, "ports", len(report.Missing), "reason", report.Reason)
	}
	if report.Unreadable != "" {
		c.complain(&c.unbilled, slog.LevelWarn, "billed ports of a device cannot be read as things are", "device", t.DeviceID, "why", report.Unreadable)
	}
	readings := report.Readings[:0]
	for _, r := range report.Readings {
		r.Read = c.deps.Clock.At(r.Read)
		if second := r.Read.Unix(); second < t.Slot-int64(sinceMargin/time.Second) || second >= t.End() || r.Validate() != nil {
			c.metrics.missing.WithLabelValues(string(poller.BillLate)).Inc()
			continue
		}
		readings = append(readings, r)
	}
	return readings
}

// sought remembers the devices whose ports were searched for in vain, so that a port that is gone
// does not have all names of a device read in each slot. Polls find ports that are back.
type sought struct {
	mu  sync.Mutex
	ids map[int64]time.Time
}

const (
	soughtFor = 30 * time.Minute
	maxSought = 20_000
)

func newSought() *sought { return &sought{ids: map[int64]time.Time{}} }

func (s *sought) lately(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.ids[id]
	if known && time.Since(at) > soughtFor {
		delete(s.ids, id)
		return false
	}
	return known
}

func (s *sought) note(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) >= maxSought {
		clear(s.ids) // each is searched once more
	}
	s.ids[id] = time.Now()
}
