package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/journal"
	"pollux/producer"
	"pollux/settings"
	"pollux/store"
)

func (p *program) journalForgetCommand() *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use: "forget TARGET", Short: "Stop keeping measurements for an RRDCached that is gone for good", Args: words(1),
		Long: `Drops the cursor of an RRDCached that was taken out of RRDCACHED on every
node. As long as it stands the journal keeps for it all that is measured, up to
its limit. TARGET is the id that "pollux journal status" shows. With the last one
of a shard that was taken out of rrd.shards goes its log.`,
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withDesk(command.Context(), func(n *node, _ *producer.Desk) error {
				target := strings.ToLower(args[0])
				if err := n.mayForget(command.Context(), target); err != nil {
					return forgetAdvice(err)
				}
				if err := p.confirm(yes, "what was not yet sent to target "+target+" will never be", "forget it"); err != nil {
					return err
				}
				if err := n.shards.ForgetTarget(command.Context(), target, store.ShardNumbers(n.settings.Values().Shards())); err != nil {
					return forgetAdvice(err)
				}
				fmt.Fprintf(p.out, "target %s is forgotten\n", target)
				return n.store.AddEvent(command.Context(), device.Event{
					Type: "journal", Severity: device.SeverityNotice, Message: "RRDCached target " + target + " forgotten", Actor: actor(),
				})
			})
		}),
	}
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}

// errInForce says that RRDCACHED or rrd.shards still lead to a target, or may.
var errInForce = errors.New("RRDCACHED or " + settings.KeyRRDShards + " still name it")

// mayForget asks the RRDCached of a target's shard. A lease says only who records now: a recorder whose
// RRDCached hangs has none, and goes on when that is back, with nothing that was to be sent left.
func (n *node) mayForget(ctx context.Context, target string) error {
	shard, err := n.shards.ShardOf(ctx, target, store.ShardNumbers(n.settings.Values().Shards()))
	if err != nil {
		return err
	}
	for _, address := range n.addresses(shard) {
		switch id, err := n.identify(ctx, address); {
		case errors.Is(err, journal.ErrOtherCluster):
		case err != nil:
			return fmt.Errorf("%w: RRDCached at %s may be target %s, and cannot be asked: %w", errInForce, address, target, err)
		case id == target:
			return fmt.Errorf("%w: RRDCached at %s is target %s", errInForce, address, target)
		}
	}
	return nil
}

// forgetAdvice adds what to do to an error of ForgetTarget.
func forgetAdvice(err error) error {
	switch {
	case errors.Is(err, journal.ErrNoTarget):
		return fmt.Errorf("%w; see: pollux journal status", err)
	case errors.Is(err, errInForce):
		return fmt.Errorf("%w; take it out on every node and restart them first; one that is to stay must answer again", err)
	case errors.Is(err, journal.ErrTargetBusy):
		return fmt.Errorf("%w; take it out of RRDCACHED on every node and restart them first", err)
	default:
		return err
	}
}
