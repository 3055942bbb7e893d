package rrd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"pollux/device"
	"pollux/journal"
)

const (
	// maxLate is how many files wait for the end that is late, before they are looked at again.
	maxLate = 1000
	// catchUp is how long that end may take for what the log held, when nobody says otherwise.
	catchUp = 30 * time.Second
	// betweenLooks at its cursor.
	betweenLooks = 100 * time.Millisecond
)

// VerifyConfig says what is compared.
type VerifyConfig struct {
	Journal   *journal.Journal // of the shard that both ends record
	ClusterID string
	From, To  string // addresses
	Ports     Ports
	// Components may be nil: then their files are not compared.
	Components Components
	Patience   time.Duration    // how long an end may take for what the log holds; 0 is 30 s
	Report     func(Difference) // for each file that differs, in the order in which they are found
	Progress   func(Verified)   // after each device; may be nil
}

// Verified is how far a comparison is, and at its end what it found.
type Verified struct {
	From, To  string // ids of the targets
	Devices   int
	Files     int // that at least one end has
	Absent    int // that no end has: of ports and generations that nothing was measured of
	Different int
	Behind    int // that one end lacks or has not to the end, because it has not caught up with the log
	Rows      int64
}

// Verify compares what two RRDCached hold of some devices: that the same files
// are there, with the same step, sources and archives, and in these the same rows
// up to the time that both have. It makes both write what they hold of each
// file. What one end has beyond the other is looked at again once the other one
// has taken in all that the log held by then; so a healthy pair is equal while
// entries flow. A file that cannot be read is a difference, and ends nothing. It holds one file in memory at a time.
//
// Errors: ErrSameTarget, ErrNotTree, journal.ErrOtherCluster, those of devices
// and of Ports, and rrdcached.ErrConnection.
func Verify(ctx context.Context, c VerifyConfig, devices iter.Seq2[device.Device, error]) (Verified, error) {
	v := &verifier{VerifyConfig: c}
	for i, address := range []string{c.From, c.To} {
		e, err := dial(ctx, address, c.ClusterID)
		if err != nil {
			return Verified{}, err
		}
		defer e.close()
		v.pair.ends[i] = e
	}
	v.result.From, v.result.To = v.pair.ends[0].target, v.pair.ends[1].target
	if v.result.From == v.result.To {
		return v.result, fmt.Errorf("%w: %s and %s", ErrSameTarget, c.From, c.To)
	}
	for d, err := range devices {
		if err == nil {
			err = v.device(ctx, d)
		}
		if err != nil {
			return v.result, err
		}
	}
	err := v.again(ctx)
	v.result.Rows = v.pair.rowsCompared
	return v.result, err
}

// verifier is a comparison at work.
type verifier struct {
	VerifyConfig
	pair   pair
	late   []lateFile
	behind bool // an end did not catch up: it is not waited for again
	result Verified
}

// lateFile is a file of which one end lacks what the other one has.
type lateFile struct {
	device, file string
	end          int
	wanted       time.Time
}

func (v *verifier) device(ctx context.Context, d device.Device) error {
	ports, err := v.Ports(ctx, d.ID)
	if err != nil {
		return err
	}
	var components []device.Component
	if v.Components != nil {
		if components, err = v.Components(ctx, d.ID); err != nil {
			return err
		}
	}
	for _, file := range Files(d, ports, components) {
		found, err := v.pair.compare(ctx, file)
		if err != nil {
			return err
		}
		switch {
		case found.absent:
			v.result.Absent++
			continue
		case found.differs != nil:
			v.differs(d.Hostname, *found.differs)
		case found.moving:
			v.result.Behind++
		case found.late >= 0:
			v.late = append(v.late, lateFile{d.Hostname, file, found.late, found.wanted})
		}
		v.result.Files++
		if len(v.late) >= maxLate {
			if err := v.again(ctx); err != nil {
				return err
			}
		}
	}
	v.result.Devices++
	if v.Progress != nil {
		v.result.Rows = v.pair.rowsCompared
		v.Progress(v.result)
	}
	return nil
}

func (v *verifier) differs(hostname string, d Difference) {
	v.result.Different++
	d.Device = hostname
	v.Report(d)
}

// again looks once more at the files of which one end was late.
func (v *verifier) again(ctx context.Context) error {
	if len(v.late) == 0 {
		return nil
	}
	caught, err := v.catchUp(ctx)
	if err != nil {
		return err
	}
	for _, l := range v.late {
		if !caught[l.end] {
			v.result.Behind++
			continue
		}
		if err := v.judge(ctx, l); err != nil {
			return err
		}
	}
	v.late = v.late[:0]
	return nil
}

// judge compares a file whose late end has recorded all that the other had. A FLUSH
// returns early when the file is just being written, so it gets 2 s.
func (v *verifier) judge(ctx context.Context, l lateFile) error {
	late := v.pair.ends[l.end]
	for range settleTries {
		info, exists, err := late.written(ctx, l.file)
		var refused *fileError
		unreadable := errors.As(err, &refused)
		if err != nil && !unreadable {
			return err
		}
		if unreadable || exists && !info.LastUpdate.Before(l.wanted) {
			found, err := v.pair.compare(ctx, l.file)
			if err == nil && found.differs != nil {
				v.differs(l.device, *found.differs)
			}
			return err
		}
		if !exists {
			d := Difference{File: l.file, What: DifferentExistence, From: "there", To: "missing"}
			if l.end == 0 {
				d.From, d.To = d.To, d.From
			}
			v.differs(l.device, d)
			return nil
		}
		if err := pause(ctx, settlePause); err != nil {
			return err
		}
	}
	return v.lastUpdate(ctx, l)
}

// lastUpdate reports an end that lacks updates for good.
func (v *verifier) lastUpdate(ctx context.Context, l lateFile) error {
	d := Difference{File: l.file, What: DifferentUpdate}
	for i, shown := range []*string{&d.From, &d.To} {
		info, _, err := v.pair.ends[i].written(ctx, l.file)
		var refused *fileError
		switch *shown = info.LastUpdate.UTC().Format(time.RFC3339); {
		case errors.As(err, &refused):
			*shown = refused.why
		case err != nil:
			return err
		}
	}
	v.differs(l.device, d)
	return nil
}

// catchUp waits until the ends have recorded all that the log holds now, for 30 s at most. It says which have.
func (v *verifier) catchUp(ctx context.Context) (caught [2]bool, err error) {
	id, err := v.Journal.End(ctx)
	if err != nil {
		return caught, err
	}
	deadline := time.Now().Add(cmp.Or(v.Patience, catchUp))
	for {
		for i, e := range v.pair.ends {
			if caught[i] {
				continue
			}
			caught[i], err = v.Journal.Recorded(ctx, e.target, id)
			if err != nil && !errors.Is(err, journal.ErrNoTarget) { // one without a cursor gets nothing
				return caught, err
			}
		}
		if caught == [2]bool{true, true} || v.behind || time.Now().After(deadline) {
			v.behind = caught != [2]bool{true, true}
			return caught, nil
		}
		if err := pause(ctx, betweenLooks); err != nil {
			return caught, err
		}
	}
}
