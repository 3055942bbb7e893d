package rrd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/rrdcached"
)

// A device moves to another shard while it is polled: its entries wait for a
// moment, its files are copied, and from then on its entries go into the other
// shard's log. Nothing is recorded twice or lost, whenever it is interrupted.

const (
	// A device's entries wait for 2/5 of its interval at most, so that the poll
	// that runs can still append in its slot.
	holdTenths = 4
	holdLeast  = 4 * time.Second
	holdMost   = 30 * time.Second
	// catchUpLimit is how long a recorder that lags is waited for before a device is held.
	catchUpLimit = time.Minute
	// maxDirectory bounds the files of one device.
	maxDirectory = 100_000
)

// Move is a device that belongs to another shard than it is in.
type Move struct {
	Device   device.Device
	From, To int
}

// Plan is which of the devices are to move so that each is in the shard that its
// directory has the highest weight for, see device.ShardOf.
func Plan(devices []device.Device, shards []int) []Move {
	var moves []Move
	for _, d := range devices {
		if to := device.ShardOf(d.RRDDir, shards); to != d.Shard {
			moves = append(moves, Move{Device: d, From: d.Shard, To: to})
		}
	}
	return moves
}

// Place is an RRDCached and the base directory of its tree on this machine.
type Place struct {
	Address string
	Dir     string
}

// MoverConfig says between which trees devices move.
type MoverConfig struct {
	ClusterID string
	Places    map[int][]Place // all targets of each shard that devices leave or come to
	Window    time.Duration   // how long RRDCached may hold an update, and a minute more
}

// MoverDeps are what a Mover works with.
type MoverDeps struct {
	Shards *journal.Shards
	Note   func(ctx context.Context, deviceID int64, from, to int) error // writes the shard into the inventory
}

// Mover moves devices between shards.
type Mover struct {
	config MoverConfig
	deps   MoverDeps
	sites  map[int][]*site
}

// site is a place that is open.
type site struct {
	*daemon
	*tree
}

// NewMover connects to all places and sees that each directory is the tree of
// its RRDCached. Errors: ErrNotTree, ErrSameTarget, and those of package rrdcached.
func NewMover(ctx context.Context, c MoverConfig, d MoverDeps) (*Mover, error) {
	m := &Mover{config: c, deps: d, sites: map[int][]*site{}}
	seen := map[string]string{}
	for shard, places := range c.Places {
		for _, place := range places {
			s, err := openSite(ctx, place, c.ClusterID)
			if err != nil {
				m.Close()
				return nil, err
			}
			m.sites[shard] = append(m.sites[shard], s)
			if other, twice := seen[s.daemon.target]; twice {
				m.Close()
				return nil, fmt.Errorf("%w: %s and %s", ErrSameTarget, other, place.Address)
			}
			seen[s.daemon.target] = place.Address
		}
	}
	return m, nil
}

