package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is the two ends of a pseudo-terminal (pty(7)): what is written to keyboard is read from screen.
func terminal(t testing.TB) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// On a terminal it asks, and only a yes is one.
func TestConfirmAsksOnATerminal(t *testing.T) {
	t.Parallel()
	s := fleetSite(t)
	before := dump(t, s.database())
	for _, c := range []struct {
		answer string
		code   int
	}{{"n\n", exitFailure}, {"\n", exitFailure}, {"yess\n", exitFailure}, {"\x04", exitFailure}, {"Y\n", exitOK}} {
		s.unchanged(before)
		keyboard, screen := terminal(t)
		if _, err := keyboard.WriteString(c.answer); err != nil {
			t.Fatal(err)
		}
		var out, errout bytes.Buffer
		code := run(t.Context(), []string{"group", "remove", "south"}, screen, &out, &errout, s.environ)
		asked, rest, found := strings.Cut(errout.String(), "[y/N] ")
		if !found || asked != "poller group 1 (south) has 2 devices; remove it? " {
			t.Errorf("it asks %q", errout.String())
		}
		if want := map[bool]string{true: "pollux: nothing was changed\n"}[c.code != exitOK]; code != c.code || rest != want {
			t.Errorf("the answer %q: exit code %d, %q", c.answer, code, rest)
		}
	}
	if out := s.ok("group", "list"); strings.Contains(out, "south") {
		t.Errorf("a yes did not remove it:\n%s", out)
	}
}
