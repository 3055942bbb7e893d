package ping_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pollux/ping"
)

// asChild is the variable that names the mode which the process of a test is to find.
const asChild = "TEST_PING_AS"

var loopback = netip.MustParseAddr("127.0.0.1")

// TestModes runs a process for each mode, in a network namespace of its own with
// the rights that lead to it. The namespace goes with the process.
func TestModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []ping.Mode{ping.Raw, ping.UDP, ping.Off} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run=^TestInANamespace$", "-test.v", "-test.count=1")
			child.Env = append(os.Environ(), asChild+"="+string(mode))
			child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
			if os.Getuid() != 0 { // root of a user namespace
				child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
				child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
			}
			if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestInANamespace") {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// TestInANamespace is no test but in a process of TestModes.
func TestInANamespace(t *testing.T) {
	mode := ping.Mode(os.Getenv(asChild))
	if mode == "" {
		return
	}
	runtime.LockOSThread() // capabilities belong to the thread, and sockets are opened by this one
	raiseLoopback(t)
	groups := "1 0" // nobody, as the kernel has it
	if mode == ping.UDP {
		groups = "0 2147483647"
		if os.Getuid() != 0 {
			groups = "0 0"
		}
	}
	sysctl(t, "ping_group_range", groups)
	if mode != ping.Raw {
		dropRaw(t)
	}
	p := ping.Detect()
	if p.Mode() != mode {
		t.Fatalf("the mode is %s, want %s", p.Mode(), mode)
	}
	took, err := p.Ping(t.Context(), loopback, 3, 10*time.Second)
	if mode == ping.Off {
		if !errors.Is(err, ping.ErrOff) {
			t.Errorf("without rights: %v", err)
		}
		return
	}
	if err != nil || took <= 0 || took > 10*time.Second {
		t.Errorf("loopback: %v, %v", took, err)
	}
	if _, err := p.Ping(t.Context(), netip.MustParseAddr("192.0.2.1"), 2, time.Second); !errors.Is(err, ping.ErrSilent) || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("an address without a route: %v", err)
	}
	sysctl(t, "icmp_echo_ignore_all", "1")
	began := time.Now()
	if _, err := p.Ping(t.Context(), loopback, 3, 100*time.Millisecond); !errors.Is(err, ping.ErrSilent) || time.Since(began) < 300*time.Millisecond {
		t.Errorf("a silent address after %v: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := p.Ping(ctx, loopback, 1, time.Hour); !errors.Is(err, context.Canceled) || errors.Is(err, ping.ErrSilent) {
		t.Errorf("cancelled: %v", err)
	}
}

// raiseLoopback does what "ip link set lo up" does.
func raiseLoopback(t *testing.T) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatalf("raise the loopback interface: %v", err)
	}
}

// sysctl sets a value of this network namespace.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// dropRaw takes CAP_NET_RAW from this thread.
func dropRaw(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		t.Fatal(err)
	}
	sets[0].Effective &^= 1 << unix.CAP_NET_RAW
	sets[0].Permitted &^= 1 << unix.CAP_NET_RAW
	if err := unix.Capset(&header, &sets[0]); err != nil {
		t.Fatal(err)
	}
}
