//go:build !faultinject

package cluster

import (
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// injectFaults adds nothing: faults on purpose are in builds for tests only.
func injectFaults(redis.UniversalClient, *slog.Logger) {}

// wallOf is the wall clock's part of a moment.
func wallOf(now time.Time) time.Time { return now.Round(0) }
