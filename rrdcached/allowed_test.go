package rrdcached_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pollux/polluxtest"
	"pollux/rrdcached"
)

// TestAllowedNamesWhatIsRefused asks daemons that each forbid one command.
func TestAllowedNamesWhatIsRefused(t *testing.T) {
	t.Parallel()
	all := []string{"UPDATE", "BATCH", "CREATE", "FLUSH", "FORGET", "FETCH", "LAST", "INFO", "STATS", "PING"}
	for i, forbidden := range all {
		allowed := slices.Delete(slices.Clone(all), i, i+1)
		client := connectTo(t, polluxtest.RRDCached(t, "-P", strings.Join(allowed, ",")).Address)
		err := client.Allowed(t.Context())
		if !errors.Is(err, rrdcached.ErrPermission) || !strings.HasSuffix(err.Error(), "to use "+forbidden) {
			t.Errorf("without %s: %v", forbidden, err)
		}
	}
}

// TestAllowedCountsAsNoUpdate holds what the journal's rule on restarts rests on: UpdatesReceived does not move.
func TestAllowedCountsAsNoUpdate(t *testing.T) {
	t.Parallel()
	client := connectTo(t, polluxtest.RRDCached(t).Address)
	before, err := client.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := client.Allowed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	after, err := client.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.UpdatesReceived != before.UpdatesReceived || after.TreeNodesNumber != before.TreeNodesNumber || client.Updates() != 0 {
		t.Errorf("before %+v, after %+v, the client counts %d updates", before, after, client.Updates())
	}
}

func connectTo(t testing.TB, address string) *rrdcached.Client {
	t.Helper()
	client, err := rrdcached.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
