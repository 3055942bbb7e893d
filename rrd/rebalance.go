package rrd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pollux/device"
	"pollux/journal"
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
	// settleMoves is how long after a move its old files stay at least, see Settle.
	settleMoves = 3 * time.Second
	// askAgain is how long Redis is asked whether a commit was carried out whose answer was lost.
	askAgain = 5 * time.Second
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
	moved  []departure // whose old files are still there
}

// departure is a device that was moved, and what its files held then.
type departure struct {
	move   Move
	hold   *journal.Hold
	copied map[string]copiedFile // by name
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
	if err := m.complete(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// complete refuses shards that are recorded elsewhere too: those trees would get no history, or keep theirs.
func (m *Mover) complete(ctx context.Context) error {
	for shard, sites := range m.sites {
		status, err := m.deps.Shards.Shard(shard).Status(ctx)
		if err != nil {
			return err
		}
		for _, target := range status.Targets {
			if !slices.ContainsFunc(sites, func(s *site) bool { return s.daemon.target == target.ID }) {
				return fmt.Errorf("shard %d: %w: target %s; name its tree too, or, if no node feeds it any more: pollux journal forget %s", shard, ErrLacking, target.ID, target.ID)
			}
		}
	}
	return nil
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
}

// Move moves one device with its history. Its old files stay until Settle. It may be repeated after any error.
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
	for _, s := range m.sites[move.From] {
		if err := m.recorded(ctx, move.From, s, catchUpLimit); err != nil {
			return moved, err
		}
	}
	limit := min(max(time.Duration(move.Device.Interval)*time.Second*holdTenths/10, holdLeast), holdMost)
	hold, home, err := m.deps.Shards.Hold(ctx, move.Device.ID, move.From, move.To, limit)
	if err != nil {
		return moved, err
	}
	if hold == nil { // an earlier run moved it and could not write that down; its old files stay
		return moved, m.deps.Note(ctx, move.Device.ID, move.From, home)
	}
	held := time.Now()
	copying, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	gone := departure{move: move, hold: hold}
	if gone.copied, err = m.copy(copying, move, limit); err == nil {
		err = m.commit(ctx, hold, held.Add(limit))
	}
	moved.Held, moved.Files = time.Since(held), len(gone.copied)
	if err != nil {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return moved, errors.Join(err, m.deps.Shards.Release(release, hold))
	}
	m.moved = append(m.moved, gone)
	return moved, m.deps.Note(context.WithoutCancel(ctx), move.Device.ID, move.From, move.To)
}

// commit moves a device for good. Nobody interrupts it, and only a device that the journal
// has where it was is not moved: after a commit of which nothing is known, its old files would stay for ever.
func (m *Mover) commit(ctx context.Context, hold *journal.Hold, until time.Time) error {
	ctx = context.WithoutCancel(ctx)
	committing, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	err := m.deps.Shards.Commit(committing, hold, m.config.Window)
	if err == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, askAgain)
	defer cancel()
	homes, askErr := m.deps.Shards.Homes(asking)
	if home, moved := homes[hold.DeviceID]; askErr == nil && moved && home == hold.To {
		return nil // only the answer was lost
	}
	return err
}

// Settle ends the moves so far: when a Redis that took over meanwhile would have
// been seen, it makes sure that they stand, and removes the files that were copied
// from all trees of the old shards. A file that is not the same as the one that was
// copied stays, and is in left; it does no harm. It is to be called every few devices, and at the end.
func (m *Mover) Settle(ctx context.Context) (left []error) {
	ctx = context.WithoutCancel(ctx) // what was moved must not be left half
	if len(m.moved) > 0 {
		_ = pause(ctx, settleMoves)
	}
	for _, gone := range m.moved {
		if err := m.deps.Shards.Confirm(ctx, gone.hold, m.config.Window); err != nil {
			left = append(left, err)
			continue
		}
		left = append(left, m.clear(ctx, gone)...)
	}
	m.moved = nil
	return left
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
