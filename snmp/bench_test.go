package snmp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// responderVariable makes the test binary a responder in a process of its own,
// so that the benchmark's CPU time is the client's alone.
const responderVariable = "POLLUX_TEST_RESPONDER"

func TestMain(m *testing.M) {
	if os.Getenv(responderVariable) != "" {
		if err := runResponder(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// benchColumns are what a 48-port switch is read for: ifTable 2,3,7,8,9,13,14,19,20, ifXTable 1,6-13,15,18.
func benchColumns() (columns []OID) {
	for _, c := range []uint32{2, 3, 7, 8, 9, 13, 14, 19, 20} {
		columns = append(columns, OID("1.3.6.1.2.1.2.2.1").Append(c))
	}
	for _, c := range []uint32{1, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18} {
		columns = append(columns, OID("1.3.6.1.2.1.31.1.1.1").Append(c))
	}
	return columns
}

func benchScalars() (scalars []OID) {
	for i := range uint32(8) {
		scalars = append(scalars, OID("1.3.6.1.2.1.1").Append(i+1, 0))
	}
	return scalars
}

func benchTree() tree {
	var all []gosnmp.SnmpPDU
	for _, s := range benchScalars() {
		all = append(all, text("."+string(s), "a system text"))
	}
	for i, c := range benchColumns() {
		for port := range uint32(48) {
			name := "." + string(c.Append(10101+port))
			switch {
			case i == 0 || i == 9 || i == 19:
				all = append(all, text(name, fmt.Sprintf("GigabitEthernet1/0/%d", port)))
			case strings.Contains(name, ".31.1.1.1.15."):
				all = append(all, gosnmp.SnmpPDU{Name: name, Type: gosnmp.Gauge32, Value: uint(1000)})
			case i > 9:
				all = append(all, gosnmp.SnmpPDU{Name: name, Type: gosnmp.Counter64, Value: uint64(1)<<40 + uint64(port)})
			default:
				all = append(all, number(name, 1000+uint(port)))
			}
		}
	}
	return newTree(all...)
}

// runResponder answers from a cache by the request's bytes behind its id, and ends with its parent.
func runResponder() error {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	fmt.Println(socket.LocalAddr().(*net.UDPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // whatever ends it
		socket.Close()
	}()
	mib, cache, buffer := benchTree(), map[string][]byte{}, make([]byte, maxMessage)
	for {
		n, from, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return nil
		}
		e, ok := parseEnvelope(buffer[:n])
		if !ok {
			continue
		}
		key := bytes.SplitN(buffer[:n], e.community, 2)[1][8:] // tag, length and id of a PDU are 8 bytes at most
		answer := cache[string(key)]
		if answer == nil {
			decoder := gosnmp.GoSNMP{Version: gosnmp.Version2c}
			packet, err := decoder.SnmpDecodePacket(bytes.Clone(buffer[:n]))
			if err != nil {
				return err
			}
			out := gosnmp.SnmpPacket{Version: gosnmp.Version2c, Community: packet.Community, PDUType: gosnmp.GetResponse,
				RequestID: 0x7fffffff, Variables: mib.answer(request{SnmpPacket: packet})}
			for {
				if answer, err = out.MarshalMsg(); err != nil {
					return err
				}
				if len(answer) <= 1472 {
					break
				}
				out.Variables = out.Variables[:len(out.Variables)-1] // cut as a real agent does
			}
			cache[string(key)] = answer
		}
		at := bytes.Index(answer, []byte{2, 4, 0x7f, 0xff, 0xff, 0xff}) + 2
		answer = bytes.Clone(answer)
		answer[at], answer[at+1], answer[at+2], answer[at+3] = byte(e.id>>24), byte(e.id>>16), byte(e.id>>8), byte(e.id)
		if _, err := socket.WriteToUDPAddrPort(answer, from); err != nil {
			return err
		}
	}
}

// startResponder starts this binary as a responder.
func startResponder(b *testing.B) Target {
	b.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), responderVariable+"=1")
	stdin, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stdin.Close(); child.Wait() }) //nolint:errcheck // its end is all that matters
	var port uint16
	if _, err := fmt.Fscan(stdout, &port); err != nil {
		b.Fatal(err)
	}
	return Target{Host: "127.0.0.1", Port: port, Timeout: time.Second,
		Credentials: Credentials{Version: V2c, Community: secret.New("public")}}
}

// pollOnce is a poll as the poller does it: a session, one GET, one table.
func pollOnce(target Target, columns, scalars []OID) (cells int, stats Stats, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := Dial(ctx, target, nil)
	if err != nil {
		return 0, stats, err
	}
	defer s.Close()
	if _, err := s.Get(ctx, scalars...); err != nil {
		return 0, stats, err
	}
	var sum uint64
	err = s.Table(ctx, TableRequest{Columns: columns, ExpectedRows: 48}, func(c Cell) {
		cells++
		if n, ok := c.Value.Uint(); ok {
			sum += n
		}
	})
	return cells, s.Stats(), err
}

// BenchmarkTable48Ports polls 20 columns of 48 ports and 8 scalars; cpu-us/op
// is the client's user and system time.
func BenchmarkTable48Ports(b *testing.B) {
	target, columns, scalars := startResponder(b), benchColumns(), benchScalars()
	b.ReportAllocs()
	before := processTime(b)
	requests := 0
	for b.Loop() {
		cells, stats, err := pollOnce(target, columns, scalars)
		if err != nil || cells != 960 {
			b.Fatalf("%d cells, error %v", cells, err)
		}
		requests = stats.Requests
	}
	b.ReportMetric(float64((processTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(requests), "pdus/op")
}

func processTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
