package cluster

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

const watchEvery = 5 * time.Second

// Watch looks whether Redis answers.
type Watch struct {
	client redis.UniversalClient
	log    *slog.Logger
	gauge  prometheus.Gauge
	every  time.Duration
	up     atomic.Bool
}

// NewWatch prepares a watch that shows Redis as up until it looked: Connect
// has just succeeded. It registers pollux_redis_up.
func NewWatch(client redis.UniversalClient, log *slog.Logger, registerer prometheus.Registerer) *Watch {
	w := &Watch{client: client, log: log, every: watchEvery, gauge: register(registerer, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pollux_redis_up", Help: "1 when Redis answered the last ping, else 0.",
	}))}
	w.set(true)
	return w
}

// Up says whether Redis answered the last ping.
func (w *Watch) Up() bool { return w.up.Load() }

// Run pings Redis every 5 s until ctx ends, and logs when its state changes.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *Watch) look(ctx context.Context) {
	limit, stop := context.WithTimeout(ctx, commandTimeout)
	defer stop()
	err := Ping(limit, w.client)
	if ctx.Err() != nil {
		return
	}
	up := err == nil
	if was := w.up.Load(); was && !up {
		w.log.Error("Redis does not answer", "error", err)
	} else if !was && up {
		w.log.Info("Redis answers again")
	}
	w.set(up)
}

func (w *Watch) set(up bool) {
	w.up.Store(up)
	w.gauge.Set(0)
	if up {
		w.gauge.Set(1)
	}
}
