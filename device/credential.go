package device

import (
	"slices"
	"time"

	"pollux/snmp"
)

// CredentialSet are named credentials that new devices are tried with. A device
// gets a copy of those it answers to: a set that is changed later changes no device.
type CredentialSet struct {
	ID          int64
	Name        string
	Order       int              // sets with a smaller one are tried before
	Credentials snmp.Credentials // opened; only the store knows the sealed form
	Groups      []int64          // only for devices of these poller groups; nil for those of all
	ChangedAt   time.Time
	Lost        bool // its secrets do not open with any key of this node: it cannot be tried
}

// Serves says whether devices of a poller group are tried with the set.
func (c CredentialSet) Serves(group int64) bool {
	return c.Groups == nil || slices.Contains(c.Groups, group)
}
