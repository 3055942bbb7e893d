package rrd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"pollux/rrdcached"
)

// writeUnderWay is what RRDCached may take for a file that it is just writing.
const writeUnderWay = 100 * time.Millisecond

// copiedFile is what a file held when it was copied.
type copiedFile struct {
	sum  [sha256.Size]byte
	last time.Time // update
}

// copy copies all RRD files of a device to all trees of its new shard. The
// source is the first tree of the old one; a file that only another one has ends
// the move. When it returns the copies survive a crash of the machine.
func (m *Mover) copy(ctx context.Context, move Move, limit time.Duration) (copied map[string]copiedFile, err error) {
	copied = map[string]copiedFile{}
	source := m.sites[move.From][0]
	for n, s := range m.sites[move.From] {
		if err := m.recorded(ctx, move.From, s, limit); err != nil {
			return copied, err
		}
		names, err := s.files(move.Device.RRDDir)
		if err != nil {
			return copied, err
		}
		for _, name := range names {
			if _, there := copied[name]; !there && n > 0 {
				return copied, fmt.Errorf("%w: %s has %s and %s does not; see: pollux rrd verify", ErrLacking, s.address, name, source.address)
			}
			if n > 0 {
				continue
			}
			if copied[name], err = m.copyFile(ctx, source, name, m.sites[move.To]); err != nil {
				return copied, err
			}
		}
	}
	if len(copied) == 0 {
		return copied, nil
	}
	if err := m.copyAgain(ctx, source, copied, m.sites[move.To]); err != nil {
		return copied, err
	}
	for _, to := range m.sites[move.To] {
		if err := to.sync(move.Device.RRDDir); err != nil {
			return copied, fmt.Errorf("copy %s to %s: %w", move.Device.RRDDir, to.name, err)
		}
	}
	return copied, nil
}

// copyAgain looks a moment later at the files that were copied, and copies those anew that were just being written.
func (m *Mover) copyAgain(ctx context.Context, source *site, copied map[string]copiedFile, sites []*site) error {
	if err := pause(ctx, writeUnderWay); err != nil {
		return err
	}
	for name, before := range copied {
		changed, err := source.changed(name, before.last)
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		if !changed {
			continue
		}
		if copied[name], err = m.copyFile(ctx, source, name, sites); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies one file to some trees.
func (m *Mover) copyFile(ctx context.Context, source *site, name string, sites []*site) (copied copiedFile, err error) {
	data, info, err := source.settled(ctx, name)
	if err != nil {
		return copied, fmt.Errorf("copy %s: %w", name, err)
	}
	h, err := parseHeader(data)
	if err != nil {
		return copied, fmt.Errorf("copy %s: %w", name, err)
	}
	for _, to := range sites {
		if err := to.client.Forget(ctx, name); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
			return copied, fmt.Errorf("RRDCached at %s: %w", to.address, err)
		}
		if err := to.write(name, data, info); err != nil {
			return copied, fmt.Errorf("copy %s to %s: %w", name, to.name, err)
		}
	}
	return copiedFile{sha256.Sum256(data), h.lastUpdate}, nil
}

// files are the RRD files in the directory of a device, none when it has no directory.
func (t *tree) files(dir string) ([]string, error) {
	entries, err := t.list(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(entries) > maxDirectory {
		return nil, fmt.Errorf("%s holds more than %d files", dir, maxDirectory)
	}
	var names []string
	for _, entry := range entries {
		name := dir + "/" + entry.Name()
		if entry.Type().IsRegular() && rrdFile(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// rrdFile says whether RRDCached can be asked for a file of that name.
func rrdFile(name string) bool {
	return len(name) > 4 && name[len(name)-4:] == ".rrd" && rrdcached.CheckFile(name) == nil
}

// clear removes the files of a device that has left a shard from the trees
// there: from the source what was copied, and from the others what is the same there. The source comes last, since the others are compared with it.
func (m *Mover) clear(ctx context.Context, gone departure) (left []error) {
	sites := m.sites[gone.move.From]
	for n := len(sites) - 1; n >= 0; n-- {
		s := sites[n]
		names, err := s.files(gone.move.Device.RRDDir)
		if err != nil {
			left = append(left, err)
		}
		for _, name := range names {
			same, err := s.isCopied(ctx, name, gone, sites[0])
			if err != nil {
				err = fmt.Errorf("%s in %s stays: %w", name, s.name, err)
			} else if !same {
				err = fmt.Errorf("%s in %s is not what was copied, and stays", name, s.name)
			}
			if err == nil {
				err = s.drop(ctx, name)
			}
			if err != nil {
				left = append(left, err)
			}
		}
		_ = s.root.Remove(gone.move.Device.RRDDir) // it stays when something is in it
	}
	return left
}

// isCopied says whether a file is the one that was copied, or holds the same as that one
// of the source. What RRDCached still holds of it, or is just writing, must be on disk first:
// else a file would seem to lack what is on its way. One that never has it differs.
func (s *site) isCopied(ctx context.Context, name string, gone departure, source *site) (bool, error) {
	before, copied := gone.copied[name]
	if !copied {
		return false, nil
	}
	data, _, err := s.settled(ctx, name)
	if s == source {
		return err == nil && sha256.Sum256(data) == before.sum, err
	}
	if err != nil && !errors.Is(err, errBusy) {
		return false, err
	}
	found, err := (&pair{ends: [2]*daemon{source.daemon, s.daemon}}).compare(ctx, name)
	return err == nil && !found.absent && !found.moving && found.differs == nil && found.late < 0, err
}

// drop has RRDCached forget a file, and removes it.
func (s *site) drop(ctx context.Context, name string) error {
	if err := s.client.Forget(ctx, name); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
		return fmt.Errorf("RRDCached at %s: forget %s: %w", s.address, name, err)
	}
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s from %s: %w", name, s.name, err)
	}
	return nil
}
