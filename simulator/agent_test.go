package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

func TestEveryAddressOfARangeAnswersForItself(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.20.0.0/16:0", Devices: 10_000, Ports: 2})
	for device, address := range map[int]string{0: "127.20.0.1", 1: "127.20.0.2", 254: "127.20.0.255", 255: "127.20.1.0", 9_999: "127.20.39.16"} {
		if got := a.Addr(device).Addr().String(); got != address {
			t.Errorf("device %d is at %s, want %s", device, got, address)
		}
		p, err := client(t, a.Addr(device), gosnmp.Version2c).Get([]string{systemGroup + "5.0", ifEntry + "6.2"})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(p.Variables[0].Value.([]byte)), fmt.Sprintf("sim-%05d", device); got != want {
			t.Errorf("%s says that it is %s, want %s", address, got, want)
		}
		want := []byte{2, byte(device >> 16), byte(device >> 8), byte(device), 0, 2}
		if got := p.Variables[1].Value.([]byte); !slices.Equal(got, want) {
			t.Errorf("%s has the MAC address % x, want % x", address, got, want)
		}
	}
}

func TestNoAnswerOutsideTheRange(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.21.0.0/24:0", Devices: 3})
	request := ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, ifNumber+".0")
	for _, address := range []string{"127.21.0.0", "127.21.0.4", "127.21.1.1", "127.20.255.255", "127.0.0.1"} {
		throw(t, netip.AddrPortFrom(netip.MustParseAddr(address), a.Addr(0).Port()), request)
	}
	throw(t, a.Addr(0), []byte("nonsense"), ask(t, gosnmp.Version2c, gosnmp.GetResponse, 0, 0, ifNumber+".0"))
	eventually(t, "7 requests came", func() bool { return a.Stats().Requests == 7 })
	eventually(t, "7 requests were dropped", func() bool { return a.Stats().Dropped == 7 })
	if a.Stats().Replies != 0 {
		t.Errorf("%+v: there were replies", a.Stats())
	}
	if _, err := client(t, a.Addr(2), gosnmp.Version2c).Get([]string{ifNumber + ".0"}); err != nil {
		t.Errorf("the last device of the range: %v", err)
	}
}

func TestOnePortPerDevice(t *testing.T) {
	t.Parallel()
	for range 50 {
		low := 21_000 + rand.IntN(10_000)
		a, err := New(Config{Listen: "127.0.0.1", PortRange: fmt.Sprintf("%d-%d", low, low+19), Ports: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Addr(19) != netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(low+19)) {
			t.Errorf("device 19 is at %v", a.Addr(19))
		}
		if !free(t, low, low+19) {
			continue
		}
		t.Cleanup(run(t, a))
		for _, device := range []int{0, 7, 19} {
			p, err := client(t, a.Addr(device), gosnmp.Version2c).Get([]string{systemGroup + "5.0"})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(p.Variables[0].Value.([]byte)); got != fmt.Sprintf("sim-%05d", device) {
				t.Errorf("port of device %d answers for %s", device, got)
			}
		}
		return
	}
	t.Fatal("no 20 free ports in a row")
}

// free says whether all UDP ports from low to high of 127.0.0.1 are free.
func free(t *testing.T, low, high int) bool {
	t.Helper()
	for port := low; port <= high; port++ {
		conn, err := open(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)), false)
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	return true
}

func TestPortOfAnotherAgentIsRefused(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.22.0.0/16:0"})
	b, err := New(Config{Listen: fmt.Sprint("127.22.0.0/16:", a.Addr(0).Port())}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err = b.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second agent on the same port: %v", err)
	}
	if err = a.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("a second run: %v", err)
	}
}

func TestNetSNMPWalks(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.23.0.0/16:0", Ports: 4, Community: secret.New("frosty")})
	to := a.Addr(77).String()
	want := 8 + 4*(21+19) + 4
	for _, c := range []struct {
		lines int
		name  string
		args  []string
	}{
		{want - 4*8, "snmpwalk", []string{"-v1"}},
		{want, "snmpwalk", []string{"-v2c"}},
		{want, "snmpbulkwalk", []string{"-v2c", "-Cr50"}},
	} {
		out, ok := tool(t, c.name, append(c.args, "-c", "frosty", to, ".1")...)
		lines := strings.Count(out, "\n.1.") + 1 - strings.Count(out, "No more variables left")
		if !ok || lines != c.lines {
			t.Errorf("%s %v gives %d lines, want %d: %s", c.name, c.args, lines, c.lines, out)
		}
	}
	out, ok := tool(t, "snmpget", "-v2c", "-c", "frosty", to, systemGroup+"2.0", ifXEntry+"1.4", snmpEngine+"1.0", systemGroup+"8.0")
	for _, part := range []string{".1.3.6.1.4.1.8072.3.2.10", `"GigabitEthernet0/4"`, "80 00 1F 88 04 73 69 6D 2D 30 30 30 37 37", "No Such Object"} {
		if !ok || !strings.Contains(out, part) {
			t.Errorf("snmpget lacks %s: %s", part, out)
		}
	}
	if out, ok := tool(t, "snmpset", "-v2c", "-c", "frosty", to, systemGroup+"5.0", "s", "x"); ok || !strings.Contains(out, "notWritable") {
		t.Errorf("snmpset: %s", out)
	}
}

