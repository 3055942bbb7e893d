package rrd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
)

const (
	// maxOrphans is how many files one search returns; what is more is only counted.
	maxOrphans = 100_000
	// maxForeign is how many directories with foreign files are named.
	maxForeign = 10_000
)

// OrphansConfig says what is searched, and what belongs to whom.
type OrphansConfig struct {
	Journal   *journal.Journal // of the shard whose tree it is
	Shard     int
	ClusterID string
	Tree      string        // base directory of an RRDCached, readable here
	Addresses []string      // of the shard's RRDCached, one of which has that tree
	Window    time.Duration // how long RRDCached may hold an update (rrd.flush_window and a minute)
	Older     time.Duration // only files that were not changed for so long; at least twice the window
	Unwanted  bool          // only files of devices that were removed together with their history
	Devices   iter.Seq2[device.Device, error]
	Removed   iter.Seq2[device.Removed, error]
	Ports     Ports
	LastPort  int64         // highest id of a port in the inventory
	Homes     map[int64]int // shards of the devices that were moved, as the journal has them
}

// Orphan is a file that Pollux made and that nothing owns.
type Orphan struct {
	File    string // relative to the tree; a directory ends with a slash
	Kind    OrphanKind
	Why     string
	Bytes   int64
	Changed time.Time
}

// OrphanKind says what has become of the owner.
type OrphanKind string

// The kinds of orphans.
const (
	OrphanRemoved OrphanKind = "removed" // the device was removed
	OrphanPort    OrphanKind = "port"    // the device has no such port
	OrphanMoved   OrphanKind = "moved"   // the device was moved to another shard; the file may hold what the copy lacks
)

// Foreign are files of one directory that Pollux does not know. They are never removed.
type Foreign struct {
	Directory string // "." for the base
	Why       string
	Files     int
	Bytes     int64
}

// Orphans is what a search found.
type Orphans struct {
	Target      string // id of the tree
	Files       []Orphan
	Foreign     []Foreign
	Owned       int // files of devices, and those of removed and moved ones of which updates may still come, or which are not looked for
	Young       int // files without owner that were changed too lately
	More        int // orphans beyond the 100,000 in Files
	MoreForeign int // foreign files in directories beyond the 10,000 in Foreign
}

// FindOrphans lists what no device owns in the tree of an RRDCached: files of
// devices that were removed or moved to another shard, once no update of them can come any more, and those of
// ports that a device does not have. Files of an older generation belong to their port. What has another
// name than Pollux gives, lies in a directory that no device ever had, or is newer than the inventory knows is foreign.
//
// Errors: ErrNotTree when the directory has no identity of this cluster, or
// belongs to none of the addresses; those of the inventory.
func FindOrphans(ctx context.Context, c OrphansConfig) (Orphans, error) {
	t, err := openTree(c.Tree, c.ClusterID)
	if err != nil {
		return Orphans{}, err
	}
	defer t.close()
	d, err := c.daemonOf(ctx, t)
	if err != nil {
		return Orphans{}, err
	}
	d.close()
	s := &search{OrphansConfig: c, tree: t, now: time.Now(), owner: map[string]owner{}, foreignAt: map[string]int{}, found: Orphans{Target: t.target}}
	s.Older = max(s.Older, 2*s.Window)
	if s.settled, err = c.settled(ctx, t.target, s.now); err != nil {
		return s.found, err
	}
	if err := s.owners(); err != nil {
		return s.found, err
	}
	return s.found, s.run(ctx)
}

// daemonOf connects to the RRDCached whose tree it is.
func (c OrphansConfig) daemonOf(ctx context.Context, t *tree) (*daemon, error) {
	var away error
	for _, address := range c.Addresses {
		d, err := dial(ctx, address, c.ClusterID)
		switch {
		case errors.Is(err, ErrNotTree):
		case err != nil:
			away = errors.Join(away, err)
		case d.target == t.target:
			return d, nil
		default:
			d.close()
		}
	}
	if away != nil {
		return nil, fmt.Errorf("find the RRDCached of target %s: %w", t.target, away)
	}
	return nil, fmt.Errorf("%w: %s has target %s, to which none of the addresses leads", ErrNotTree, t.name, t.target)
}

