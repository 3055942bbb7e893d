package rrd

import (
	"fmt"
	"io/fs"
	"time"

	"pollux/measurement"
)

// owner is whose a directory is.
type owner struct {
	device     int64
	generation int // of uptime.rrd
	shard      int
	moved      bool      // inventory and journal agree that it was moved to that shard
	removed    time.Time // zero for a device that is there
	unwanted   bool      // whoever removed it wants its files to go, too
}

func (s *search) owners() error {
	for r, err := range s.Removed {
		if err != nil {
			return err
		}
		s.owner[r.RRDDir] = s.locate(owner{device: r.ID, shard: r.Shard, removed: r.At, unwanted: r.DeleteHistory})
	}
	for d, err := range s.Devices { // after those removed: one that was removed meanwhile is found there by the next search
		if err != nil {
			return err
		}
		s.owner[d.RRDDir] = s.locate(owner{device: d.ID, generation: d.Generation, shard: d.Shard})
	}
	return nil
}

// locate finds out in which shard a device is. Where its entries go is what the
// journal says; an inventory that says something else lags behind, or was restored from a
// backup: then nothing of the device is an orphan.
func (s *search) locate(o owner) owner {
	if home, moved := s.Homes[o.device]; moved {
		o.moved = home == o.shard
		o.shard = home
	}
	return o
}

// departed looks at the directory of a device that was moved to another shard. The move
// removes what it has copied; left are files that differed in one tree of several, and what
// an interrupted move did not come to.
func (s *search) departed(entry fs.DirEntry, o owner) error {
	directory := entry.Name()
	why := fmt.Sprintf("device %d was moved to shard %d", o.device, o.shard)
	entries, err := s.tree.list(directory)
	if err != nil {
		return err
	}
	if info, err := entry.Info(); err == nil && !s.Unwanted && len(entries) == 0 && s.now.Sub(info.ModTime()) >= s.Older {
		s.add(Orphan{File: directory + "/", Kind: OrphanMoved, Why: why, Changed: info.ModTime()})
	}
	return s.each(directory, func(entry fs.DirEntry, _ measurement.Kind, _ int64, _ int) {
		if info, err := entry.Info(); s.Unwanted || err == nil && !info.ModTime().Before(s.settled) {
			s.found.Owned++ // the log may still hold updates of it
			return
		}
		s.orphan(directory, OrphanMoved, why, entry)
	})
}
