package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/producer"
	"pollux/rrd"
)

func (p *program) rrdCopyCommand() *cobra.Command {
	var tree, from, to string
	command := &cobra.Command{
		Use: "copy", Short: "Write the files of an RRDCached as a tar stream for a new one", Args: words(0),
		Long: `Writes the files of a running RRDCached to standard output as a tar stream with
which a new one begins, and has the journal keep for the new one what comes from
then on. Run it where the files of the source can be read:

  pollux rrd copy --tree /var/lib/rrdcached/rrd --from a:42217 --to b:42217 |
    ssh b tar -x -C /var/lib/rrdcached/rrd

The new RRDCached runs, with an empty tree, and no node has it in RRDCACHED yet.
When the stream is unpacked, add it to RRDCACHED on every node, and restart them.`,
		RunE: do(func(command *cobra.Command, _ []string) error { return p.rrdCopy(command.Context(), tree, from, to) }),
	}
	command.Flags().StringVar(&tree, "tree", "", "base directory of the source, readable here")
	command.Flags().StringVar(&from, "from", "", "address of the source")
	command.Flags().StringVar(&to, "to", "", "address of the new RRDCached")
	return command
}

func (p *program) rrdCopy(ctx context.Context, tree, from, to string) error {
	if tree == "" || from == "" || to == "" {
		return usagef("--tree, --from and --to are needed")
	}
	if err := checkAddresses(from, to); err != nil {
		return err
	}
	if isTerminal(p.out) {
		return usagef("the output is a tar stream and no text for a terminal; pipe it to: tar -x -C DIRECTORY")
	}
	return p.withDesk(ctx, func(n *node, _ *producer.Desk) error {
		shard, err := n.rrdShard(from)
		if err != nil {
			return err
		}
		copied, err := rrd.Copy(ctx, rrd.CopyConfig{
			Journal: shard.journal, ClusterID: n.cluster, Tree: tree, From: from, To: to,
			NewLease: func(key string) journal.Lease { return cluster.NewLease(n.journalRedis, key, "rrd-copy", recorderTTL) },
			Progress: sometimes(func(c rrd.Copied) { p.note("%d files copied, %s", c.Files, mebibytes(c.Bytes)) }),
		}, untilDone{ctx, p.out})
		if err != nil {
			return copyAdvice(ctx, err, to)
		}
		p.note("%d files copied, %s, %d skipped that are no RRD files; when they are unpacked, add %s to RRDCACHED on every node and restart them",
			copied.Files, mebibytes(copied.Bytes), copied.Skipped, to)
		return n.store.AddEvent(ctx, device.Event{
			Type: "journal", Severity: device.SeverityNotice, Actor: actor(),
			Message: fmt.Sprintf("RRDCached target %s seeded with %d files of target %s", copied.To, copied.Files, copied.From),
		})
	})
}

// copyAdvice says what is left of a copy that failed, and what to do.
func copyAdvice(ctx context.Context, err error, to string) error {
	switch {
	case errors.Is(err, rrd.ErrLeft):
		// In words only: the exit code is not that of a list whose reader has gone.
		return fmt.Errorf("%s; what the journal keeps for %s goes by: pollux journal forget TARGET, see: pollux journal status", err.Error(), to)
	case errors.Is(err, errReaderGone):
		return fmt.Errorf("the copy is not complete: whoever reads the stream has ended; nothing is kept for %s: empty its tree, restart it, and copy again", to)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return fmt.Errorf("the copy is not complete: %w; nothing is kept for %s: empty its tree, restart it, and copy again", errInterrupted, to)
	default:
		return rrdAdvice(err)
	}
}