func TestAnsweredCountersAreTheModel(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{Listen: "127.24.0.0/16:0"},
		{Listen: "127.24.0.0/16:0", Pattern: "steps", StepLength: 50 * time.Millisecond},
		{Listen: "127.24.0.0/16:0", Latency: 60 * time.Millisecond, Jitter: 30 * time.Millisecond},
		{Listen: "127.24.0.0/16:0", Epoch: time.Now().Add(-time.Hour), RebootAt: time.Now().Add(-time.Second)},
	} {
		a := start(t, c)
		m := a.Model()
		g := client(t, a.Addr(300), gosnmp.Version2c)
		for range 5 {
			before := time.Now()
			p, err := g.Get([]string{ifXEntry + "6.7", ifXEntry + "10.48", systemGroup + "3.0"})
			after := time.Now()
			if err != nil {
				t.Fatal(err)
			}
			// With latency, the value is the one of the middle, so the window is narrower than the round trip.
			before, after = before.Add((c.Latency-c.Jitter)/2), after.Add(-(c.Latency-c.Jitter)/2)
			in, out := p.Variables[0].Value.(uint64), p.Variables[1].Value.(uint64)
			if in < m.Counter(300, 7, InOctets, before) || in > m.Counter(300, 7, InOctets, after) ||
				out < m.Counter(300, 48, OutOctets, before) || out > m.Counter(300, 48, OutOctets, after) {
				t.Errorf("%+v: counters %d and %d are not of the time they were asked for", c, in, out)
			}
			if up := p.Variables[2].Value.(uint32); up < m.SysUpTime(0, before) || up > m.SysUpTime(0, after) {
				t.Errorf("sysUpTime is %d, want %d to %d", up, m.SysUpTime(0, before), m.SysUpTime(0, after))
			}
		}
	}
}

func TestOnly32Bit(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.25.0.0/16:0", Only32Bit: true, Wrap: true})
	g := client(t, a.Addr(0), gosnmp.Version2c)
	before := time.Now()
	p, err := g.Get([]string{ifXEntry + "6.1", ifXEntry + "2.1", ifEntry + "10.1", ifXEntry + "15.1"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Variables[0].Type != gosnmp.NoSuchObject || p.Variables[1].Type != gosnmp.NoSuchObject || p.Variables[3].Value != uint(100) {
		t.Errorf("ifXTable of a 32-bit device: %v", p.Variables)
	}
	got := uint32(p.Variables[2].Value.(uint))
	low, high := uint32(a.Model().Counter(0, 1, InOctets, before)), uint32(a.Model().Counter(0, 1, InOctets, time.Now()))
	if got < low || got > high || low < 1<<31 {
		t.Errorf("ifInOctets is %d, want %d to %d, just below the wrap", got, low, high)
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.26.0.0/16:0", Latency: 40 * time.Millisecond, Jitter: 10 * time.Millisecond})
	begin := time.Now()
	var all sync.WaitGroup
	for device := range 20 {
		g := client(t, a.Addr(device), gosnmp.Version2c)
		all.Go(func() {
			if _, err := g.Get([]string{ifNumber + ".0"}); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took < 30*time.Millisecond {
				t.Errorf("a reply came after %v", took)
			}
		})
	}
	all.Wait()
}

func TestLoss(t *testing.T) {
	t.Parallel()
	const requests = 2000
	a := start(t, Config{Listen: "127.27.0.0/16:0", Loss: 0.25})
	request := ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, ifNumber+".0")
	for i := range requests / 10 {
		throw(t, a.Addr(i), slices.Repeat([][]byte{request}, 10)...)
		eventually(t, "the requests came", func() bool { return a.Stats().Requests == uint64(i+1)*10 })
	}
	eventually(t, "all are settled", func() bool { s := a.Stats(); return s.Replies+s.Dropped == requests })
	// 0.25 of 2000 with a standard deviation of 19: beyond 6 of them chance is out of question.
	if dropped := a.Stats().Dropped; dropped < 380 || dropped > 620 {
		t.Errorf("%d of %d requests were dropped, want about 500", dropped, requests)
	}
}

func TestDeadDevicesAreSilent(t *testing.T) {
	t.Parallel()
	a := start(t, Config{Listen: "127.28.0.0/16:0", Devices: 200, Dead: 0.5})
	request := ask(t, gosnmp.Version2c, gosnmp.GetRequest, 0, 0, ifNumber+".0")
	want := Stats{Requests: 200}
	for device := range 200 {
		if a.Model().Dead(device) {
			want.Dropped++
		} else {
			want.Replies++
		}
		throw(t, a.Addr(device), request)
	}
	eventually(t, "all are settled", func() bool { s := a.Stats(); return s.Replies+s.Dropped == 200 })
	if got := a.Stats(); got != want || want.Dropped < 60 || want.Replies < 60 {
		t.Errorf("%+v, want %+v", got, want)
	}
}
