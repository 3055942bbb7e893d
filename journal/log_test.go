package journal_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// logLines keeps what is logged.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// with are the lines that hold all of the words.
func (l *logLines) with(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

// logged makes a world's recorders log into what it returns.
func (w *world) logged() *logLines {
	l := &logLines{}
	w.log = slog.New(slog.NewTextHandler(l, nil))
	return l
}
