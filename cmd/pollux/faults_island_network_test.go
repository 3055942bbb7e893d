//go:build faults

package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollux/polluxtest"
)

// Networks that a test can cut. They are network namespaces without a name,
// which end with the last process in them: nothing of them is left, however the test ends.

const (
	ownNetwork = "TEST_IN_OWN_NETWORK" // variable of the environment: the test that runs in a namespace of its own

	mainlandAddress = "10.213.0.1" // of what stays together
	islandAddress   = "10.213.0.2" // of what can be cut off from it
	// The way by which an island reaches the devices and the database, and the
	// test the processes there. It is never cut.
	mainlandSide = "10.215.0.1"
	islandSide   = "10.215.0.2"
	sideDevices  = "10.214.0.0/16"
)

// inOwnNetwork runs a test once more, in a process with a network namespace of
// its own. It says whether this is that process; the other one has nothing left to do.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetwork) == t.Name() {
		return true
	}
	words := []string{"--net"}
	if os.Getuid() != 0 {
		words = append(words, "--user", "--map-root-user")
	}
	words = append(words, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	if deadline, limited := t.Deadline(); limited {
		words = append(words, "-test.timeout="+(time.Until(deadline)-10*time.Second).String())
	}
	inside := exec.Command("unshare", words...)
	inside.Env = append(os.Environ(), ownNetwork+"="+t.Name())
	inside.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := inside.StdoutPipe()
	must(t, err)
	inside.Stderr = inside.Stdout
	must(t, inside.Start())
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := inside.Wait(); err != nil {
		t.Errorf("in a network of its own: %v", err)
	}
	return false
}

// island is a network beside the test's own.
type island struct {
	t     *testing.T
	enter []string // before the command line of a process there
}

// newIsland makes an island and connects it. The test must run in a network of its own.
func newIsland(t *testing.T) *island {
	t.Helper()
	holder := exec.Command("unshare", "--net", "sh", "-c", "echo; exec cat") // ends when its input does, at the latest with this process
	input, err := holder.StdinPipe()
	must(t, err)
	output, err := holder.StdoutPipe()
	must(t, err)
	must(t, holder.Start())
	t.Cleanup(func() {
		_ = input.Close()
		_ = holder.Wait()
	})
	if _, err := io.ReadFull(output, make([]byte, 1)); err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	i := &island{t: t, enter: []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", holder.Process.Pid)}}
	for _, line := range []string{
		"link set lo up",
		"link add mainland type bridge",
		"address add " + mainlandAddress + "/24 dev mainland",
		"link set mainland up",
		fmt.Sprintf("link add ferry type veth peer name ferry netns %d", holder.Process.Pid),
		"link set ferry master mainland up",
		fmt.Sprintf("link add side type veth peer name side netns %d", holder.Process.Pid),
		"address add " + mainlandSide + "/24 dev side",
		"link set side up",
		"route add local " + sideDevices + " dev lo", // all of them are addresses of this machine
	} {
		i.ip(nil, line)
	}
	for _, line := range []string{
		"link set lo up",
		"address add " + islandAddress + "/24 dev ferry",
		"link set ferry up",
		"address add " + islandSide + "/24 dev side",
		"link set side up",
		"route add " + sideDevices + " via " + mainlandSide,
	} {
		i.ip(i.enter, line)
	}
	return i
}

func (i *island) ip(before []string, line string) {
	i.t.Helper()
	words := append(append(append([]string{}, before...), "ip"), strings.Fields(line)...)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		i.t.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

// cut parts the island from the mainland, without a word to either, and returns when.
func (i *island) cut() time.Time {
	i.t.Helper()
	i.ip(nil, "link set ferry down")
	return time.Now()
}

// heal connects them again, and returns when.
func (i *island) heal() time.Time {
	i.t.Helper()
	i.ip(nil, "link set ferry up")
	return time.Now()
}

// move lets a prepared command run on the island.
func (i *island) move(prepared *exec.Cmd) *exec.Cmd {
	i.t.Helper()
	path, err := exec.LookPath(i.enter[0])
	must(i.t, err)
	prepared.Path, prepared.Args = path, append(append([]string{}, i.enter...), prepared.Args...)
	return prepared
}

// first puts the first server of each kind on the island: the master and one Sentinel.
func (i *island) first(_ polluxtest.Kind, n int) (host string, before []string) {
	if n == 0 {
		return islandAddress, i.enter
	}
	return mainlandAddress, nil
}
