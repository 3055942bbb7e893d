// Package ops is how operators look into a process: /metrics for Prometheus,
// /healthz, /readyz and pprof on one listener of its own.
//
// It must not change anything: every route answers GET only. It shows no
// device, no secret and no stack of an error.
package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	checkLimit = 3 * time.Second // of all checks together
	checkAge   = time.Second     // answers are kept so long, so that many askers cost one check
	maxText    = 200             // bytes of an error text
)

// Check asks one dependency whether it works.
type Check struct {
	Name     string // db, redis, rrdcached, schema
	Degrades bool   // its failure leaves the process ready, but degraded
	Run      func(context.Context) error
}

// Config says where to listen and what to serve.
type Config struct {
	Listen   string   // host:port; port 0 takes a free one
	Hosts    []string // names and addresses under which it may be asked, besides its own
	Gatherer prometheus.Gatherer
	Checks   []Check
	Routes   map[string]http.Handler // further patterns, such as "/asynqmon/"
}

// Server serves one process's operators.
type Server struct {
	config Config
	log    *slog.Logger
	ready  chan struct{}
	addr   net.Addr

	mu   sync.Mutex
	last Readiness
	at   time.Time
}

// New returns a server that is inert until Run.
func New(config Config, log *slog.Logger) *Server {
	return &Server{config: config, log: log, ready: make(chan struct{})}
}

// Ready is closed when the server listens.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addr is where the server listens; nil before Ready.
func (s *Server) Addr() net.Addr {
	select {
	case <-s.ready:
		return s.addr
	default:
		return nil
	}
}

// Run listens and serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen for operators (POLLUX_OPS_LISTEN=%s): %w", s.config.Listen, err)
	}
	s.addr = listener.Addr()
	close(s.ready)
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 1 << 14, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	s.log.Info("operators' listener is open", "address", s.addr.String())
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operators: %w", err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.config.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	for pattern, handler := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
	} {
		mux.Handle("GET "+pattern, loopbackOnly(handler))
	}
	for pattern, handler := range s.config.Routes {
		mux.Handle(pattern, handler)
	}
	return guard(newHosts(s.config.Listen, s.config.Hosts).only(mux))
}

// loopbackOnly hides profiles, which show memory, from other machines.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			http.Error(w, "profiles are served to this machine only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guard keeps browsers from sending what another site made them send.
func guard(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	}))
}

// The states of Readiness and of a check in it.
const (
	StateOK       = "ok"
	StateDegraded = "degraded"
	StateFailing  = "failing"
)

// Readiness is the answer of /readyz.
type Readiness struct {
	Status string                 `json:"status"`
	Checks map[string]CheckResult `json:"checks"`
}

// CheckResult is how one check went.
type CheckResult struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	readiness := s.readiness(r.Context())
	w.Header().Set("Content-Type", "application/json")
	if readiness.Status == StateFailing {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(readiness) // the asker is gone: nobody is left to tell
}

func (s *Server) readiness(ctx context.Context) Readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.Status != "" && time.Since(s.at) < checkAge {
		return s.last
	}
	// The answer is kept for others, so this asker's leaving must not cut it short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkLimit)
	defer cancel()
	s.last, s.at = Inspect(ctx, s.config.Checks), time.Now()
	return s.last
}

// Inspect runs the checks at the same time and sums them up.
func Inspect(ctx context.Context, checks []Check) Readiness {
	results := make([]CheckResult, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() { results[i] = run(ctx, check) })
	}
	running.Wait()
	sum := Readiness{Status: StateOK, Checks: make(map[string]CheckResult, len(checks))}
	for i, check := range checks {
		sum.Checks[check.Name] = results[i]
		switch {
		case results[i].Status == StateFailing:
			sum.Status = StateFailing
		case results[i].Status == StateDegraded && sum.Status == StateOK:
			sum.Status = StateDegraded
		}
	}
	return sum
}

func run(ctx context.Context, check Check) (result CheckResult) {
	defer func() {
		if recover() != nil {
			result = CheckResult{Status: StateFailing, Error: "the check itself failed"}
		}
	}()
	err := check.Run(ctx)
	if err == nil {
		return CheckResult{Status: StateOK}
	}
	text := err.Error()
	if len(text) > maxText {
		text = text[:maxText]
	}
	if check.Degrades {
		return CheckResult{Status: StateDegraded, Error: text}
	}
	return CheckResult{Status: StateFailing, Error: text}
}
