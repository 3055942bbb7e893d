package producer

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollux/cluster"
	"pollux/config"
	"pollux/polluxtest"
)

// logbook collects lines.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

func (l *logbook) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.text.String()), "\n")
}

func TestSparingLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		book := &logbook{}
		log := spare(book.logger(slog.LevelDebug)).With("role", "producer")
		for i := range 25 {
			log.Warn("Redis refuses", "n", i)
			log.WithGroup("g").Warn("Redis refuses", "n", i) // the same words
			log.Info("another thing")
			log.Debug("detail")
			time.Sleep(time.Second)
		}
		kinds := map[string]int{}
		for _, line := range book.lines() {
			for _, words := range []string{"Redis refuses", "another thing", "detail", "left_out_before=19"} {
				if strings.Contains(line, words) {
					kinds[words]++
				}
			}
			if !strings.Contains(line, "role=producer") {
				t.Errorf("an attribute is lost: %s", line)
			}
		}
		if kinds["Redis refuses"] != 3 || kinds["another thing"] != 3 || kinds["detail"] != 25 || kinds["left_out_before=19"] != 2 {
			t.Errorf("lines by kind: %v", kinds)
		}
	})
}

// TestRefusingRedisDoesNotFloodTheLog lets a leader go on against a Redis that refuses to work, for 25 s.
func TestRefusingRedisDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string][][]any{
		"OOM":     {{"CONFIG", "SET", "maxmemory", "1"}},
		"MISCONF": {{"CONFIG", "SET", "save", "1 1"}, {"CONFIG", "SET", "dir", "/proc"}, {"BGSAVE"}}, // where no snapshot can be written
		"NOPERM":  {{"ACL", "SETUSER", "default", "-@write"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := polluxtest.Redis(t, "--enable-protected-configs", "yes")
			book := &logbook{}
			client, err := cluster.Connect(t.Context(), config.Redis{Socket: server.Socket}, book.logger(slog.LevelInfo))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			r := newRigOn(t, client, book.logger(slog.LevelInfo), "p1", thirty(0, 10)...)
			r.start(t)
			polluxtest.Eventually(t, time.Minute, "the producer leads", r.Leading)
			for _, command := range refuse {
				if err := client.Do(t.Context(), command...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			polluxtest.Eventually(t, time.Minute, "Redis refuses", func() bool {
				err := client.Set(t.Context(), "pollux:test", "1", 0).Err()
				return err != nil && strings.Contains(err.Error(), name)
			})
			began := time.Now()
			polluxtest.Eventually(t, time.Minute, "a while passes", func() bool { return time.Since(began) > 25*time.Second })
			kinds := map[string]int{}
			for _, line := range book.lines() {
				_, words, _ := strings.Cut(line, "msg=")
				kinds[words[:min(len(words), 40)]]++
			}
			for words, n := range kinds {
				if most := int(time.Since(began)/repeatLine) + 2; n > most {
					t.Errorf("%d lines in %v begin with %s, want at most %d", n, time.Since(began), words, most)
				}
			}
			if len(kinds) < 4 {
				t.Errorf("the log says too little: %v", kinds)
			}
		})
	}
}
