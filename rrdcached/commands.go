package rrdcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Stats are the daemon's counters since its start, see rrdcached(1), Performance Values.
type Stats struct {
	QueueLength     uint64 // files waiting to be written
	UpdatesReceived uint64 // UPDATE commands, refused ones included; falls when the daemon was restarted
	FlushesReceived uint64
	UpdatesWritten  uint64 // files written
	DataSetsWritten uint64 // values of one time written
	TreeNodesNumber uint64 // files in the cache
	TreeDepth       uint64
	JournalBytes    uint64
	JournalRotate   uint64
}

// Flush waits until what the daemon holds of the file is written. It returns
// at once, and too early, when the daemon is just writing the file, and says success
// also when rrdtool refused a value at writing. ErrNoFile when there is no such file.
func (c *Client) Flush(ctx context.Context, file string) error {
	if err := c.fileCommand("FLUSH", file); err != nil {
		return err
	}
	return c.command(ctx, textOnly)
}

// FlushAll makes the daemon begin to write all it holds, and does not wait for it: see QueueLength of Stats.
func (c *Client) FlushAll(ctx context.Context) error {
	c.out = append(c.out[:0], "FLUSHALL"...)
	return c.command(ctx, textOnly)
}

// Forget drops what the daemon holds of the file without writing it. ErrNoFile when it holds nothing.
func (c *Client) Forget(ctx context.Context, file string) error {
	if err := c.fileCommand("FORGET", file); err != nil {
		return err
	}
	return c.command(ctx, textOnly)
}

// Last is the time of the file's last update rounded down to its step, pending
// updates included. For the exact time see Probe.
func (c *Client) Last(ctx context.Context, file string) (time.Time, error) {
	if err := c.fileCommand("LAST", file); err != nil {
		return time.Time{}, err
	}
	var last time.Time
	err := c.command(ctx, func(reply status) error {
		seconds, err := strconv.ParseInt(reply.text, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %q is no time", ErrProtocol, printable(reply.text))
		}
		last = time.Unix(seconds, 0)
		return textOnly(reply)
	})
	return last, err
}

// Ping asks whether the daemon answers.
func (c *Client) Ping(ctx context.Context) error {
	c.out = append(c.out[:0], "PING"...)
	return c.command(ctx, textOnly)
}

// Stats reads the daemon's counters.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	c.out = append(c.out[:0], "STATS"...)
	var stats Stats
	err := c.command(ctx, func(reply status) error {
		var err error
		stats, err = c.replies.stats(reply)
		return err
	})
	return stats, err
}

// stats reads lines "<name>: <number>". Names that are not known here are
// passed over; the two that the journal rests on must be there.
func (r *replies) stats(reply status) (Stats, error) {
	var stats Stats
	fields := map[string]*uint64{
		"QueueLength": &stats.QueueLength, "UpdatesReceived": &stats.UpdatesReceived,
		"FlushesReceived": &stats.FlushesReceived, "UpdatesWritten": &stats.UpdatesWritten,
		"DataSetsWritten": &stats.DataSetsWritten, "TreeNodesNumber": &stats.TreeNodesNumber,
		"TreeDepth": &stats.TreeDepth, "JournalBytes": &stats.JournalBytes, "JournalRotate": &stats.JournalRotate,
	}
	err := r.lines(reply.code, func(line []byte) error {
		name, text, _ := bytes.Cut(line, []byte(": "))
		field := fields[string(name)]
		if field == nil {
			return nil
		}
		number, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			return errors.New("no number")
		}
		*field = number
		delete(fields, string(name))
		return nil
	})
	if err != nil {
		return Stats{}, err
	}
	if fields["QueueLength"] != nil || fields["UpdatesReceived"] != nil {
		return Stats{}, fmt.Errorf("%w: STATS without QueueLength or UpdatesReceived", ErrProtocol)
	}
	return stats, nil
}
