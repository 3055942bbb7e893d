package ops

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHostsThatAreAsked(t *testing.T) {
	t.Parallel()
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		listen  string
		further []string
		yes, no []string
	}{
		{"127.0.0.1:9160", nil, []string{"127.0.0.1:9160", "127.0.0.1", "localhost:1", "LOCALHOST.", "[::1]:9160", "127.9.9.9:80", ""},
			[]string{"evil.example", "evil.example:9160", "192.0.2.1:9160", "localhost.evil.example", "127.0.0.1.evil.example", machine + ".evil.example", "[::2]:1", "a:b:c", "0.0.0.0:9160"}},
		{"0.0.0.0:9160", nil, []string{"10.1.2.3:9160", "[2001:db8::1]:9160", "127.0.0.1", machine, machine + ":9160"}, []string{"evil.example:9160", "producer:9160"}},
		{":9160", []string{"producer", "Mon.Example."}, []string{"10.1.2.3", "producer:9160", "PRODUCER", "mon.example"}, []string{"evil.example", "x.mon.example"}},
		{"[::]:9160", nil, []string{"[fe80::1%25eth0]:9160", "192.0.2.7:1"}, []string{"evil.example"}},
		{"192.0.2.1:9160", []string{"192.0.2.9"}, []string{"192.0.2.1:9160", "192.0.2.9", "[::ffff:192.0.2.1]:9160", "127.0.0.1"}, []string{"192.0.2.2:9160", "evil.example"}},
		{"ops.example:9160", nil, []string{"ops.example:9160", "OPS.example"}, []string{"example:9160", "192.0.2.2:9160"}},
	} {
		handler := New(Config{Listen: c.listen, Hosts: c.further, Gatherer: prometheus.NewRegistry()}, slog.New(slog.DiscardHandler)).handler()
		for want, asked := range map[int][]string{http.StatusOK: c.yes, http.StatusMisdirectedRequest: c.no} {
			for _, host := range asked {
				for _, path := range []string{"/healthz", "/metrics"} {
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
					r.Host = host
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					if w.Code != want {
						t.Errorf("%s asked as %q for %s: %d, want %d", c.listen, host, path, w.Code, want)
					}
				}
			}
		}
	}
}
