package admission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"pollux/device"
	"pollux/ping"
	"pollux/settings"
	"pollux/snmp"
)

const (
	// maxAddresses bounds one search: a /16 of IPv4.
	maxAddresses = 1 << 16
	// What an address gets that nobody knows to be in use: less than a device that somebody named.
	scanPings   = 2
	scanRetries = 1
	burstParts  = 20 // 1/20 of a second's probes may be sent at once
	tickEvery   = 200 * time.Millisecond

	oidSysDescr snmp.OID = "1.3.6.1.2.1.1.1.0" // SNMPv2-MIB
	oidSysName  snmp.OID = "1.3.6.1.2.1.1.5.0"
)

// Targets lists the addresses of networks that may be searched, each once, in
// their order, without the addresses of networks themselves and of IPv4
// broadcasts; excluded is how many were left out because the settings exclude them. A
// network that is not inside one of those to search is settings.ErrNet as a
// whole, and so are networks of which nothing is left. More than 65,536 addresses are refused.
func Targets(networks []netip.Prefix, nets settings.Nets) (addresses []netip.Addr, excluded int, err error) {
	size := 0
	for _, network := range networks {
		if !inside(network, nets.Searched) {
			return nil, 0, fmt.Errorf("%w: %s is not inside a network of %s; allow it with: pollux config set %s NETWORK,NETWORK", settings.ErrNet, network, settings.KeyNets, settings.KeyNets)
		}
		if bits := network.Addr().BitLen() - network.Bits(); bits > 16 {
			return nil, 0, fmt.Errorf("%s has more than %d addresses: name smaller networks", network, maxAddresses)
		} else if size += 1 << bits; size > maxAddresses {
			return nil, 0, fmt.Errorf("the networks have more than %d addresses: search them one after the other", maxAddresses)
		}
	}
	seen := make(map[netip.Addr]bool, size)
	var why error
	for _, network := range networks {
		for address := network.Addr(); network.Contains(address); address = address.Next() {
			if seen[address] || isNetwork(network, address) {
				continue
			}
			seen[address] = true
			if refused := settings.Searchable(address, nets); refused != nil {
				excluded, why = excluded+1, refused
				continue
			}
			addresses = append(addresses, address)
		}
	}
	if len(addresses) == 0 && why != nil {
		return nil, excluded, why
	}
	return addresses, excluded, nil
}

// inside says whether a network is part of another one.
func inside(network netip.Prefix, of []netip.Prefix) bool {
	for _, larger := range of {
		if larger.Bits() <= network.Bits() && larger.Contains(network.Addr()) {
			return true
		}
	}
	return false
}

// isNetwork says whether an address is no host's: that of the network itself (in
// IPv6 that of any router, RFC 4291) and the last one, which is the broadcast of IPv4.
// Networks of one or two addresses have neither (RFC 3021, RFC 6164).
func isNetwork(network netip.Prefix, address netip.Addr) bool {
	if network.Bits() >= address.BitLen()-1 {
		return false
	}
	return address == network.Addr() || address.Is4() && !network.Contains(address.Next())
}

// Scan says what is searched and how.
type Scan struct {
	Addresses  []netip.Addr  // of Targets
	Device     device.Device // port and transport of the agents
	Candidates []Candidate
	Rate       int         // probes a second at most: an address is asked by ICMP, and with each candidate; further tries come on top
	Parallel   int         // addresses that are asked at the same time
	Found      func(Agent) // called for each agent, one at a time
	Tick       func(Tally) // called every 200 ms; nil is never called
}

// Agent is an SNMP agent that was found. Its texts are clean.
type Agent struct {
	Address     netip.Addr
	Candidate   Candidate // that it answers to
	SysName     string
	SysDescr    string
	SysObjectID string
}

// Tally counts what a search has done so far.
type Tally struct {
	Addresses int // that are to be searched
	Done      int
	Alive     int // that answered ICMP; 0 when it is not asked
	Agents    int
	Refused   int // that refused every candidate of SNMPv3 that they were asked with
}

