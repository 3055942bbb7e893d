// Package admission lets devices into the inventory: it looks for agents in
// networks, asks a device with the credentials that may be its own, compares it
// with what is there, and stores it with its ports.
//
// It must not print, must not read flags or files, and must not ask an address
// that the settings exclude unless whoever asked for it may. No error and no
// warning of it holds a secret.
package admission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pollux/device"
	"pollux/ping"
	"pollux/poller/definitions"
	"pollux/settings"
	"pollux/snmp"
	"pollux/store"
)

// What a caller may tell apart with errors.Is. Further errors are
// ping.ErrSilent, snmp.ErrAuth, settings.ErrNet, *TwinError and those of the store.
var (
	// ErrSilent: the name is not known, or no SNMP agent answers.
	ErrSilent = errors.New("no answer")
	// ErrNoSet: there is no credential set of the name.
	ErrNoSet = errors.New("there is no credential set")
	// ErrSet: a credential set that was named cannot be tried.
	ErrSet = errors.New("the credential set cannot be tried")
	// ErrNoCredentials: nothing to ask the device with.
	ErrNoCredentials = errors.New("no credentials to try")
)

// TwinError says that a device is there already under another name.
type TwinError struct {
	Twin device.Device
	By   string // what both have in common
}

// Error implements error.
func (e *TwinError) Error() string {
	return fmt.Sprintf("it is there already: %s is that of %s (device %d)", e.By, e.Twin.Hostname, e.Twin.ID)
}

// Pinger asks addresses by ICMP; *ping.Pinger is one.
type Pinger interface {
	Mode() ping.Mode
	Ping(ctx context.Context, address netip.Addr, tries int, wait time.Duration) (time.Duration, error)
}

// Deps are what an Admission works with.
type Deps struct {
	Store  *store.Store
	Values settings.Values
	Pinger Pinger // nil means what ping.Detect finds
	DryRun bool   // ask and compare, but store nothing
	// Definitions say which interfaces of a new device are ports, as in its polls; nil leaves it to the usual filters.
	Definitions *definitions.Set
}

// Admission lets devices in. It is safe for concurrent use.
type Admission struct {
	store  *store.Store
	values settings.Values
	nets   settings.Nets
	pinger Pinger
	keys   *snmp.KeyCache
	sets   []device.CredentialSet // in their order
	dryRun bool

	definitions *definitions.Set

	mu      sync.Mutex // held from the last comparison until the device is stored, so that no two of a run are twins
	planned []Asked    // with dryRun: what would have been stored
}

// Open reads the credential sets and returns an Admission.
func Open(ctx context.Context, d Deps) (*Admission, error) {
	sets, err := d.Store.CredentialSets(ctx)
	if err != nil {
		return nil, err
	}
	if d.Pinger == nil {
		d.Pinger = ping.Detect()
	}
	return &Admission{
		store: d.Store, values: d.Values, nets: d.Values.Nets(), pinger: d.Pinger, keys: snmp.NewKeyCache(), sets: sets, dryRun: d.DryRun,
		definitions: d.Definitions,
	}, nil
}

// Request is a device that somebody wants in the inventory.
type Request struct {
	Device device.Device // as it is described; its credentials are found
	// Given are tried first, in this order, and then the sets that are named.
	// When neither is there: the sets for the device's poller group; when there is none, Default.
	Given   []snmp.Credentials
	Sets    []string
	Default []snmp.Credentials
	// Versions are those of the sets that may be tried, in this order.
	Versions []snmp.Version
	// Force stores the device without asking it, and lets it have a twin.
	Force bool
	// Anywhere lets the address be one that the settings exclude, and lets stored
	// credentials go outside of the networks to search: said by somebody on this machine, who can
	// do both anyway. Nobody else may.
	Anywhere bool
	// Alive says that the address has just answered, so that it need not answer ICMP again.
	Alive bool
}

// Candidate are credentials that a device may answer to.
type Candidate struct {
	Set         string // name of the credential set, "" for others
	Credentials snmp.Credentials
}

// String says what is tried, without its secrets.
func (c Candidate) String() string {
	text := string(c.Credentials.Version)
	if c.Credentials.User != "" {
		text += " user " + c.Credentials.User
	}
	if c.Set != "" {
		text += " of set " + c.Set
	}
	return text
}

// Candidates are what a device is asked with, in this order. Errors: ErrNoSet, ErrSet, ErrNoCredentials.
func (a *Admission) Candidates(r Request) ([]Candidate, error) {
	var all []Candidate
	for _, c := range r.Given {
		all = append(all, Candidate{Credentials: c})
	}
	named, err := a.named(r)
	if err != nil {
		return nil, err
	}
	all = append(all, named...)
	if len(r.Given)+len(r.Sets) == 0 {
		all = ordered(a.sets, r.Versions, func(set device.CredentialSet) bool { return set.Serves(r.Device.Group) })
	}
	if len(all) == 0 {
		for _, c := range r.Default {
			all = append(all, Candidate{Credentials: c})
		}
	}
	if len(all) == 0 {
		return nil, ErrNoCredentials
	}
	return all, nil
}

// named are the candidates of the sets that a request names.
func (a *Admission) named(r Request) ([]Candidate, error) {
	for _, name := range r.Sets {
		i := slices.IndexFunc(a.sets, func(set device.CredentialSet) bool { return set.Name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("%w %.80q", ErrNoSet, name)
		case a.sets[i].Lost:
			return nil, fmt.Errorf("%w: the secrets of %s do not open with the APP_KEY of this node", ErrSet, name)
		case !slices.Contains(r.Versions, a.sets[i].Credentials.Version):
			return nil, fmt.Errorf("%w: %s is of SNMP %s, which is not among the versions to try", ErrSet, name, a.sets[i].Credentials.Version)
		}
	}
	return ordered(a.sets, r.Versions, func(set device.CredentialSet) bool { return slices.Contains(r.Sets, set.Name) }), nil
}

// ordered are the sets that are wanted, by version and then by their order. Lost ones are left out.
func ordered(sets []device.CredentialSet, versions []snmp.Version, wanted func(device.CredentialSet) bool) []Candidate {
	var all []Candidate
	for _, version := range versions {
		for _, set := range sets {
			if set.Credentials.Version == version && !set.Lost && wanted(set) {
				all = append(all, Candidate{Set: set.Name, Credentials: set.Credentials})
			}
		}
	}
	return all
}

// Lost are the names of the sets whose secrets do not open, so that they are not tried.
func (a *Admission) Lost() []string {
	var names []string
	for _, set := range a.sets {
		if set.Lost {
			names = append(names, set.Name)
		}
	}
	return names
}

// failed is one candidate that was tried in vain.
type failed struct {
	candidate Candidate
	err       error
}

const (
	maxTold     = 6  // candidates that an error names
	maxToldText = 90 // bytes of what each said
)

// inVain is the error of a device that answered to no candidate: snmp.ErrAuth
// when one was refused, else ErrSilent. It says what to do first, since a long text may be cut.
func inVain(agent string, tried []failed) error {
	kind, advice := ErrSilent, "from "+agent+": check address, port, community and the device's access list"
	var words []string
	for i, f := range tried {
		if errors.Is(f.err, snmp.ErrAuth) {
			kind, advice = snmp.ErrAuth, "by "+agent+": check user, protocols and passwords"
		}
		if i < maxTold {
			said := f.err.Error()
			words = append(words, fmt.Sprintf("%s: %s", f.candidate, strings.ToValidUTF8(said[:min(len(said), maxToldText)], "")))
		}
	}
	if more := len(tried) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%w %s; tried %s", kind, advice, strings.Join(words, "; "))
}
