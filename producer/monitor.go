package producer

import (
	"net/http"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// QueueMonitorPath is where the queue monitor expects to be mounted.
const QueueMonitorPath = "/asynqmon/"

// QueueMonitor shows the queues in asynq's own pages, read-only, under
// QueueMonitorPath. asynqmon knows no login: the listener it is mounted on
// must be a private one.
func QueueMonitor(client redis.UniversalClient) http.Handler {
	pages := asynqmon.New(asynqmon.Options{RootPath: QueueMonitorPath, RedisConnOpt: shared{client}, ReadOnly: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// asynqmon's page holds an inline script, so scripts cannot be restricted further.
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		pages.ServeHTTP(w, r)
	})
}

// shared hands asynqmon the process' own connection, which it must not close.
type shared struct{ client redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt.
func (s shared) MakeRedisClient() any { return s.client }
