package billing

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the zones of bills exist on a node whose system has no database of them, too
)

// Type says what of a bill is limited.
type Type string

// The types of bills, as LibreNMS calls them.
const (
	CDR   Type = "cdr"   // committed data rate: the 95th percentile, bit/s
	Quota Type = "quota" // bytes in a period
)

// Direction says which traffic of its ports a bill counts.
type Direction string

// The directions of bills, as seen by the ports.
const (
	In        Direction = "in"
	Out       Direction = "out"
	Max       Direction = "max"       // in or out, whichever is more: of the percentiles, or of the totals
	Aggregate Direction = "aggregate" // in and out added up
)

// Bill is what somebody pays for.
type Bill struct {
	ID         int64
	Name       string
	Ref        string // of the one who bills
	Customer   string
	Notes      string
	Type       Type
	Allowed    int64 // bit/s of a CDR, bytes of a quota; 0 for nothing
	Direction  Direction
	Day        int    // of the month, 1-31, on which its periods begin; the last day of shorter months
	Zone       string // IANA time zone in which that day begins
	PeriodFrom int64  // Unix second at which its open period began
	Version    int64  // grows with each change that people make
	Created    time.Time
	Calculated time.Time // when its figures were calculated last
}

// What bounds an allowance: far more than anybody sells.
const (
	maxRate  = 100_000_000_000_000       // bit/s
	maxQuota = 1_000_000_000_000_000_000 // bytes
)

// ErrBill says that a bill cannot be as it is described.
var ErrBill = errors.New("bill")

// Validate says in one line what is wrong with a bill's terms. Its errors are ErrBill.
func (b Bill) Validate() error {
	switch {
	case b.Type != CDR && b.Type != Quota:
		return fmt.Errorf("%w type %.20q: want cdr or quota", ErrBill, b.Type)
	case b.Direction != In && b.Direction != Out && b.Direction != Max && b.Direction != Aggregate:
		return fmt.Errorf("%w direction %.20q: want in, out, max or aggregate", ErrBill, b.Direction)
	case b.Day < 1 || b.Day > 31:
		return fmt.Errorf("%w day %d: want 1 to 31", ErrBill, b.Day)
	case b.Allowed < 0:
		return fmt.Errorf("%w allowance %d: it is negative", ErrBill, b.Allowed)
	case b.Type == CDR && b.Allowed > maxRate:
		return fmt.Errorf("%w allowance %d bit/s: want at most %d (100 Tbit/s)", ErrBill, b.Allowed, int64(maxRate))
	case b.Type == Quota && b.Allowed > maxQuota:
		return fmt.Errorf("%w allowance %d bytes: want at most %d (1 EB)", ErrBill, b.Allowed, int64(maxQuota))
	}
	_, err := b.Location()
	return err
}

// Location is the time zone of the bill, by the system's database, or by the
// one in the program where the system has none; ErrBill for one that does not exist.
func (b Bill) Location() (*time.Location, error) {
	if !ianaZone(b.Zone) {
		return nil, fmt.Errorf("%w time zone %.80q: want a name such as UTC or Europe/Berlin", ErrBill, b.Zone)
	}
	zone, err := time.LoadLocation(b.Zone)
	if err != nil {
		return nil, fmt.Errorf("%w time zone %.80q: there is none of that name; want one such as UTC or Europe/Berlin", ErrBill, b.Zone)
	}
	return zone, nil
}

// ianaZone says whether a name can be that of a zone in the IANA database. A
// system's folder of zones holds more: right/ counts leap seconds, so that days
// begin half a minute off; posix/ is on some systems only; localtime, posixrules
// and Go's Local are another zone on each node.
func ianaZone(name string) bool {
	switch name {
	case "", "Local", "localtime", "posixrules":
		return false
	}
	other := func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		return !letter && (r < '0' || r > '9') && !strings.ContainsRune("_+-/", r)
	}
	return len(name) <= 64 && !strings.ContainsFunc(name, other) && !strings.HasPrefix(name, "right/") && !strings.HasPrefix(name, "posix/")
}
