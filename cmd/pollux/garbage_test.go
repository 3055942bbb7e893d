package main

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// responder answers every datagram with what reply makes of it.
func responder(t *testing.T, reply func(request []byte) [][]byte) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 65_536)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, answer := range reply(bytes.Clone(buffer[:n])) {
				_, _ = conn.WriteTo(answer, from) // one that is too long is not sent
			}
		}
	}()
	return conn.LocalAddr().String()
}

// asResponse makes the request its own response: only the type of the PDU differs.
func asResponse(request []byte) []byte {
	for i, b := range request {
		if (b == 0xa0 || b == 0xa1 || b == 0xa5) && i > 4 {
			request[i] = 0xa2
			break
		}
	}
	return request
}

// garbage are the ways to answer a request badly.
func garbage(noise [][]byte) map[string]func(request []byte) [][]byte {
	return map[string]func([]byte) [][]byte{
		"noise":   func([]byte) [][]byte { return noise },
		"nothing": func([]byte) [][]byte { return [][]byte{{}} },
		"length overflow": func([]byte) [][]byte {
			return [][]byte{append([]byte{0x30, 0x84}, bytes.Repeat([]byte{0xff}, 60_000)...)}
		},
		"endless nesting": func([]byte) [][]byte { return [][]byte{bytes.Repeat([]byte{0x30, 0x80}, 10_000)} },
		"the request":     func(request []byte) [][]byte { return [][]byte{request} },
		"half a response": func(request []byte) [][]byte { r := asResponse(request); return [][]byte{r[:len(r)/2]} },
		"another's": func(request []byte) [][]byte {
			return [][]byte{bytes.Replace(asResponse(request), []byte("CANARY"), []byte("canary"), 1)}
		},
		"only nulls": func(request []byte) [][]byte { return [][]byte{asResponse(request)} },
		"a mangled answer": func(request []byte) [][]byte {
			r := asResponse(request)
			r[len(r)-1] ^= 0x7f
			r[len(r)-3] = 0xff
			return [][]byte{r}
		},
	}
}

// A device that answers garbage is an error in one line, whatever it sends.
func TestInspectSurvivesGarbage(t *testing.T) {
	t.Parallel()
	s := newSite(t, "POLLUX_ENV_FILE=/dev/null")
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([][]byte, 200)
	for i := range noise {
		noise[i] = make([]byte, random.IntN(1500))
		for j := range noise[i] {
			noise[i][j] = byte(random.Uint32())
		}
		if i%2 == 0 && len(noise[i]) > 0 {
			noise[i][0] = 0x30
		}
	}
	for name, reply := range garbage(noise) {
		for _, credentials := range [][]string{
			{"-2", "-c", canaryCommunity}, {"-1", "-c", canaryCommunity}, {"-3", "-u", "monitor", "-A", canaryAuth, "-X", canaryPriv},
		} {
			t.Run(name+credentials[0], func(t *testing.T) {
				t.Parallel()
				address := responder(t, reply)
				args := append([]string{"inspect", address, "--timeout", "200ms", "--retries", "0"}, credentials...)
				r := s.in(t).call(args...)
				if r.code == exitOK || r.code == exitUsage {
					t.Errorf("exit code %d", r.code)
				}
				r.fails(r.code)
				if strings.Contains(r.errout, "runtime error") || strings.Contains(r.errout, "panic") {
					t.Error(r.errout)
				}
			})
		}
	}
}
