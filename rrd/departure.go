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

// copy copies all RRD files of a device to all trees of its new shard. The
// source is the first tree of the old one; a file that only another one has ends the move.
func (m *Mover) copy(ctx context.Context, move Move, limit time.Duration) (copied map[string][sha256.Size]byte, err error) {
	copied = map[string][sha256.Size]byte{}
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
	return copied, nil
}

// copyFile copies one file to some trees, and returns the sum of what it held.
func (m *Mover) copyFile(ctx context.Context, source *site, name string, sites []*site) (sum [sha256.Size]byte, err error) {
	data, info, err := source.settled(ctx, name)
	if err != nil {
		return sum, fmt.Errorf("copy %s: %w", name, err)
	}
	for _, to := range sites {
		if err := to.client.Forget(ctx, name); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
			return sum, fmt.Errorf("RRDCached at %s: %w", to.address, err)
		}
		if err := to.write(name, data, info); err != nil {
			return sum, fmt.Errorf("copy %s to %s: %w", name, to.name, err)
		}
	}
	return sha256.Sum256(data), nil
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
			if err == nil && !same {
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

// isCopied says whether a file is the one that was copied, or holds the same as that one of the source.
func (s *site) isCopied(ctx context.Context, name string, gone departure, source *site) (bool, error) {
	sum, copied := gone.copied[name]
	if !copied {
		return false, nil
	}
	if s == source {
		data, _, err := s.settled(ctx, name)
		return err == nil && sha256.Sum256(data) == sum, err
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
