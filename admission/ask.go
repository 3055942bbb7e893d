package admission

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"pollux/device"
	"pollux/ping"
	"pollux/poller"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

const (
	// As LibreNMS asks with fping: three requests half a second apart, of which one must be answered.
	pingTries = 3
	pingWait  = 500 * time.Millisecond
	// maxRetries bounds the tries of SNMP after the first: somebody waits, and most candidates are silent.
	maxRetries = 2
	// resolveLimit bounds the resolution of a name.
	resolveLimit = 10 * time.Second

	oidSysObjectID snmp.OID = "1.3.6.1.2.1.1.2.0" // SNMPv2-MIB
)

// Asked is a device that passed all checks and can be stored.
type Asked struct {
	Device   device.Device // with the credentials that it answers to
	Set      string        // name of the credential set that they are from
	Ports    int           // that were read
	Warnings []string      // checks that were left out, and why

	hosts []string // under which its agent is reached
	force bool
	poll  *device.Poll // what was read of it; nil when it was not asked
}

// Ask checks a device as LibreNMS's device:add does: its description and name,
// its address, ICMP, then SNMP with each candidate, and its sysName. The first candidate that reads
// sysObjectID.0 counts. Each check may end it with an error; nothing is stored.
func (a *Admission) Ask(ctx context.Context, r Request) (Asked, error) {
	asked := Asked{Device: r.Device, force: r.Force}
	var candidates []Candidate
	if !r.Device.PingOnly {
		var err error
		if candidates, err = a.Candidates(r); err != nil {
			return asked, err
		}
		asked.Device.Credentials, asked.Set = candidates[0].Credentials, candidates[0].Set
	}
	if err := a.checkNew(ctx, asked.Device); err != nil { // before a packet is sent
		return asked, err
	}
	address, err := a.address(ctx, r, candidates, &asked)
	if r.Force || err != nil {
		return asked, err
	}
	asked.hosts = []string{r.Device.Host(), address.WithZone("").String()}
	if oneContext(candidates) { // else it is known when the device has answered
		if err := a.agentTwin(ctx, asked); err != nil {
			return asked, err
		}
	}
	answered, err := a.ping(ctx, r, address, &asked)
	if err != nil {
		return asked, err
	}
	if r.Device.PingOnly {
		if answered {
			asked.poll = &device.Poll{Outcome: device.OutcomeUp, Facts: &device.Facts{OS: device.OSPing}}
		}
		return asked, nil
	}
	if err := a.search(ctx, address, candidates, &asked); err != nil {
		return asked, err
	}
	// Again, for it may have been added meanwhile: one agent says more than one sysName.
	if err := a.agentTwin(ctx, asked); err != nil {
		return asked, err
	}
	return asked, a.sysNameTwin(ctx, asked)
}

// checkNew refuses what the store would refuse.
func (a *Admission) checkNew(ctx context.Context, d device.Device) error {
	if err := a.store.CheckDevice(d); err != nil {
		return err
	}
	known, err := a.store.DeviceByHostname(ctx, d.Hostname)
	switch {
	case known.ID != 0: // beside an error, too: its secrets do not open
		return fmt.Errorf("%w: %s is device %d", store.ErrDuplicate, known.Hostname, known.ID)
	case errors.Is(err, store.ErrNotFound):
		return nil
	default:
		return err
	}
}

// address is what will be asked, and nothing else: a name may stand for another
// address a moment later. Of a device that somebody on this machine stores unasked only an address is judged, and no name.
func (a *Admission) address(ctx context.Context, r Request, candidates []Candidate, asked *Asked) (netip.Addr, error) {
	host := r.Device.Host()
	_, named := netip.ParseAddr(host)
	if r.Force && r.Anywhere && named != nil {
		return netip.Addr{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	address, err := snmp.Resolve(ctx, r.Device.Transport, host)
	if err != nil {
		var unknown *net.DNSError
		if errors.As(err, &unknown) {
			return address, fmt.Errorf("%w: the name %.80q is not known; check the spelling, or give its address", ErrSilent, host)
		}
		return address, err
	}
	err = settings.Allowed(address, a.nets)
	switch stored := slices.ContainsFunc(candidates, func(c Candidate) bool { return c.Set != "" }); {
	case r.Anywhere && err != nil && named != nil: // polls judge a name each time that they resolve it
		asked.warn("%v. Polls do not ask it by a name: set %s, or give the address with --address", err, settings.KeyNetsAllow)
		return address, nil
	case r.Anywhere && err != nil:
		asked.warn("%v", err)
		return address, nil
	case !r.Anywhere && err == nil && stored:
		return address, settings.Searchable(address, a.nets)
	default:
		return address, err
	}
}

func (a *Asked) warn(format string, args ...any) {
	a.Warnings = append(a.Warnings, fmt.Sprintf(format, args...))
}

// ping wants an answer to ICMP, and says whether there was one. Where ICMP cannot
// be sent the check is left out, with a warning: another machine may poll the device.
func (a *Admission) ping(ctx context.Context, r Request, address netip.Addr, asked *Asked) (answered bool, err error) {
	switch {
	case r.Alive, !r.Device.PingOnly && !a.values.Bool(settings.KeyICMPCheck):
		return r.Alive, nil
	case a.pinger.Mode() == ping.Off:
		asked.warn("the ICMP check was left out: %v", ping.ErrOff)
		return false, nil
	}
	_, err = a.pinger.Ping(ctx, address, pingTries, pingWait)
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case r.Device.PingOnly:
		return false, fmt.Errorf("%w; check the address", err)
	default:
		return false, fmt.Errorf("%w; check the address, or leave this check out: pollux config set %s false", err, settings.KeyICMPCheck)
	}
}

// oneContext says whether all candidates ask the same SNMP context, so that it is known before the device answers.
func oneContext(candidates []Candidate) bool {
	return !slices.ContainsFunc(candidates, func(c Candidate) bool {
		return c.Credentials.ContextName() != candidates[0].Credentials.ContextName()
	})
}

// search finds the first candidate that the device answers to, and reads the device with it.
func (a *Admission) search(ctx context.Context, address netip.Addr, candidates []Candidate, asked *Asked) error {
	var tried []failed
	for _, candidate := range candidates {
		poll, err := a.try(ctx, asked.Device, address, candidate.Credentials)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			asked.Device.Credentials, asked.Set, asked.Ports, asked.poll = candidate.Credentials, candidate.Set, len(poll.Ports), poll
			return nil
		}
		tried = append(tried, failed{candidate, err})
	}
	return inVain(net.JoinHostPort(asked.Device.Host(), strconv.Itoa(int(asked.Device.Port))), tried)
}

