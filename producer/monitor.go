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
		for name, value := range map[string]string{
			"Content-Security-Policy": monitorPolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		// asynqmon's own rule covers its API only, not what is added to it one day.
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the queues are shown only; use pollux queue", http.StatusMethodNotAllowed)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// monitorPolicy lets asynqmon's page have its inline script and styles, and
// the fonts that it loads where there is a way to them; everything else comes from here.
const monitorPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline' https://fonts.googleapis.com; " +
	"font-src 'self' data: https://fonts.gstatic.com; img-src 'self' data:; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'none'"

// shared hands asynqmon the process' own connection, which it must not close.
type shared struct{ client redis.UniversalClient }

// MakeRedisClient implements asynq.RedisConnOpt. asynqmon has the page about
// Redis for a *redis.Client only, which the client that follows Sentinels contains.
func (s shared) MakeRedisClient() any {
	if following, ok := s.client.(interface{ Plain() *redis.Client }); ok {
		return following.Plain()
	}
	return s.client
}
