//go:build faults

package main_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const politeName = "POLL_MUTATED_REPLIES"

// TestDataMutatedReplies is TestMutatedReplies with a million of them. It takes
// all the cores that it gets, so a process of its own does it with the lowest
// priority: other tests beside it judge how late polls begin.
func TestDataMutatedReplies(t *testing.T) {
	t.Parallel()
	if os.Getenv(politeName) == "1" {
		pollMutated(t, 10*mutatedReplies, 2)
		return
	}
	polite := exec.Command("nice", "-n", "19", os.Args[0], "-test.run=^TestDataMutatedReplies$", "-test.v", "-test.timeout=25m")
	polite.Env = append(os.Environ(), politeName+"=1")
	polite.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := polite.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the process that polls: %v", err)
	}
}
