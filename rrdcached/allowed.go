package rrdcached

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Allowed asks whether the daemon lets this connection do all that Pollux
// needs (option -P of rrdcached(1)), and changes nothing: each command is sent
// without its arguments, which the daemon answers with its usage when the
// command is allowed. It does not count as an update in Stats. The error is
// ErrPermission with the commands that are refused, or ErrConnection.
func (c *Client) Allowed(ctx context.Context) error {
	var refused []string
	for _, name := range []string{"PING", "STATS", "UPDATE", "CREATE", "FLUSH", "FORGET", "FETCH", "LAST", "INFO"} {
		err := c.bare(ctx, name)
		switch {
		case errors.Is(err, ErrPermission):
			refused = append(refused, name)
		case err != nil:
			return fmt.Errorf("ask whether %s is allowed: %w", name, err)
		}
	}
	if err := c.openBatch(ctx); errors.Is(err, ErrPermission) {
		refused = append(refused, "BATCH")
	} else if err != nil {
		return err
	}
	if len(refused) > 0 {
		return fmt.Errorf("%w to use %s", ErrPermission, strings.Join(refused, ", "))
	}
	return nil
}

// bare sends a command without arguments. Nil means that it is allowed.
func (c *Client) bare(ctx context.Context, name string) error {
	if name == "STATS" { // needs none and answers with lines
		_, err := c.Stats(ctx)
		return err
	}
	c.out = append(c.out[:0], name...)
	err := c.command(ctx, textOnly)
	var usage *ReplyError
	if errors.As(err, &usage) && !errors.Is(err, ErrPermission) {
		return nil
	}
	return err
}