// target is the agent of a device, asked with some credentials.
func (a *Admission) target(d device.Device, address netip.Addr, c snmp.Credentials) snmp.Target {
	return snmp.Target{
		Host: address.String(), Port: d.Port, Transport: d.Transport, Credentials: c,
		Timeout: a.values.Seconds(settings.KeySNMPTimeout), Retries: min(a.values.Int(settings.KeySNMPRetries), maxRetries),
		MaxRepetitions: a.values.Int(settings.KeySNMPMaxRepeaters), MaxObjects: a.values.Int(settings.KeySNMPMaxOID), Keys: a.keys,
	}
}

// try reads sysObjectID.0 of a device with some credentials, and when they are
// taken the rest of it, in the time that a poll of it will have: one that answers slowly must not hold up those after it.
func (a *Admission) try(ctx context.Context, d device.Device, address netip.Addr, c snmp.Credentials) (*device.Poll, error) {
	target := a.target(d, address, c)
	session, err := snmp.Dial(ctx, target, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }() // nothing is lost with it
	_, err = session.Probe(ctx, oidSysObjectID, 1+target.Retries, target.Timeout)
	if err := refusal(err); err != nil {
		return nil, err
	}
	reading, cancel := context.WithTimeout(ctx, time.Duration(d.Interval)*time.Second*4/5)
	defer cancel()
	report := poller.Poll(reading, session, poller.Target{Device: d, Timeout: target.Timeout, Retries: target.Retries, Definitions: a.definitions})
	switch report.Poll.Outcome {
	case device.OutcomeUp, device.OutcomePartial:
		return &report.Poll, gaveNothing(report)
	case device.OutcomeAuth:
		return nil, fmt.Errorf("%w: %s", snmp.ErrAuth, report.Poll.Reason)
	default:
		return nil, fmt.Errorf("%w after the first one: %s", ErrSilent, report.Poll.Reason)
	}
}

// refusal is the error of a probe that says that the credentials are wrong, or
// that nobody is there. An agent that has no sysObjectID.0, or fails to read it, has taken them.
func refusal(err error) error {
	var status *snmp.StatusError
	switch {
	case errors.As(err, &status) && mayNotRead(status):
		return fmt.Errorf("%w: %w", snmp.ErrAuth, err)
	case errors.As(err, &status), errors.Is(err, snmp.ErrUnexpected):
		return nil
	default:
		return err
	}
}

// mayNotRead says whether a status means that user or community may not read what was asked (RFC 3416).
func mayNotRead(status *snmp.StatusError) bool {
	return slices.Contains([]string{"authorizationError", "noAccess"}, status.Status)
}

// gaveNothing is the error of a device that answers, but refuses all that was asked.
func gaveNothing(report poller.Report) error {
	if report.Poll.Outcome != device.OutcomePartial || report.Poll.Facts != nil || len(report.Poll.Ports) > 0 {
		return nil
	}
	for _, module := range report.Modules {
		var status *snmp.StatusError
		if errors.As(module.Err, &status) && mayNotRead(status) {
			return fmt.Errorf("%w: it answers, but gives nothing: %s", snmp.ErrAuth, report.Poll.Reason)
		}
	}
	return fmt.Errorf("it answers, but gives nothing: %s", report.Poll.Reason)
}

// agentTwin refuses a device that asks what another one asks already.
func (a *Admission) agentTwin(ctx context.Context, asked Asked) error {
	twin, found, err := a.store.AgentTwin(ctx, asked.Device, asked.hosts)
	if err != nil || !found {
		return err
	}
	return &TwinError{Twin: twin, By: agentName(asked.Device, asked.hosts)}
}

// agentName names what a device asks.
func agentName(d device.Device, hosts []string) string {
	text := "the address " + hosts[len(hosts)-1]
	if !d.PingOnly {
		text = fmt.Sprintf("%s, port %d", text, d.Port)
		if context := d.Credentials.ContextName(); context != "" {
			text += ", in the same SNMP context"
		}
	}
	return text
}

// sysNameTwin refuses a device whose sysName another one has: it is most likely the same under another address.
func (a *Admission) sysNameTwin(ctx context.Context, asked Asked) error {
	sysName := asked.sysName()
	if sysName == "" || a.values.Bool(settings.KeyDuplicateSysName) {
		return nil
	}
	twin, found, err := a.store.SysNameTwin(ctx, sysName, 0)
	if err != nil || !found {
		return err
	}
	return &TwinError{Twin: twin, By: fmt.Sprintf("the sysName %.80q", sysName)}
}

func (a Asked) sysName() string {
	if a.poll == nil || a.poll.Facts == nil {
		return ""
	}
	return a.poll.Facts.SysName
}
