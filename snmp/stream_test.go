package snmp

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

// TestStream is an agent over TCP that sends byte by byte, several messages at
// once, closes between requests, and junk.
func TestStream(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { listener.Close(); <-done })
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			serveStream(t, socket, n)
		}
	}()
	_, target := startScripted(t, func(request) [][]byte { return nil })
	target.Transport, target.Port, target.Retries = "tcp", uint16(listener.Addr().(*net.TCPAddr).Port), 2
	target.Timeout = 5 * time.Second
	s := dial(t, target)
	for range 4 {
		got, err := s.Get(t.Context(), "1.3.6.1.2.1.1.1.0")
		if err != nil || len(got[0].Value.Bytes()) != 20_000 {
			t.Fatalf("error %v", err)
		}
	}
}

// serveStream answers two requests of a connection; the second connection sends junk.
func serveStream(t *testing.T, socket net.Conn, connection int) {
	defer socket.Close()
	for range 2 {
		buffer := make([]byte, 1000)
		n, err := socket.Read(buffer)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			return
		}
		if connection == 2 {
			socket.Write([]byte("HTTP/1.1 400 Bad Request\r\n")) //nolint:errcheck // the client may hang up
			return
		}
		packet, err := (&gosnmp.GoSNMP{Version: gosnmp.Version2c}).SnmpDecodePacket(buffer[:n])
		if err != nil {
			t.Error(err)
			return
		}
		r := request{SnmpPacket: packet}
		stale := reply(t, r, nil, func(p *gosnmp.SnmpPacket) { p.RequestID = 0 })
		message := append(stale, reply(t, r, []gosnmp.SnmpPDU{text(".1.3.6.1.2.1.1.1.0", strings.Repeat("x", 20_000))})...)
		for _, part := range [][]byte{message[:1], message[1:3], message[3:50], message[50:17_000], message[17_000:]} {
			if _, err := socket.Write(part); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// TestStreamAway wants an agent that has gone to be no answer, after all the time that it was given.
func TestStreamAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, target := startScripted(t, func(request) [][]byte { return nil })
	target.Transport, target.Port = "tcp", uint16(listener.Addr().(*net.TCPAddr).Port)
	s := dial(t, target)
	socket, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	socket.Close()
	begin := time.Now()
	_, err = s.Probe(t.Context(), "1.3.6.1.2.1.1.3.0", 3, 50*time.Millisecond)
	checkError(t, err, ErrTimeout)
	if d := time.Since(begin); d < 150*time.Millisecond {
		t.Errorf("given up after %v", d)
	}
}
