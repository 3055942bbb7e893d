package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// confirm lets somebody think again: it asks on a terminal, and elsewhere wants
// --yes. fact says what is at stake, question what is about to be done.
func (p *program) confirm(yes bool, fact, question string) error {
	if yes {
		return nil
	}
	file, ok := p.in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return usagef("%s; to %s, say --yes", fact, question)
	}
	fmt.Fprintf(p.errout, "%s; %s? [y/N] ", fact, question)
	answer, err := bufio.NewReader(io.LimitReader(file, maxSecretLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return errNotConfirmed
	}
}

// isTerminal says whether somebody sees what is written there.
func isTerminal(w io.Writer) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}

// errNotConfirmed says that somebody thought again.
var errNotConfirmed = errors.New("nothing was changed")
