package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/device"
	"pollux/producer"
	"pollux/rrd"
	"pollux/settings"
	"pollux/store"
)

const (
	// moveFailures is after how many devices that could not be moved the rest is left.
	moveFailures = 10
	// settleEvery is after how many devices the old files of those that moved are removed.
	settleEvery = 50
	// moverTTL is longer than a device and a settlement take.
	moverTTL = 10 * time.Minute
)

type rebalanceFlags struct {
	dryRun, yes bool
	without     []int
	limit       int
	trees       []string
}

func (p *program) rrdRebalanceCommand() *cobra.Command {
	var flags rebalanceFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "rebalance", Short: "Move devices with their RRD files to the shards they belong to", Args: words(0),
		Long: `Moves devices to the shards that the setting rrd.shards gives them now, after a
shard was added, or to the others with --without NUMBER, before a shard is taken
out. --dry-run shows what would move.

It is run where the trees of all RRDCached of these shards can be written: for
each of them --tree ADDRESS=DIRECTORY says where, such as a directory that the
other machine exports. Polling goes on. A device's measurements wait in its
poller while its files are copied. It may be interrupted and run again.`,
		Example: `  pollux rrd rebalance --dry-run
  pollux rrd rebalance --tree rrd1:42217=/var/lib/rrdcached/db --tree rrd2:42217=/mnt/rrd2`,
		RunE: do(func(command *cobra.Command, _ []string) error { return p.rebalance(command.Context(), flags) }),
	})
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only show what would move")
	command.Flags().BoolVar(&flags.yes, "yes", false, "do not ask")
	command.Flags().IntSliceVar(&flags.without, "without", nil, "leave this shard, which is to be taken out of rrd.shards")
	command.Flags().IntVar(&flags.limit, "limit", 0, "move at most so many devices; 0 means all")
	command.Flags().StringArrayVar(&flags.trees, "tree", nil, "ADDRESS=DIRECTORY of an RRDCached, once for each")
	return command
}

func (p *program) rebalance(ctx context.Context, flags rebalanceFlags) error {
	if flags.limit < 0 {
		return usagef("--limit is a number of devices, not %d", flags.limit)
	}
	trees, err := parseTrees(flags.trees)
	if err != nil {
		return err
	}
	return p.withDesk(ctx, func(n *node, _ *producer.Desk) error {
		shards, err := n.shardsWithout(flags.without)
		if err != nil {
			return err
		}
		moves, err := n.plannedMoves(ctx, shards)
		if err != nil {
			return err
		}
		if flags.limit > 0 {
			moves = moves[:min(len(moves), flags.limit)]
		}
		if flags.dryRun || len(moves) == 0 {
			return p.printMoves(moves)
		}
		places, err := n.places(moves, trees)
		if err != nil {
			return err
		}
		if err := p.confirm(flags.yes, fmt.Sprintf("%d devices go to another shard", len(moves)), "move them"); err != nil {
			return err
		}
		return p.move(ctx, n, moves, places)
	})
}

// parseTrees reads ADDRESS=DIRECTORY.
func parseTrees(list []string) (map[string]string, error) {
	trees := map[string]string{}
	for _, text := range list {
		i := strings.LastIndex(text, "=")
		if i < 1 || i == len(text)-1 {
			return nil, usagef("--tree is ADDRESS=DIRECTORY, not %.80q", text)
		}
		address, dir := text[:i], text[i+1:]
		if trees[address] != "" {
			return nil, usagef("--tree names %.80q twice", address)
		}
		trees[address] = dir
	}
	return trees, nil
}

// shardsWithout are the shards in force but some.
func (n *node) shardsWithout(without []int) ([]int, error) {
	shards := store.ShardNumbers(n.settings.Values().Shards())
	for _, number := range without {
		if !slices.Contains(shards, number) {
			return nil, usagef("there is no shard %d; see: pollux config get %s", number, settings.KeyRRDShards)
		}
	}
	shards = slices.DeleteFunc(shards, func(number int) bool { return slices.Contains(without, number) })
	if len(shards) == 0 {
		return nil, usagef("no shard is left")
	}
	return shards, nil
}

// plannedMoves are the devices in the wrong shard, and those that an earlier run moved without writing it down.
func (n *node) plannedMoves(ctx context.Context, shards []int) (moves []rrd.Move, err error) {
	homes, err := n.shards.Homes(ctx)
	if err != nil {
		return nil, err
	}
	for d, err := range eachDevice(ctx, n.store) {
		if err != nil {
			return nil, err
		}
		if home, moved := homes[d.ID]; moved && home != d.Shard {
			moves = append(moves, rrd.Move{Device: d, From: d.Shard, To: home})
			continue
		}
		moves = append(moves, rrd.Plan([]device.Device{d}, shards)...)
	}
	return moves, nil
}

type moveJSON struct {
	DeviceID int64  `json:"device_id"`
	Hostname string `json:"hostname"`
	From     int    `json:"from"`
	To       int    `json:"to"`
}

