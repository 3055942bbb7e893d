package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/producer"
	"pollux/rrd"
	"pollux/settings"
)

// orphansFlags say what is looked for.
type orphansFlags struct {
	tree, older        string
	onlyDeleted        bool
	remove, moved, yes bool
}

func (p *program) rrdOrphansCommand() *cobra.Command {
	var flags orphansFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "orphans", Short: "List the RRD files that no device owns, and remove them", Args: words(0),
		Long: `Lists what nothing owns in the tree of an RRDCached: files of devices that were
removed or moved to another shard, and of ports that a device does not have. Run
it where the files are. A move removes what it has copied; what it left may hold
what the copy lacks, so --delete removes that only with --moved. What Pollux did
not make is listed apart as foreign and is never removed.`,
		RunE: do(func(command *cobra.Command, _ []string) error { return p.rrdOrphans(command.Context(), flags) }),
	})
	command.Flags().StringVar(&flags.tree, "tree", "", "base directory of an RRDCached, readable here")
	command.Flags().StringVar(&flags.older, "older", "", "only files that were not changed for so long, such as 24h or 30d; at least twice the window")
	command.Flags().BoolVar(&flags.onlyDeleted, "only-deleted", false, "only files of devices that were removed with --delete-history")
	command.Flags().BoolVar(&flags.remove, "delete", false, "remove them")
	command.Flags().BoolVar(&flags.moved, "moved", false, "with --delete: remove files of devices that were moved to another shard too")
	command.Flags().BoolVar(&flags.yes, "yes", false, "do not ask")
	return command
}

// orphansJSON is what was found in JSON.
type orphansJSON struct {
	Target      string        `json:"target"`
	Owned       int           `json:"owned"`
	Young       int           `json:"young"`
	Items       []orphanJSON  `json:"items"`
	More        int           `json:"more"`
	Foreign     []foreignJSON `json:"foreign"`
	MoreForeign int           `json:"more_foreign"`
	Deleted     *deletedJSON  `json:"deleted"` // null without --delete
}

// orphanJSON is a file in JSON.
type orphanJSON struct {
	File    string  `json:"file"`
	Kind    string  `json:"kind"`
	Bytes   int64   `json:"bytes"`
	Changed *string `json:"changed"`
	Why     string  `json:"why"`
}

// foreignJSON is a directory in JSON.
type foreignJSON struct {
	Directory string `json:"directory"`
	Files     int    `json:"files"`
	Bytes     int64  `json:"bytes"`
	Why       string `json:"why"`
}

// deletedJSON is what was removed in JSON.
type deletedJSON struct {
	Files       int   `json:"files"`
	Directories int   `json:"directories"`
	Bytes       int64 `json:"bytes"`
	Left        int   `json:"left"`
}

func (p *program) rrdOrphans(ctx context.Context, flags orphansFlags) error {
	if flags.tree == "" {
		return usagef("--tree is needed: the base directory (-b) of an RRDCached")
	}
	if (flags.moved || flags.yes) && !flags.remove {
		return usagef("--moved and --yes go with --delete; without it nothing is removed")
	}
	var older time.Duration
	if flags.older != "" {
		var ok bool
		if older, ok = parseSpan(flags.older); !ok {
			return usagef("--older is a time such as 24h or 30d, up to %dd, not %.40q", maxSinceDays, flags.older)
		}
	}
	return p.withDesk(ctx, func(n *node, _ *producer.Desk) error {
		search, found, err := n.orphans(ctx, flags, older)
		if err != nil {
			return rrdAdvice(err)
		}
		shown := shownOrphans(found)
		if !p.asJSON {
			if err := p.printOrphans(shown); err != nil {
				return err
			}
		}
		if flags.remove {
			if !flags.moved {
				found.Files = slices.DeleteFunc(found.Files, func(o rrd.Orphan) bool { return o.Kind == rrd.OrphanMoved })
			}
			if shown.Deleted, err = p.removeOrphans(ctx, n, search, found, flags.yes); err != nil {
				return rrdAdvice(err)
			}
		}
		if p.asJSON {
			return p.printJSON(shown)
		}
		return nil
	})
}

