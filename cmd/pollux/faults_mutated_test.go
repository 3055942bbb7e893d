//go:build faults

package main_test

import "testing"

// TestDataMutatedReplies is TestMutatedReplies with a million of them.
func TestDataMutatedReplies(t *testing.T) {
	t.Parallel()
	pollMutated(t, 10*mutatedReplies, 2)
}