// AsksICMP says whether addresses must answer ICMP before they are asked by SNMP:
// the settings want it, and this process may send it.
func (a *Admission) AsksICMP() bool {
	return a.values.Bool(settings.KeyICMPCheck) && a.pinger.Mode() != ping.Off
}

// Search asks each address by ICMP, where that is possible and wanted, and then
// by SNMP with each candidate until one is answered. No address outside of the networks to
// search gets a packet, whatever stands in Addresses: that is settings.ErrNet. Else the
// error is that of ctx. What was done by then comes beside it.
func (a *Admission) Search(ctx context.Context, scan Scan) (Tally, error) {
	s := &search{
		Scan: scan, admission: a, limiter: rate.NewLimiter(rate.Limit(scan.Rate), max(scan.Rate/burstParts, 1)), icmp: a.AsksICMP(),
	}
	ticking, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	defer ticker.Wait()
	defer stop()
	if scan.Tick != nil {
		ticker.Go(func() { s.tick(ticking) })
	}
	group, looking := errgroup.WithContext(ctx)
	group.SetLimit(max(scan.Parallel, 1))
	for _, address := range scan.Addresses {
		if looking.Err() != nil {
			break
		}
		group.Go(func() error {
			err := s.look(looking, address)
			s.done.Add(1)
			return err
		})
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err() // ended before the last address was begun
	}
	return s.tally(), err
}

// search is a Scan at work.
type search struct {
	Scan
	admission *Admission
	limiter   *rate.Limiter
	icmp      bool

	done, alive, agents, refused atomic.Int64
	mu                           sync.Mutex // of calls of Found
}

func (s *search) tally() Tally {
	return Tally{
		Addresses: len(s.Addresses), Done: int(s.done.Load()), Alive: int(s.alive.Load()), Agents: int(s.agents.Load()), Refused: int(s.refused.Load()),
	}
}

func (s *search) tick(ctx context.Context) {
	every := time.NewTicker(tickEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			s.Tick(s.tally())
		}
	}
}

// look asks one address. Only ctx, and an address that must not be asked, end the whole search.
func (s *search) look(ctx context.Context, address netip.Addr) error {
	if err := settings.Searchable(address, s.admission.nets); err != nil {
		return err
	}
	if s.icmp {
		if err := s.limiter.Wait(ctx); err != nil {
			return err
		}
		if _, err := s.admission.pinger.Ping(ctx, address, scanPings, pingWait); err != nil {
			return ctx.Err()
		}
		s.alive.Add(1)
	}
	refused := false
	for _, candidate := range s.Candidates {
		agent, err := s.ask(ctx, address, candidate)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			s.agents.Add(1)
			s.mu.Lock()
			s.Found(agent)
			s.mu.Unlock()
			return nil
		case errors.Is(err, snmp.ErrAuth):
			refused = true
		}
	}
	if refused {
		s.refused.Add(1)
	}
	return nil
}

// ask asks an address with one candidate, and reads what an agent says of itself.
func (s *search) ask(ctx context.Context, address netip.Addr, candidate Candidate) (Agent, error) {
	if err := s.limiter.Wait(ctx); err != nil {
		return Agent{}, err
	}
	target := s.admission.target(s.Device, address, candidate.Credentials)
	target.Retries = min(target.Retries, scanRetries)
	session, err := snmp.Dial(ctx, target, nil)
	if err != nil {
		return Agent{}, err
	}
	defer func() { _ = session.Close() }() // nothing is lost with it
	object, err := session.Probe(ctx, oidSysObjectID, 1+target.Retries, target.Timeout)
	if err := refusal(err); err != nil {
		return Agent{}, err
	}
	agent := Agent{Address: address, Candidate: candidate, SysObjectID: object.Value.Text()}
	// An agent without these objects is one all the same.
	if about, err := session.Get(ctx, oidSysName, oidSysDescr); err == nil {
		agent.SysName, agent.SysDescr = about[0].Value.Text(), about[1].Value.Text()
	}
	return agent, nil
}