// settled is the time before which a device must have been removed for no update of it to come: not from
// what RRDCached holds, nor from a replay of the log.
func (c OrphansConfig) settled(ctx context.Context, target string, now time.Time) (time.Time, error) {
	settled := now.Add(-2 * c.Window)
	oldest, err := c.Journal.OldestUnwritten(ctx, target)
	if errors.Is(err, journal.ErrNoTarget) { // nothing is sent there; when it is again, the whole log is
		return settled, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if !oldest.IsZero() && oldest.Before(settled) {
		settled = oldest
	}
	return settled, nil
}

// search is one at work.
type search struct {
	OrphansConfig
	tree      *tree
	now       time.Time
	settled   time.Time
	owner     map[string]owner // by directory
	foreignAt map[string]int   // index in found.Foreign, by directory and reason
	found     Orphans
}

func (s *search) run(ctx context.Context) error {
	entries, err := s.tree.list(".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		o, known := s.owner[entry.Name()]
		switch {
		case entry.Name() == identityFile:
		case !entry.IsDir():
			s.foreign(".", "not in the directory of a device", entry)
		case !known:
			err = s.unknown(entry.Name(), "no device ever had this directory")
		case o.shard != s.Shard && !o.moved:
			err = s.unknown(entry.Name(), fmt.Sprintf("device %d is in shard %d", o.device, o.shard))
		case o.shard != s.Shard && o.removed.IsZero():
			err = s.departed(entry, o)
		case o.removed.IsZero():
			err = s.device(ctx, entry.Name(), o)
		default:
			err = s.removed(entry.Name(), o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unknown is a directory of which nothing is known.
func (s *search) unknown(directory, why string) error {
	entries, err := s.tree.list(directory)
	for _, entry := range entries {
		s.foreign(directory, why, entry)
	}
	if err == nil && len(entries) == 0 {
		s.foreign(directory, why, nil)
	}
	return err
}

// device looks at the directory of a device that is there.
func (s *search) device(ctx context.Context, directory string, o owner) error {
	ports, err := s.Ports(ctx, o.device)
	if err != nil {
		return err
	}
	generations := make(map[int64]int, len(ports))
	for _, port := range ports {
		generations[port.ID] = port.Generation
	}
	return s.each(directory, func(entry fs.DirEntry, kind measurement.Kind, instance int64, generation int) {
		newest, owned := o.generation, true
		if kind == measurement.KindPort {
			newest, owned = generations[instance]
		}
		switch {
		case !owned && s.Unwanted:
			s.found.Owned++
		case !owned && instance > s.LastPort: // of a database that was restored from a backup
			s.foreign(directory, "a port with a higher id than the inventory knows", entry)
		case !owned:
			s.orphan(directory, OrphanPort, fmt.Sprintf("device %d has no port %d", o.device, instance), entry)
		case generation > newest:
			s.foreign(directory, "a later generation than the inventory knows", entry)
		default:
			s.found.Owned++
		}
	})
}

// removed looks at the directory of a device that was removed.
func (s *search) removed(directory string, o owner) error {
	if !o.removed.Before(s.settled) || s.Unwanted && !o.unwanted {
		return s.each(directory, func(fs.DirEntry, measurement.Kind, int64, int) { s.found.Owned++ })
	}
	why := fmt.Sprintf("device %d was removed at %s", o.device, o.removed.UTC().Format(time.RFC3339))
	if o.unwanted {
		why += ", with its history"
	}
	entries, err := s.tree.list(directory)
	if err == nil && len(entries) == 0 {
		s.add(Orphan{File: directory + "/", Kind: OrphanRemoved, Why: why, Changed: o.removed})
	}
	if err != nil {
		return err
	}
	return s.each(directory, func(entry fs.DirEntry, _ measurement.Kind, _ int64, _ int) {
		s.orphan(directory, OrphanRemoved, why, entry)
	})
}

// each hands over the files of a directory that have a name of ours; all else is foreign.
func (s *search) each(directory string, use func(entry fs.DirEntry, kind measurement.Kind, instance int64, generation int)) error {
	entries, err := s.tree.list(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		kind, instance, generation, ours := measurement.ParseName(entry.Name())
		if !ours || !entry.Type().IsRegular() {
			s.foreign(directory, "not a file of Pollux", entry)
			continue
		}
		use(entry, kind, instance, generation)
	}
	return nil
}

// orphan takes a file that nothing owns, unless somebody still writes it.
func (s *search) orphan(directory string, kind OrphanKind, why string, entry fs.DirEntry) {
	info, err := entry.Info()
	if err != nil {
		return // it has just gone
	}
	if s.now.Sub(info.ModTime()) < s.Older {
		s.found.Young++
		return
	}
	s.add(Orphan{File: directory + "/" + entry.Name(), Kind: kind, Why: why, Bytes: info.Size(), Changed: info.ModTime()})
}

func (s *search) add(o Orphan) {
	if len(s.found.Files) == maxOrphans {
		s.found.More++
		return
	}
	s.found.Files = append(s.found.Files, o)
}

// foreign counts something that is left alone; no entry is an empty directory.
func (s *search) foreign(directory, why string, entry fs.DirEntry) {
	key := directory + "/" + why
	at, known := s.foreignAt[key]
	if !known {
		if at = len(s.found.Foreign); at == maxForeign {
			s.found.MoreForeign++
			return
		}
		s.foreignAt[key] = at
		s.found.Foreign = append(s.found.Foreign, Foreign{Directory: directory, Why: why})
	}
	if entry == nil {
		return
	}
	f := &s.found.Foreign[at]
	f.Files++
	if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
		f.Bytes += info.Size()
	}
}
