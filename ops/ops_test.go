package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/ops"
)

func serve(t *testing.T, checks ...ops.Check) (url string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pollux_test", Help: "One."}, func() float64 { return 1 }))
	s := ops.New(ops.Config{Listen: "127.0.0.1:0", Gatherer: registry, Checks: checks}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	url := serve(t)
	for path, want := range map[string]string{"/metrics": "pollux_test 1", "/healthz": "ok", "/readyz": `"status":"ok"`, "/debug/pprof/": "goroutine"} {
		if status, body := get(t, url+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	if status, _ := get(t, url+"/"); status != http.StatusNotFound {
		t.Errorf("/ answers %d", status)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	fine := func(context.Context) error { return nil }
	broken := func(context.Context) error { return errors.New(strings.Repeat("refused ", 100)) }
	for name, c := range map[string]struct {
		checks []ops.Check
		status int
		state  string
	}{
		"all fine":           {[]ops.Check{{Name: "db", Run: fine}, {Name: "redis", Run: fine}}, 200, ops.StateOK},
		"one broken":         {[]ops.Check{{Name: "db", Run: fine}, {Name: "redis", Run: broken}}, 503, ops.StateFailing},
		"one that degrades":  {[]ops.Check{{Name: "db", Degrades: true, Run: broken}, {Name: "redis", Run: fine}}, 200, ops.StateDegraded},
		"both":               {[]ops.Check{{Name: "db", Degrades: true, Run: broken}, {Name: "redis", Run: broken}}, 503, ops.StateFailing},
		"one that panics":    {[]ops.Check{{Name: "db", Run: func(context.Context) error { panic("x") }}}, 503, ops.StateFailing},
		"nothing to look at": {nil, 200, ops.StateOK},
	} {
		status, body := get(t, serve(t, c.checks...)+"/readyz")
		var answer ops.Readiness
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Errorf("%s: %v in %s", name, err, body)
			continue
		}
		if status != c.status || answer.Status != c.state || len(answer.Checks) != len(c.checks) {
			t.Errorf("%s: %d %+v", name, status, answer)
		}
		for check, result := range answer.Checks {
			if len(result.Error) > 200 {
				t.Errorf("%s: the text of %s has %d bytes", name, check, len(result.Error))
			}
		}
	}
}

func TestPortInUseSaysWhichVariable(t *testing.T) {
	t.Parallel()
	url := serve(t)
	s := ops.New(ops.Config{Listen: strings.TrimPrefix(url, "http://"), Gatherer: prometheus.NewRegistry()}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "POLLUX_OPS_LISTEN") {
		t.Errorf("got %v", err)
	}
}
