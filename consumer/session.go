package consumer

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"pollux/device"
	"pollux/poller"
	"pollux/settings"
	"pollux/snmp"
)

// dialTimeout bounds the resolution of a name and a TCP connection: a name
// server that does not answer must not hold a worker for the whole poll.
const dialTimeout = 10 * time.Second

// ask opens a session and polls. answered is called as soon as the first
// request is answered or given up. A session that cannot be opened is a device
// that does not answer, with the reason why. A device that is asked by ICMP only gets no session.
func (c *Consumer) ask(ctx context.Context, target poller.Target, answered func()) poller.Report {
	if target.Device.PingOnly {
		defer answered()
		return poller.PollPing(ctx, &echo{c.deps.Pinger, target.Device, c.locate}, target)
	}
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	session, err := c.dial(dialing, target)
	cancel()
	if err != nil {
		return poller.Poll(ctx, closed{err}, target)
	}
	defer func() {
		if err := session.Close(); err != nil {
			c.log.Debug("a session did not close", "device", target.Device.ID, "err", err)
		}
	}()
	return poller.Poll(ctx, &firstAnswer{Session: session, answered: answered}, target)
}

func (c *Consumer) dial(ctx context.Context, target poller.Target) (Session, error) {
	d := target.Device
	if err := d.Credentials.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", snmp.ErrAuth, err)
	}
	address, err := c.locate(ctx, d)
	if err != nil {
		return nil, err
	}
	values := c.deps.Settings()
	return c.deps.Dial(ctx, snmp.Target{
		Host: address.String(), Port: d.Port, Transport: d.Transport, Credentials: d.Credentials,
		Timeout: target.Timeout, Retries: target.Retries,
		MaxRepetitions: values.Int(settings.KeySNMPMaxRepeaters), MaxObjects: values.Int(settings.KeySNMPMaxOID),
	})
}

// locate finds the address that a device is asked at. A name is judged each time:
// whoever answers for it may let it lead elsewhere at any time, to this machine
// itself, say. An address that somebody gave as such was judged then. The error is
// settings.ErrNet when the settings exclude the address; nothing may be sent there.
func (c *Consumer) locate(ctx context.Context, d device.Device) (netip.Addr, error) {
	address, err := c.deps.Resolve(ctx, d.Transport, d.Host())
	if err != nil {
		return address, err
	}
	if _, named := netip.ParseAddr(d.Host()); named == nil {
		return address, nil
	}
	if err := settings.Allowed(address, c.deps.Settings().Nets()); err != nil {
		return address, fmt.Errorf("name %.40q: %w", d.Host(), err)
	}
	return address, nil
}

// echo asks one device by ICMP.
type echo struct {
	pinger Pinger
	device device.Device
	locate func(context.Context, device.Device) (netip.Addr, error)
}

// Ping implements poller.Pinger.
func (e *echo) Ping(ctx context.Context, tries int, wait time.Duration) error {
	resolving, cancel := context.WithTimeout(ctx, dialTimeout)
	address, err := e.locate(resolving, e.device)
	cancel()
	if err != nil {
		return err
	}
	_, err = e.pinger.Ping(ctx, address, tries, wait)
	return err
}

// apply fills in what the device leaves to the settings.
func (c *Consumer) apply(target poller.Target) poller.Target {
	values := c.deps.Settings()
	target.Timeout, target.Retries = target.Device.Timeout, target.Device.Retries
	if target.Timeout <= 0 {
		target.Timeout = values.Seconds(settings.KeySNMPTimeout)
	}
	if target.Retries < 0 {
		target.Retries = values.Int(settings.KeySNMPRetries)
	}
	if c.deps.Discovering != nil {
		target.Definitions = c.deps.Discovering.Definitions
	}
	return target
}

// firstAnswer is a session that tells when its first request is over.
type firstAnswer struct {
	Session
	answered func()
}

// Probe implements poller.Session.
func (s *firstAnswer) Probe(ctx context.Context, oid snmp.OID, tries int, timeout time.Duration) (snmp.Variable, error) {
	defer s.answered()
	return s.Session.Probe(ctx, oid, tries, timeout)
}

// closed is a session that could not be opened: every request fails with the reason.
type closed struct{ reason error }

// Get implements poller.Session.
func (s closed) Get(context.Context, ...snmp.OID) ([]snmp.Variable, error) { return nil, s.reason }

// Probe implements poller.Session.
func (s closed) Probe(context.Context, snmp.OID, int, time.Duration) (snmp.Variable, error) {
	return snmp.Variable{}, s.reason
}

// Table implements poller.Session.
func (s closed) Table(context.Context, snmp.TableRequest, func(snmp.Cell)) error { return s.reason }

// once makes a function that may be called again without effect.
func once(f func()) func() {
	var guard sync.Once
	return func() { guard.Do(f) }
}