func openSite(ctx context.Context, place Place, clusterID string) (*site, error) {
	e, err := dial(ctx, place.Address, clusterID)
	if err != nil {
		return nil, err
	}
	t, err := openTree(place.Dir, clusterID)
	if err == nil && t.target != e.target {
		t.close()
		err = fmt.Errorf("%w: %s is not the directory of %s", ErrNotTree, place.Dir, place.Address)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return &site{daemon: e, tree: t}, nil
}

// Close ends the connections.
func (m *Mover) Close() {
	for _, sites := range m.sites {
		for _, s := range sites {
			s.daemon.close()
			s.tree.close()
		}
	}
}

// Moved is what a move did.
type Moved struct {
	Files int           // that were copied
	Held  time.Duration // for how long the device's entries waited
	Left  []error       // files of the old shard that are still there, and do no harm
}

// Move moves one device with its history. It may be repeated after any error.
// An error leaves the device where it is, unless the inventory could not be
// written: then its polls go to the new shard all the same, and the next run notes it.
func (m *Mover) Move(ctx context.Context, move Move) (Moved, error) {
	moved, err := m.move(ctx, move)
	if err != nil {
		return moved, fmt.Errorf("move %s from shard %d to %d: %w", move.Device.Hostname, move.From, move.To, err)
	}
	return moved, nil
}

func (m *Mover) move(ctx context.Context, move Move) (moved Moved, err error) {
	if len(m.sites[move.From]) == 0 || len(m.sites[move.To]) == 0 {
		return moved, fmt.Errorf("the trees of shard %d and %d must be known", move.From, move.To)
	}
	source := m.sites[move.From][0]
	if err := m.recorded(ctx, move.From, source, catchUpLimit); err != nil {
		return moved, err
	}
	limit := min(max(time.Duration(move.Device.Interval)*time.Second*holdTenths/10, holdLeast), holdMost)
	hold, home, err := m.deps.Shards.Hold(ctx, move.Device.ID, move.From, move.To, limit)
	if err != nil {
		return moved, err
	}
	if hold == nil { // an earlier run moved it and could not write that down
		if err := m.deps.Note(ctx, move.Device.ID, move.From, home); err != nil {
			return moved, err
		}
		moved.Left = m.clear(ctx, move)
		return moved, nil
	}
	held := time.Now()
	copying, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if moved.Files, err = m.copy(copying, move, source, limit); err == nil {
		err = m.deps.Shards.Commit(copying, hold, m.config.Window)
	}
	moved.Held = time.Since(held)
	if err != nil {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return moved, errors.Join(err, m.deps.Shards.Release(release, hold))
	}
	after := context.WithoutCancel(ctx)
	if err := m.deps.Note(after, move.Device.ID, move.From, move.To); err != nil {
		return moved, err
	}
	moved.Left = m.clear(after, move)
	return moved, nil
}

// recorded waits until a target has acknowledged all that its log holds now.
func (m *Mover) recorded(ctx context.Context, shard int, s *site, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	log := m.deps.Shards.Shard(shard)
	goal, err := log.End(ctx)
	if err != nil {
		return err
	}
	for {
		done, err := log.Recorded(ctx, s.daemon.target, goal)
		if err != nil || done {
			return err
		}
		if pause(ctx, settlePause) != nil {
			return fmt.Errorf("the recorder of %s lags; is a consumer running?", s.address)
		}
	}
}

// copy copies all RRD files of a device to all trees of its new shard.
func (m *Mover) copy(ctx context.Context, move Move, source *site, limit time.Duration) (files int, err error) {
	if err := m.recorded(ctx, move.From, source, limit); err != nil {
		return 0, err
	}
	names, err := source.tree.files(move.Device.RRDDir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		data, info, err := source.settled(ctx, name)
		if err != nil {
			return files, fmt.Errorf("copy %s: %w", name, err)
		}
		for _, to := range m.sites[move.To] {
			if err := to.daemon.client.Forget(ctx, name); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
				return files, fmt.Errorf("RRDCached at %s: %w", to.address, err)
			}
			if err := to.tree.write(name, data, info); err != nil {
				return files, fmt.Errorf("copy %s to %s: %w", name, to.tree.name, err)
			}
		}
		files++
	}
	return files, nil
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

// clear removes the files of a device that has left a shard from the trees there. What it cannot remove is harmless.
func (m *Mover) clear(ctx context.Context, move Move) (left []error) {
	for _, s := range m.sites[move.From] {
		names, err := s.tree.files(move.Device.RRDDir)
		if err != nil {
			left = append(left, err)
		}
		for _, name := range names {
			if err := s.drop(ctx, name); err != nil {
				left = append(left, err)
			}
		}
		_ = s.tree.root.Remove(move.Device.RRDDir) // it stays when something is in it
	}
	return left
}

// drop has RRDCached forget a file, and removes it.
func (s *site) drop(ctx context.Context, name string) error {
	if err := s.daemon.client.Forget(ctx, name); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
		return fmt.Errorf("RRDCached at %s: forget %s: %w", s.address, name, err)
	}
	if err := s.tree.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s from %s: %w", name, s.tree.name, err)
	}
	return nil
}
