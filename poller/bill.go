package poller

import (
	"context"
	"errors"
	"time"

	"pollux/billing"
	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// BillTarget is a device whose billed ports are read.
type BillTarget struct {
	Device   device.Device
	Ports    []billing.Port
	Slot     int64 // Unix second at which the collect slot begins
	Interval int   // seconds between two collect slots
	// Fixed says that a port which does not answer under its ifIndex is not to be searched for: it was, a short while ago.
	Fixed      bool
	MaxObjects int // that one request names; 50 when it is not positive. A port takes 10 with sysUpTime
	// Definitions say which columns the ports have that stand in another table than the IF-MIB; nil leaves such ports unread.
	Definitions *definitions.Set
}

// BillMiss says why a port has no reading. The strings are labels of a metric.
type BillMiss string

// The reasons of missing readings.
const (
	BillDown      BillMiss = "down"      // the device does not answer, or stopped to
	BillAuth      BillMiss = "auth"      // it refuses the credentials
	BillGone      BillMiss = "gone"      // it has no port of that name
	BillAmbiguous BillMiss = "ambiguous" // it has several
	BillRefused   BillMiss = "refused"   // it answers with an error, or with no counters, or what it has cannot be read for a bill
	BillNarrow    BillMiss = "narrow"    // it has no 64-bit counters, but had some a short while ago
	BillLate      BillMiss = "late"      // the time was over
)

// BillMisses are all of them.
func BillMisses() []BillMiss {
	return []BillMiss{BillDown, BillAuth, BillGone, BillAmbiguous, BillRefused, BillNarrow, BillLate}
}

// BillReport is what one reading found. Each port of the target is in exactly one of Readings and Missing.
type BillReport struct {
	Readings  []billing.Reading  // with local times: the middle between sending and receiving the PDU
	Missing   map[int64]BillMiss // by port id
	Moved     int                // ports that were found under another ifIndex than the inventory's
	Fruitless bool               // the names of all ports were read, and some of the target's were not among them
	Requests  int                // requests that were asked, without their tries
	Reason    string             // of the last failure, one line of at most 200 bytes; "" for none
	// Unreadable is why some ports will not be read until somebody changes something; "" for none. One line.
	Unreadable string
	// FirstRequest is the local time just before the first request.
	FirstRequest time.Time
}

// ReadBilled reads the octets of the billed ports of a device, in as few PDUs as
// their size allows. A port's counters, its name and speed, sysUpTime and ifCounterDiscontinuityTime
// come in one PDU; where the name is not the port's, the port is searched for by its name, once for all ports. A port that
// cannot be read, or not for sure, is missing: it never gets a zero, an old figure or another port's. One that stands in a table
// beside the IF-MIB is read there, by its row, and is not searched for: its name may stand in several routing instances.
//
// A device that is known to be down is asked for sysUpTime.0 first, with 2 tries of 1 s.
func ReadBilled(ctx context.Context, s Session, t BillTarget) BillReport {
	b := &billReader{session: s, target: t, objects: t.MaxObjects}
	if b.objects <= 0 {
		b.objects = maxBillObjects
	}
	b.report = BillReport{Missing: make(map[int64]BillMiss), FirstRequest: time.Now()}
	for i := range t.Ports {
		b.all = append(b.all, billed{Port: t.Ports[i], index: t.Ports[i].Index})
	}
	b.place()
	if b.alive(ctx) {
		b.read(ctx)
	}
	for i := range b.all {
		if p := &b.all[i]; p.reading != nil {
			b.report.Readings = append(b.report.Readings, *p.reading)
		} else {
			b.report.Missing[p.ID] = p.miss
		}
	}
	return b.report
}

// billed is one port while it is read.
type billed struct {
	billing.Port
	index   int64      // that is asked
	at      string     // its index in that table
	table   *portTable // beside the IF-MIB, that it stands in; nil for a port of the IF-MIB
	narrow  bool       // its 32-bit counters are asked for too
	lost    bool       // another port answered under its index, or none
	reading *billing.Reading
	miss    BillMiss
}

// billReader reads the billed ports of one device.
type billReader struct {
	session Session
	target  BillTarget
	objects int // that one request may name
	most    int // ports that one request may ask for; 0 when no request was too big yet
	all     []billed
	report  BillReport
	ended   bool // asking further is no use
}

// alive asks a device that is known to be down whether it is back.
func (b *billReader) alive(ctx context.Context) bool {
	if b.target.Device.Status != device.StatusDown {
		return true
	}
	b.report.Requests++
	_, err := b.session.Probe(ctx, oidSysUpTime, downTries, downTimeout)
	var status *snmp.StatusError
	if err == nil || errors.As(err, &status) || errors.Is(err, snmp.ErrUnexpected) {
		return true
	}
	b.end(ctx, err)
	return false
}

// read reads what can be read without searching, then what lacks something, then what has moved.
func (b *billReader) read(ctx context.Context) {
	v1 := b.target.Device.Credentials.Version == snmp.V1 // which knows no Counter64
	var first []*billed
	for i := range b.all {
		p := &b.all[i]
		if p.table != nil || p.miss != "" {
			if p.miss == "" {
				first = append(first, p)
			}
			continue
		}
		p.narrow = v1
		if p.Name == "" { // nothing could say that it is the port
			p.miss = BillGone
			continue
		}
		if p.lost = !isIndex(p.index); !p.lost {
			first = append(first, p)
		}
	}
	b.readPorts(ctx, first)
	b.readNarrow(ctx)
	if !b.search(ctx) {
		return
	}
	var moved []*billed
	for i := range b.all {
		if p := &b.all[i]; p.lost && isIndex(p.index) {
			p.lost, p.narrow = false, v1
			moved = append(moved, p)
		}
	}
	b.readPorts(ctx, moved)
	b.readNarrow(ctx)
	for i := range b.all {
		if p := &b.all[i]; p.lost && p.miss == "" {
			p.miss = BillGone // it moved once more while it was read
		}
	}
}

// readNarrow asks for the 32-bit counters of the ports that lack something.
func (b *billReader) readNarrow(ctx context.Context) {
	var lacking []*billed
	for i := range b.all {
		if p := &b.all[i]; p.narrow && p.reading == nil && !p.lost && p.miss == "" {
			lacking = append(lacking, p)
		}
	}
	b.readPorts(ctx, lacking)
	for _, p := range lacking {
		if p.reading == nil && !p.lost && p.miss == "" {
			p.miss = BillRefused
		}
	}
}

// end notes why asking further is no use, for all ports that were not read.
func (b *billReader) end(ctx context.Context, err error) {
	b.ended = true
	b.report.Reason = oneLine(err.Error())
	miss := BillDown
	switch {
	case errors.Is(err, snmp.ErrAuth):
		miss = BillAuth
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		miss = BillLate
	}
	for i := range b.all {
		if p := &b.all[i]; p.reading == nil && p.miss == "" {
			p.miss = miss
		}
	}
}