// orphans searches the tree with what is known of its shard.
func (n *node) orphans(ctx context.Context, flags orphansFlags, older time.Duration) (search rrd.OrphansConfig, found rrd.Orphans, err error) {
	last, err := n.store.LastPort(ctx)
	if err != nil {
		return search, found, err
	}
	homes, err := n.shards.Homes(ctx)
	if err != nil {
		return search, found, err
	}
	for _, shard := range n.rrdShards() {
		search = rrd.OrphansConfig{
			Homes:   homes,
			Journal: shard.journal, Shard: shard.number, ClusterID: n.cluster, Tree: flags.tree, Addresses: shard.addresses,
			Window: n.settings.Values().Seconds(settings.KeyRRDFlushWindow) + time.Minute, Older: older, Unwanted: flags.onlyDeleted,
			Devices: eachDevice(ctx, n.store), Removed: eachRemoved(ctx, n.store), Ports: n.store.Ports, LastPort: last,
		}
		if found, err = rrd.FindOrphans(ctx, search); !errors.Is(err, rrd.ErrNotTree) {
			break // else it may be that of another shard
		}
	}
	return search, found, err
}

func shownOrphans(found rrd.Orphans) orphansJSON {
	shown := orphansJSON{
		Target: found.Target, Owned: found.Owned, Young: found.Young, More: found.More, MoreForeign: found.MoreForeign,
		Items: []orphanJSON{}, Foreign: []foreignJSON{},
	}
	for _, o := range found.Files {
		shown.Items = append(shown.Items, orphanJSON{plain(o.File), string(o.Kind), o.Bytes, rfc3339(o.Changed), o.Why})
	}
	for _, f := range found.Foreign {
		shown.Foreign = append(shown.Foreign, foreignJSON{plain(f.Directory), f.Files, f.Bytes, f.Why})
	}
	return shown
}

func (p *program) printOrphans(shown orphansJSON) error {
	if len(shown.Items) > 0 {
		var rows [][]string
		for _, o := range shown.Items {
			rows = append(rows, []string{o.File, strconv.FormatInt(o.Bytes, 10), orDefaultTime(o.Changed), o.Why})
		}
		if err := p.printTable([]string{"FILE", "BYTES", "CHANGED", "WHY"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(p.out)
	}
	if len(shown.Foreign) > 0 {
		var rows [][]string
		for _, f := range shown.Foreign {
			rows = append(rows, []string{f.Directory, strconv.Itoa(f.Files), strconv.FormatInt(f.Bytes, 10), f.Why})
		}
		if err := p.printTable([]string{"FOREIGN IN", "FILES", "BYTES", "WHY"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(p.out)
	}
	fmt.Fprintf(p.out, "%d orphans, %d files that something owns, %d without owner that were changed too lately\n",
		len(shown.Items)+shown.More, shown.Owned, shown.Young)
	moved := 0
	for _, o := range shown.Items {
		if o.Kind == string(rrd.OrphanMoved) {
			moved++
		}
	}
	if moved > 0 {
		fmt.Fprintf(p.out, "%d of the orphans are of devices that were moved to another shard, and may hold what is not there; --delete removes them only with --moved\n", moved)
	}
	return nil
}

func orDefaultTime(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// removeOrphans removes what was found, after a question.
func (p *program) removeOrphans(ctx context.Context, n *node, search rrd.OrphansConfig, found rrd.Orphans, yes bool) (*deletedJSON, error) {
	if len(found.Files) == 0 {
		return &deletedJSON{}, nil
	}
	var bytes int64
	for _, o := range found.Files {
		bytes += o.Bytes
	}
	fact := fmt.Sprintf("%d RRD files and empty directories with %s have no owner", len(found.Files), mebibytes(bytes))
	if err := p.confirm(yes, fact, "remove them for good"); err != nil {
		return nil, err
	}
	removed, err := rrd.Remove(ctx, search, found)
	if removed.Files+removed.Directories > 0 {
		err = errors.Join(err, n.store.AddEvent(context.WithoutCancel(ctx), device.Event{
			Type: "journal", Severity: device.SeverityNotice, Actor: actor(),
			Message: fmt.Sprintf("%d orphaned RRD files of target %s removed", removed.Files, found.Target),
		}))
	}
	if err == nil && !p.asJSON {
		fmt.Fprintf(p.out, "%d files and %d directories removed, %s; %d left that were changed meanwhile\n",
			removed.Files, removed.Directories, mebibytes(removed.Bytes), removed.Left)
	}
	return &deletedJSON{removed.Files, removed.Directories, removed.Bytes, removed.Left}, err
}
