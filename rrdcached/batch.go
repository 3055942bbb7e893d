package rrdcached

import (
	"context"
	"errors"
	"fmt"
)

// MaxBatch is the largest number of lines in one Batch or Probe.
const MaxBatch = 500

// ProbeResult is what Probe found out about one file.
type ProbeResult struct {
	Exists bool
	Last   float64 // time of the last update, cached or on disk, Unix seconds with the fraction as printed; valid when Exists
	Err    error   // nil, or why neither is known: ErrFile, ErrPermission, *ReplyError
}

// Batch sends up to 500 updates in one round trip, one line each, in order
// (command BATCH). The first result has one entry per update: nil for
// accepted, else ErrFile, ErrBadValue or ErrLimit for one that was not sent, or
// the daemon's refusal: *IllegalTimeError, ErrNoFile, ErrPermission, *ReplyError.
//
// Accepted means held in the daemon's memory, not written. An update that is not
// at least a whole second later than the one before it of the same file is
// ErrBadValue: after a restart the daemon compares whole seconds only, so a replay could not tell the two apart.
//
// With a second error nothing is known of any update: it is ErrConnection, or
// ErrLimit for a batch that is too large, or the context's end before sending.
func (c *Client) Batch(ctx context.Context, updates []Update) ([]error, error) {
	clear(c.seconds)
	return c.batch(ctx, len(updates), func(dst []byte, i int) ([]byte, error) {
		u := &updates[i]
		before, again := c.seconds[u.File]
		if again && u.Time.Unix() <= before {
			return dst, fmt.Errorf("%w: two lines for %s within a second", ErrBadValue, printable(u.File))
		}
		line, err := u.appendTo(dst)
		if err == nil {
			c.seconds[u.File] = u.Time.Unix()
		}
		return line, err
	})
}

// Probe asks for the exact time of the last update of up to 500 files by the
// line "UPDATE <file> 1:0" each in one BATCH: it is always refused, with that time
// (the command LAST rounds to the step). It also makes the daemon load the
// file's entry. The second error is as for Batch.
func (c *Client) Probe(ctx context.Context, files []string) ([]ProbeResult, error) {
	refusals, err := c.batch(ctx, len(files), func(dst []byte, i int) ([]byte, error) {
		if err := CheckFile(files[i]); err != nil {
			return dst, err
		}
		dst = append(dst, "UPDATE "...)
		dst = append(dst, files[i]...)
		return append(dst, " 1:0"...), nil
	})
	if err != nil {
		return nil, err
	}
	results := make([]ProbeResult, len(files))
	for i, refused := range refusals {
		var illegal *IllegalTimeError
		switch {
		case errors.As(refused, &illegal):
			results[i] = ProbeResult{Exists: true, Last: illegal.Last}
		case errors.Is(refused, ErrNoFile):
		case refused == nil: // a file whose last update is before 1970; rrdtool makes none
			results[i].Err = &ReplyError{Text: "the probe was accepted"}
		default:
			results[i].Err = refused
		}
	}
	return results, nil
}

// batch sends n lines that add appends, and returns one error or nil for each.
func (c *Client) batch(ctx context.Context, n int, add func(dst []byte, i int) ([]byte, error)) ([]error, error) {
	if n > MaxBatch {
		return nil, fmt.Errorf("%w: a batch of %d lines, at most %d", ErrLimit, n, MaxBatch)
	}
	if err := c.openBatch(ctx); err != nil {
		return nil, err
	}
	refusals := make([]error, n)
	c.out, c.sent = append(c.out[:0], "BATCH\n"...), c.sent[:0]
	for i := range n {
		if c.out, refusals[i] = add(c.out, i); refusals[i] == nil {
			c.out = append(c.out, '\n')
			c.sent = append(c.sent, i)
		}
	}
	if len(c.sent) == 0 {
		return refusals, nil
	}
	c.out = append(c.out, ".\n"...)
	end, err := c.begin(ctx, len(c.sent))
	if err != nil {
		return nil, err
	}
	defer end()
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, c.fail(ctx, err)
	}
	err = c.replies.batch(len(c.sent), func(index int, text string) {
		refusals[c.sent[index]] = refusal(text)
	})
	if err != nil {
		return nil, c.fail(ctx, err)
	}
	c.updates += uint64(len(c.sent))
	return refusals, nil
}

// openBatch asks once per connection, with an empty batch, whether the daemon
// takes BATCH at all. If it did not (option -P), it would take every line after
// it as a command of its own and answer each.
func (c *Client) openBatch(ctx context.Context) error {
	if c.batches {
		return nil
	}
	c.out = append(c.out[:0], "BATCH"...)
	if err := c.command(ctx, textOnly); err != nil {
		return fmt.Errorf("open a batch: %w", err)
	}
	c.out = append(c.out[:0], '.') // an empty batch is answered like a command
	if err := c.command(ctx, textOnly); err != nil {
		if c.broken == nil { // left inside the batch, where no other command is understood
			err = c.fail(ctx, err)
		}
		return fmt.Errorf("end an empty batch: %w", err)
	}
	c.batches = true
	return nil
}

// Update sends one update in a round trip of its own. The error is as for an entry of Batch, or ErrConnection.
func (c *Client) Update(ctx context.Context, update Update) error {
	var err error
	if c.out, err = update.appendTo(c.out[:0]); err != nil {
		return err
	}
	err = c.command(ctx, textOnly)
	var illegal *IllegalTimeError
	var reply *ReplyError
	if err == nil || errors.As(err, &illegal) || errors.As(err, &reply) {
		c.updates++
	}
	return err
}
