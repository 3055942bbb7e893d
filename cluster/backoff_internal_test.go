package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"pollux/config"
	"pollux/secret"
)

// replyError is a reply of Redis that is an error.
type replyError string

func (e replyError) Error() string { return string(e) }
func (e replyError) RedisError()   {}

func TestBackoffGrowsPerPauseAndForgets(t *testing.T) {
	t.Parallel()
	b := newBackoff(slog.New(slog.NewTextHandler(io.Discard, nil)))
	now := time.Unix(1795340000, 0)
	b.now = func() time.Time { return now }
	for n, step := range []struct{ after, want time.Duration }{
		{0, time.Second}, {0, time.Second}, {10 * time.Millisecond, time.Second}, // calls at once are one step
		{time.Second, 2 * time.Second}, {time.Second, 2 * time.Second}, {2 * time.Second, 4 * time.Second},
		{4 * time.Second, 5 * time.Second}, {5 * time.Second, 5 * time.Second}, {5 * time.Second, 5 * time.Second},
		{11 * time.Second, time.Second},
	} {
		now = now.Add(step.after)
		if got := b.delay("set", replyError("OOM")); got != step.want {
			t.Errorf("step %d: %v, want %v", n, got, step.want)
		}
	}
}

func TestRefusedKnowsTheReplies(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"OOM command not allowed", "MISCONF Redis is configured to save", "READONLY You can't", "ERR READONLY You can't",
		"NOPERM this user", "LOADING Redis is loading", "NOREPLICAS Not enough",
	} {
		if !refused(replyError(text)) {
			t.Errorf("%s is not refused", text)
		}
	}
	for _, err := range []error{nil, replyError("WRONGTYPE x"), replyError("ERR unknown"), replyError("NOSCRIPT x"), errors.New("OOM not from Redis")} {
		if refused(err) {
			t.Errorf("%v is refused", err)
		}
	}
}

func TestExplainNamesAnUnknownHostAndHidesPasswords(t *testing.T) {
	t.Parallel()
	c := config.Redis{Host: "redis", Password: secret.New("hunter2"), SentinelPassword: secret.New("hunter3")}
	err, final := explain(&net.DNSError{Err: "no such host", Name: "redis", IsNotFound: true}, c)
	if final || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "the name is not known: correct REDIS_HOST") {
		t.Errorf("got %v, final %v", err, final)
	}
	// Redis before version 6 quotes the arguments of a command that it does not know.
	err, _ = explain(replyError("ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `hunter2`, \n`hunter3`"), c)
	if strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestLibraryLogIsQuietAndOneLine(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level]bool{slog.LevelInfo: false, slog.LevelDebug: true} {
		var text strings.Builder
		l := LibraryLog{Log: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))}
		l.Printf(context.Background(), "failed to dial after %d attempts:\n%v", 1, "x\x1b")
		if got := strings.Contains(text.String(), "failed to dial after 1 attempts:?x?"); got != want {
			t.Errorf("level %v: %q", level, text.String())
		}
	}
}
