package consumer

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"pollux/device"
	"pollux/ping"
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
	target.Pinger = c.pingerFor(target.Device)
	if target.Device.PingOnly {
		defer answered()
		return poller.PollPing(ctx, target)
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
	return c.dialFor(ctx, target, c.deps.Settings().Int(settings.KeySNMPMaxOID))
}

// dialFor opens a session whose requests name so many objects at most.
func (c *Consumer) dialFor(ctx context.Context, target poller.Target, objects int) (Session, error) {
	d := target.Device
	if err := d.Credentials.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", snmp.ErrAuth, err)
	}
	address, err := c.locate(ctx, d)
	if err != nil {
		return nil, err
	}
	values := c.deps.Settings()
	c.shared.note(d.ID, written(d), addressed(address, d.Port), time.Now())
	return c.deps.Dial(ctx, snmp.Target{
		Host: address.String(), Port: d.Port, Transport: d.Transport, Credentials: d.Credentials,
		Timeout: target.Timeout, Retries: target.Retries,
		MaxRepetitions: values.Int(settings.KeySNMPMaxRepeaters), MaxObjects: objects,
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

// echoShare of an interval, 1/50, is the time in which the ICMP requests of a poll are sent at most: a poll
// holds its worker until then. So 100 workers are enough for 5,000 devices, whatever their interval.
const echoShare = 50

// pingerFor asks a device by ICMP; nil when that is switched off, or this node may not send it.
func (c *Consumer) pingerFor(d device.Device) poller.Pinger {
	values := c.deps.Settings()
	if c.deps.Pinger.Mode() == ping.Off || !d.PingOnly && !values.Bool(settings.KeyICMPCheck) {
		return nil
	}
	how := ping.Echo{
		Count:    values.Int(settings.KeyFpingCount),
		Interval: time.Duration(values.Int(settings.KeyFpingInterval)) * time.Millisecond,
		Timeout:  time.Duration(values.Int(settings.KeyFpingTimeout)) * time.Millisecond,
	}
	how.Interval = min(how.Interval, time.Duration(d.Interval)*time.Second/echoShare/time.Duration(max(how.Count-1, 1)))
	return &echo{c.deps.Pinger, d, c.locate, how}
}

// echo asks one device by ICMP.
type echo struct {
	pinger Pinger
	device device.Device
	locate func(context.Context, device.Device) (netip.Addr, error)
	how    ping.Echo
}

// Echo implements poller.Pinger.
func (e *echo) Echo(ctx context.Context) (ping.Result, error) {
	resolving, cancel := context.WithTimeout(ctx, dialTimeout)
	address, err := e.locate(resolving, e.device)
	cancel()
	if err != nil {
		return ping.Result{}, err
	}
	return e.pinger.Echo(ctx, address, e.how)
}

// apply fills in what the device leaves to the settings.
func (c *Consumer) apply(target poller.Target) poller.Target {
	values := c.deps.Settings()
	target.ModulesOff, target.Definitions = c.pollerOff(target.Device), c.deps.Definitions
	target.Timeout, target.Retries = target.Device.Timeout, target.Device.Retries
	if target.Timeout <= 0 {
		target.Timeout = values.Seconds(settings.KeySNMPTimeout)
	}
	if target.Retries < 0 {
		target.Retries = values.Int(settings.KeySNMPRetries)
	}
	target.Selection, target.SkipDown = c.selection(target.Device), values.Bool(settings.KeySkipDownPorts)
	return target
}

// pollerOff are the modules of polls that do not run: not for any device, not for this one, and not for its OS.
func (c *Consumer) pollerOff(d device.Device) []string {
	off := without(device.PollModules(), c.deps.Settings().List(settings.KeyPollerModules))
	off = append(off, d.PollerOff...)
	if c.deps.Definitions != nil {
		off = append(off, c.deps.Definitions.Find(d.Facts.OS).PollerOff()...)
	}
	return off
}

// without are the names that are not in a list.
func without(names, list []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(list, name) })
}

// leastSelected is what a request must be able to name, for ports to be read one by one: two of them.
const leastSelected = 40

// selection is what the device, its OS or the setting says.
func (c *Consumer) selection(d device.Device) device.Selection {
	values := c.deps.Settings()
	if values.Int(settings.KeySNMPMaxOID) < leastSelected {
		return device.SelectNever
	}
	if d.SelectedPorts != "" {
		return d.SelectedPorts
	}
	if c.deps.Definitions != nil {
		if os := c.deps.Definitions.Find(d.Facts.OS); os != nil && os.Polling.SelectedPorts != "" {
			return os.Polling.SelectedPorts
		}
	}
	text, _ := values.Text(settings.KeySelectedPorts)
	return device.Selection(text)
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

// Greet implements poller.Session. One in vain is followed by a Probe.
func (s *firstAnswer) Greet(ctx context.Context, tries int, timeout time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	vars, err := s.Session.Greet(ctx, tries, timeout, oids...)
	if err == nil {
		s.answered()
	}
	return vars, err
}

// closed is a session that could not be opened: every request fails with the reason.
type closed struct{ reason error }

// Get implements poller.Session.
func (s closed) Get(context.Context, ...snmp.OID) ([]snmp.Variable, error) { return nil, s.reason }

// Probe implements poller.Session.
func (s closed) Probe(context.Context, snmp.OID, int, time.Duration) (snmp.Variable, error) {
	return snmp.Variable{}, s.reason
}

// Greet implements poller.Session.
func (s closed) Greet(context.Context, int, time.Duration, ...snmp.OID) ([]snmp.Variable, error) {
	return nil, s.reason
}

// Table implements poller.Session.
func (s closed) Table(context.Context, snmp.TableRequest, func(snmp.Cell)) error { return s.reason }

// once makes a function that may be called again without effect.
func once(f func()) func() {
	var guard sync.Once
	return func() { guard.Do(f) }
}
