package rrd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"pollux/measurement"
	"pollux/rrdcached"
)

// Removed is what became of a removal.
type Removed struct {
	Files       int
	Directories int // that were empty then
	Bytes       int64
	Left        int // files that were changed or exchanged since the search
}

// Remove removes orphans of a search, and makes RRDCached forget them. A file is only
// removed if RRDCached knows it with the same last update as the file here has: a tree beside the
// right one, such as a backup, is ErrNotTree. A file that was changed since the search is left.
func Remove(ctx context.Context, c OrphansConfig, orphans Orphans) (removed Removed, err error) {
	t, err := openTree(c.Tree, c.ClusterID)
	if err != nil {
		return removed, err
	}
	defer t.close()
	d, err := c.daemonOf(ctx, t)
	if err != nil {
		return removed, err
	}
	defer d.close()
	if t.target != orphans.Target {
		return removed, fmt.Errorf("%w: %s has another target than before", ErrNotTree, c.Tree)
	}
	touched := map[string]bool{}
	for _, o := range orphans.Files {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		directory, name := path.Split(o.File)
		touched[directory] = true
		if name == "" {
			continue
		}
		if err := removeFile(ctx, t, d, o, &removed); err != nil {
			return removed, err
		}
	}
	for directory := range touched {
		entries, err := t.list(path.Clean(directory))
		if err == nil && len(entries) == 0 && t.root.Remove(path.Clean(directory)) == nil {
			removed.Directories++
		}
	}
	return removed, nil
}

// removeFile removes one file, if it is what the search found.
func removeFile(ctx context.Context, t *tree, d *daemon, o Orphan, removed *Removed) error {
	if _, _, _, ours := measurement.ParseName(path.Base(o.File)); !ours || strings.Count(o.File, "/") != 1 || rrdcached.CheckFile(o.File) != nil {
		return fmt.Errorf("remove %s: not a file of Pollux", o.File)
	}
	info, err := t.root.Lstat(o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", o.File, err)
	}
	if !info.Mode().IsRegular() || !info.ModTime().Equal(o.Changed) {
		removed.Left++
		return nil
	}
	if err := same(ctx, t, d, o.File); err != nil {
		return err
	}
	if err := t.root.Remove(o.File); err != nil {
		return fmt.Errorf("remove %s: %w", o.File, err)
	}
	removed.Files++
	removed.Bytes += info.Size()
	if err := d.client.Forget(ctx, o.File); err != nil && !errors.Is(err, rrdcached.ErrNoFile) { // it knows most of them no more
		return fmt.Errorf("RRDCached at %s: forget %s: %w", d.address, o.File, err)
	}
	return nil
}

// same makes sure that RRDCached has this very file. One that neither can read as an RRD file is the same too.
func same(ctx context.Context, t *tree, d *daemon, file string) error {
	known, err := d.client.Info(ctx, file)
	var reply *rrdcached.ReplyError
	if err != nil && !errors.As(err, &reply) {
		return fmt.Errorf("RRDCached at %s: read %s: %w", d.address, file, err)
	}
	h, here := t.header(file)
	switch {
	case err == nil && here == nil && h.lastUpdate.Equal(known.LastUpdate):
		return nil
	case err != nil && here != nil && !errors.Is(err, rrdcached.ErrNoFile) && !errors.Is(err, rrdcached.ErrPermission):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %s is here, and in RRDCached at %s: %w", ErrNotTree, file, d.address, err)
	default:
		return fmt.Errorf("%w: %s was updated last at %s, in RRDCached at %s at %s", ErrNotTree, file,
			h.lastUpdate.UTC().Format(time.RFC3339), d.address, known.LastUpdate.UTC().Format(time.RFC3339))
	}
}
