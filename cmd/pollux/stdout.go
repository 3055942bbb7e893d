package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// errReaderGone says that whoever read the output has ended, as head does. It is told
// from a connection that broke, which is a broken pipe to the operating system, too.
var errReaderGone = errors.New("nobody reads the output any more")

// stdout is the standard output of a process that SIGPIPE does not end: a write fails, and the command cleans up.
type stdout struct{ file *os.File }

// newStdout takes SIGPIPE over. It is caught and not ignored: children would inherit that.
func newStdout(file *os.File) stdout {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return stdout{file}
}

func (s stdout) Write(b []byte) (int, error) {
	n, err := s.file.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = fmt.Errorf("write the output: %w", errReaderGone)
	}
	return n, err
}

// Fd is for isTerminal.
func (s stdout) Fd() uintptr { return s.file.Fd() }

// untilDone gives a write up when ctx ends: whoever reads may hang, as an ssh does whose network is gone.
type untilDone struct {
	ctx context.Context
	out io.Writer
}

func (u untilDone) Write(b []byte) (n int, err error) {
	done := make(chan struct{})
	own := slices.Clone(b) // a write that was given up goes on
	var written int
	var failed error
	go func() {
		defer close(done)
		written, failed = u.out.Write(own)
	}()
	select {
	case <-done:
		return written, failed
	case <-u.ctx.Done():
		return 0, u.ctx.Err()
	}
}