func (p *program) printMoves(moves []rrd.Move) error {
	shown := make([]moveJSON, 0, len(moves))
	rows := make([][]string, 0, len(moves))
	for _, m := range moves {
		shown = append(shown, moveJSON{m.Device.ID, m.Device.Hostname, m.From, m.To})
		rows = append(rows, []string{plain(m.Device.Hostname), fmt.Sprint(m.From), fmt.Sprint(m.To)})
	}
	if p.asJSON {
		return p.printJSON(items[moveJSON]{Items: shown})
	}
	if len(moves) == 0 {
		fmt.Fprintln(p.out, "every device is in its shard")
		return nil
	}
	return p.printTable([]string{"HOST", "FROM", "TO"}, rows)
}

// places are the trees of the shards that devices leave or come to.
func (n *node) places(moves []rrd.Move, trees map[string]string) (map[int][]rrd.Place, error) {
	needed := map[int]bool{}
	for _, m := range moves {
		needed[m.From], needed[m.To] = true, true
	}
	places := map[int][]rrd.Place{}
	var lacking []string
	for _, post := range n.posts() {
		dir, given := trees[post.Target]
		delete(trees, post.Target)
		switch {
		case !needed[post.Shard]:
		case !given:
			lacking = append(lacking, "--tree "+post.Target+"=DIRECTORY")
		default:
			places[post.Shard] = append(places[post.Shard], rrd.Place{Address: post.Target, Dir: dir})
		}
	}
	for address := range trees {
		return nil, usagef("--tree names %.80q, which is neither in RRDCACHED nor in %s", address, settings.KeyRRDShards)
	}
	if len(lacking) > 0 {
		return nil, usagef("say where the trees are: %s", strings.Join(lacking, " "))
	}
	for shard := range needed {
		if len(places[shard]) == 0 {
			return nil, usagef("shard %d has no RRDCached: it is neither that of RRDCACHED nor in %s", shard, settings.KeyRRDShards)
		}
	}
	return places, nil
}

// move moves one device after the other.
func (p *program) move(ctx context.Context, n *node, moves []rrd.Move, places map[int][]rrd.Place) error {
	mover, err := rrd.NewMover(ctx, rrd.MoverConfig{
		ClusterID: n.cluster, Places: places,
		Window: n.settings.Values().Seconds(settings.KeyRRDFlushWindow) + time.Minute,
	}, rrd.MoverDeps{Shards: n.shards, Note: n.store.MoveDevice})
	if err != nil {
		return rrdAdvice(err)
	}
	defer mover.Close()
	lease := n.moverLease(moverTTL)
	done, failed := 0, 0
	var longest time.Duration
	for i, move := range moves {
		if ctx.Err() != nil || failed == moveFailures {
			break
		}
		if err := n.mayMove(ctx, lease, move); err != nil {
			p.note("%s", plain(err.Error()))
			break
		}
		moved, err := mover.Move(ctx, move)
		if err != nil {
			failed++
			p.note("%s", plain(err.Error()))
			continue
		}
		done++
		longest = max(longest, moved.Held)
		fmt.Fprintf(p.out, "%s: shard %d -> %d, %d files\n", plain(move.Device.Hostname), move.From, move.To, moved.Files)
		if (i+1)%settleEvery == 0 {
			p.noteLeft(mover.Settle(ctx))
		}
	}
	p.noteLeft(mover.Settle(ctx))
	if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
		p.note("%s", plain(err.Error()))
	}
	fmt.Fprintf(p.out, "%d of %d devices moved; the measurements of one waited for %v at most\n", done, len(moves), longest.Round(time.Millisecond))
	err = n.store.AddEvent(context.WithoutCancel(ctx), device.Event{
		Type: "journal", Severity: device.SeverityNotice, Message: fmt.Sprintf("%d devices moved to other shards", done), Actor: actor(),
	})
	switch {
	case ctx.Err() != nil:
		return errors.Join(fmt.Errorf("%w: %d devices were not moved; run it again", errInterrupted, len(moves)-done), err)
	case done < len(moves):
		return errors.Join(fmt.Errorf("%d devices were not moved; run it again", len(moves)-done), err)
	}
	return err
}

// mayMove says whether a device may be moved now: nobody else moves devices, and its new shard is still in force.
func (n *node) mayMove(ctx context.Context, lease *cluster.Lease, move rrd.Move) error {
	held, err := lease.TryAcquire(ctx)
	if err == nil && !held {
		err = fmt.Errorf("%w by somebody else, or %s is being changed", errMoving, settings.KeyRRDShards)
	}
	if err == nil {
		err = n.settings.Refresh(ctx)
	}
	if err == nil && !slices.Contains(store.ShardNumbers(n.settings.Values().Shards()), move.To) {
		err = fmt.Errorf("shard %d is not in %s any more", move.To, settings.KeyRRDShards)
	}
	return err
}

// noteLeft tells which files could not be removed from their old shard.
func (p *program) noteLeft(left []error) {
	for _, err := range left {
		p.note("%s", plain(err.Error()))
	}
}
