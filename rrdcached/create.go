package rrdcached

import (
	"context"
	"fmt"
	"time"
)

const (
	settleTries = 80
	settlePause = 25 * time.Millisecond
)

// Create makes the file, and directories on the way to it when the daemon runs
// with -R. An existing file stays as it is and is ErrExists: -O is always sent.
//
// Without source the file begins 10 s before first, the time of its first
// sample; older samples are refused for ever. With source, the name of an older
// file, the new one takes over its history and goes on at the whole second of first, which must
// be the end of a step of the new file, and not lie within a step of the older one in which that was updated:
// rrdtool would take over what the older file holds of its unfinished step as that of the new one's. What the daemon holds of the older file is written before;
// its probe counts among the Updates. (rrdcached has no manual for "-r old": measured on 1.7.2,
// which resolves the name in its base directory and guards it by nothing but CheckFile here.)
//
// Other errors: ErrFile, ErrBadValue (Schema.Validate), ErrLimit (a line of
// more than 4,000 bytes), ErrNoFile (source), ErrPermission, *ReplyError, ErrConnection.
func (c *Client) Create(ctx context.Context, file string, schema Schema, first time.Time, source string) error {
	line, err := appendCreate(nil, file, schema, first, source)
	if err != nil {
		return err
	}
	if source != "" {
		if err := c.settle(ctx, source); err != nil {
			return fmt.Errorf("write the source of %s: %w", file, err)
		}
	}
	c.out = append(c.out[:0], line...)
	return c.command(ctx, textOnly)
}

// settle brings what the daemon holds of a file to the disk. FLUSH alone does not: it
// says success at once while the daemon's own thread is still writing the file. A file that
// does not catch up within 2 s has values that rrdtool refuses, and will not have them later either.
func (c *Client) settle(ctx context.Context, file string) error {
	for range settleTries {
		if err := c.Flush(ctx, file); err != nil {
			return err
		}
		held, err := c.Probe(ctx, []string{file})
		if err != nil {
			return err
		}
		if held[0].Err != nil || !held[0].Exists {
			return held[0].Err // a file that has just vanished: CREATE says so
		}
		disk, err := c.Info(ctx, file)
		if err != nil {
			return err
		}
		if disk.LastUpdate.Unix() >= int64(held[0].Last) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
	}
	return nil
}
