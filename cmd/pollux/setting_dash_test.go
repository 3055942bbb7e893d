package main

import "testing"

// A value that begins with a dash is no flag.
func TestNegativeValueOfASetting(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	for _, form := range [][]string{{"config", "set"}, {"config:set"}} {
		s.call(append(form, "default_poller_group", "-1")...).fails(exitUsage, "pollux config set KEY -- -1", "pollux config get KEY --json")
		s.call(append(form, "default_poller_group", "--", "-1")...).fails(exitUsage, "default_poller_group", "-1")
	}
}
