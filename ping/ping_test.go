package ping_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
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
	lost, err := p.Echo(t.Context(), loopback, quick)
	if !errors.Is(err, ping.ErrSilent) || lost != (ping.Result{Sent: 3}) {
		t.Errorf("requests to a silent address: %+v, %v", lost, err)
	}
	sysctl(t, "icmp_echo_ignore_all", "0")
	echoes(t, p)
	if mode == ping.Raw {
		sysctl(t, "icmp_echo_ignore_all", "1")
		forged(t, p)
	}
}

// quick are three requests one after the other.
var quick = ping.Echo{Count: 3, Interval: 20 * time.Millisecond, Timeout: 200 * time.Millisecond}

// patient ones wait for all replies as long as it takes.
var patient = ping.Echo{Count: 3, Interval: time.Millisecond, Timeout: 20 * time.Second}

// echoes asks many addresses at the same time, of both families: each gets its own replies.
func echoes(t *testing.T, p *ping.Pinger) {
	t.Helper()
	all := []netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("::ffff:127.0.0.9")}
	for i := range 80 {
		all = append(all, netip.AddrFrom4([4]byte{127, 1, byte(i), 1}))
	}
	var group sync.WaitGroup
	for _, address := range all {
		group.Go(func() {
			got, err := p.Echo(t.Context(), address, patient)
			if err != nil || got.Sent != 3 || got.Received != 3 || got.Min <= 0 || got.Min > got.Avg || got.Avg > got.Max {
				t.Errorf("%s: %+v, %v", address, got, err)
			}
		})
	}
	group.Wait()
	// One that is answered beside one that is not, on the same socket.
	group.Go(func() {
		if got, err := p.Echo(t.Context(), netip.MustParseAddr("127.255.255.255"), quick); !errors.Is(err, ping.ErrSilent) || got.Received != 0 {
			t.Errorf("a broadcast: %+v, %v", got, err)
		}
	})
	if got, err := p.Echo(t.Context(), loopback, patient); err != nil || got.Received != 3 {
		t.Errorf("beside it: %+v, %v", got, err)
	}
	group.Wait()
}

// forged has a second socket answer for the kernel, which is silent: what does not
// fit in one way or another is no reply, and one that comes twice counts once.
func forged(t *testing.T, p *ping.Pinger) {
	t.Helper()
	for name, forge := range map[string]func(*icmp.Echo) (from string){
		"another nonce":      func(e *icmp.Echo) string { e.Data[15] ^= 1; return "127.0.0.1" },
		"no nonce":           func(e *icmp.Echo) string { e.Data = e.Data[:15]; return "127.0.0.1" },
		"another number":     func(e *icmp.Echo) string { e.Seq ^= 1; return "127.0.0.1" },
		"another identifier": func(e *icmp.Echo) string { e.ID ^= 1; return "127.0.0.1" },
		"another address":    func(*icmp.Echo) string { return "127.0.0.2" },
	} {
		if got := answered(t, p, forge); got.Received != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := answered(t, p, func(*icmp.Echo) string { return "127.0.0.1" }); got.Received != 3 {
		t.Errorf("right replies, each twice: %+v", got)
	}
}

// answered is what an Echo of the loopback address gets when each request is answered twice, as forge says.
func answered(t *testing.T, p *ping.Pinger, forge func(*icmp.Echo) (from string)) ping.Result {
	t.Helper()
	requests, err := icmp.ListenPacket("ip4:icmp", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, _, err := requests.ReadFrom(buffer)
			if err != nil {
				return // it is closed
			}
			request, err := icmp.ParseMessage(1, buffer[:n])
			if err != nil || request.Type != ipv4.ICMPTypeEcho {
				continue
			}
			echo := request.Body.(*icmp.Echo)
			from := forge(echo)
			reply, err := (&icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: echo}).Marshal(nil)
			if err != nil {
				t.Error(err)
				return
			}
			for range 2 {
				respond(t, from, reply)
			}
		}
	}()
	got, err := p.Echo(t.Context(), loopback, ping.Echo{Count: 3, Interval: 20 * time.Millisecond, Timeout: time.Second})
	if (err == nil) != (got.Received > 0) {
		t.Errorf("%+v, %v", got, err)
	}
	_ = requests.Close()
	<-done
	return got
}

// respond sends a packet from one loopback address to another.
func respond(t *testing.T, from string, packet []byte) {
	socket, err := net.DialIP("ip4:icmp", &net.IPAddr{IP: net.ParseIP(from)}, &net.IPAddr{IP: loopback.AsSlice()})
	if err != nil {
		t.Error(err)
		return
	}
	defer socket.Close()
	if _, err := socket.Write(packet); err != nil {
		t.Error(err)
	}
}

// TestNothingStaysOpen: sockets and goroutines go with the last one who asks.
func TestNothingStaysOpen(t *testing.T) {
	p := ping.Detect()
	if p.Mode() == ping.Off {
		t.Fatal("this test needs root, CAP_NET_RAW or a group inside net.ipv4.ping_group_range")
	}
	before := openFiles(t)
	for range 20 {
		if _, err := p.Echo(t.Context(), loopback, patient); err != nil {
			t.Fatal(err)
		}
	}
	if after := openFiles(t); after > before+1 { // the poller's own, at the first socket
		t.Errorf("%d open files, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// BenchmarkEcho asks 1,000 loopback addresses three times each, 50 at a time.
func BenchmarkEcho(b *testing.B) {
	p, places := ping.Detect(), make(chan struct{}, 50)
	for b.Loop() {
		var group sync.WaitGroup
		for i := range 1000 {
			places <- struct{}{}
			group.Go(func() {
				defer func() { <-places }()
				if got, err := p.Echo(b.Context(), netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), patient); err != nil || got.Received != 3 {
					b.Errorf("%+v, %v", got, err)
				}
			})
		}
		group.Wait()
	}
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err == nil {
		b.ReportMetric(float64(used.Utime.Nano()+used.Stime.Nano())/1e9/float64(b.N), "cpu-s/op")
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
