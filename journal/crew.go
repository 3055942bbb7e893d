package journal

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// crewEvery is how often the targets in force are looked at.
const crewEvery = 2 * time.Second

// Post is where one recorder works.
type Post struct {
	Shard  int
	Target string // address
}

// Crew runs a recorder for each target of each shard, and follows when they change.
type Crew struct {
	posts func() []Post // those in force; a target in two shards is refused by its recorders
	hire  func(Post) (*Recorder, error)
	log   *slog.Logger

	mu      sync.Mutex
	working map[Post]*Recorder
	refused map[Post]error // why a post has no recorder
}

// NewCrew prepares the recorders. hire makes one.
func NewCrew(posts func() []Post, hire func(Post) (*Recorder, error), log *slog.Logger) *Crew {
	return &Crew{posts: posts, hire: hire, log: log, working: map[Post]*Recorder{}, refused: map[Post]error{}}
}

// Run records until ctx ends, see Recorder.Run. It returns nil.
func (c *Crew) Run(ctx context.Context) error {
	var recorders sync.WaitGroup
	defer recorders.Wait()
	leave := map[Post]context.CancelFunc{}
	tick := time.NewTicker(crewEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		posts := c.posts()
		c.forget(posts)
		for post, cancel := range leave {
			if !slices.Contains(posts, post) {
				c.log.Info("a target is recorded to no more", "shard", post.Shard, "target", post.Target)
				cancel()
				delete(leave, post)
				c.gone(post)
			}
		}
		for _, post := range posts {
			if _, works := leave[post]; works {
				continue
			}
			if recorder := c.take(post); recorder != nil {
				working, cancel := context.WithCancel(ctx)
				leave[post] = cancel
				recorders.Go(func() {
					defer cancel()
					_ = recorder.Run(working) // it returns nil
				})
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	for _, cancel := range leave {
		cancel()
	}
	return nil
}

// take makes the recorder of a post; nil when that fails, which is said once.
func (c *Crew) take(post Post) *Recorder {
	recorder, err := c.hire(post)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.working[post] = recorder
		delete(c.refused, post)
		return recorder
	}
	if c.refused[post] == nil {
		c.log.Error("a target cannot be recorded to", "shard", post.Shard, "target", post.Target, "err", err)
	}
	c.refused[post] = err
	return nil
}

// forget drops what was wrong with posts that are not in force any more.
func (c *Crew) forget(posts []Post) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.refused, func(post Post, _ error) bool { return !slices.Contains(posts, post) })
}

func (c *Crew) gone(post Post) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.working, post)
}

// Health is why this process does not get through to targets, by post; nil for those that it reaches.
func (c *Crew) Health() map[Post]error {
	c.mu.Lock()
	defer c.mu.Unlock()
	health := maps.Clone(c.refused)
	for post, recorder := range c.working {
		health[post] = recorder.Health()
	}
	return health
}
