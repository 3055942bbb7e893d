package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"pollux/secret"
	"pollux/store"
)

// key looks at how far a change of APP_KEY has got.
func (x *examination) key(ctx context.Context, s *store.Store) {
	use, err := s.KeyUse(ctx)
	if err != nil {
		x.fail("key", err)
		return
	}
	own, strange := x.config.AppKey, 0
	for id, count := range use.Secrets {
		if _, has := own.Named(id); !has {
			strange += count
		}
	}
	switch left := use.NotUnder(use.InForce); {
	case strange > 0:
		x.fail("key", fmt.Errorf("%w: %d credentials are under a key that this node does not have; put it into APP_PREVIOUS_KEYS, then run: pollux key rotate", secret.ErrOpen, strange))
	case use.InForce != own.ID():
		x.warn("key", "%s is in force, this node's APP_KEY %s is not; when every node has both, run: pollux key rotate", use.InForce, own.ID())
	case left > 0:
		x.warn("key", "%s is in force, but %d credentials are still under a former key; run: pollux key rotate", use.InForce, left)
	case len(own.IDs()) > 1:
		x.warn("key", "%s is in force, and every credential is under it; remove APP_PREVIOUS_KEYS on every node and restart it", use.InForce)
	default:
		x.fine("key", "%s is in force, and every credential is under it", use.InForce)
	}
	// A node.env is looked at with the rest of its data directory.
	if file := x.config.KeyFile(x.program.environ); file != "" && filepath.Dir(file) != x.config.DataDir {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			x.warn("key", "every user of this machine can read APP_KEY in %s; run: chmod o-r %s", file, file)
		}
	}
}
