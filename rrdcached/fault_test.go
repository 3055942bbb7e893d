package rrdcached

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestHangEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	hung, cancelled, limited := d.dial(), d.dial(), d.dial()
	for _, c := range []*Client{hung, cancelled, limited} {
		must(t, c.Ping(t.Context()))
	}
	d.stop()
	defer d.signal(syscall.SIGCONT)

	hung.timeout = 150 * time.Millisecond
	begun := time.Now()
	_, err := hung.Stats(context.Background())
	if took := time.Since(begun); took < 150*time.Millisecond || took > 2*time.Second {
		t.Errorf("the call took %v", took)
	}
	if !errors.Is(err, ErrConnection) || !errors.Is(err, os.ErrDeadlineExceeded) || Class(err) != "connection" {
		t.Errorf("hang: %v", err)
	}
	begun = time.Now()
	if err := hung.Ping(t.Context()); !errors.Is(err, ErrConnection) || time.Since(begun) > 50*time.Millisecond {
		t.Errorf("a call after the hang: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	begun = time.Now()
	if _, err := cancelled.Probe(ctx, []string{"a.rrd"}); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrConnection) {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := limited.Flush(ctx, "a.rrd"); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, ErrConnection) {
		t.Errorf("limited: %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("both took %v", took)
	}
}

// A context that ends during a call must not spoil the deadline of the next one.
func TestLateEndOfAContext(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c, kept := d.dial(), 0
	for i := range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i)*10*time.Microsecond, cancel)
		err := c.Ping(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("call %d: %v", i, err)
		}
		if errors.Is(err, ErrConnection) { // interrupted in the middle: as documented
			c = d.dial()
			continue
		}
		kept++
		must(t, c.Ping(t.Context()))
	}
	if kept == 0 {
		t.Error("no call went well")
	}
}

func TestDaemonKilledInMidBatch(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial()
	must(t, c.Create(t.Context(), "a.rrd", portSchema(10), at(0), ""))
	send(t, c, samples("a.rrd", 0, 1, 15))
	counted := c.Updates()
	d.stop()
	answered := make(chan error, 1)
	go func() {
		_, err := c.Batch(context.Background(), samples("a.rrd", 1, 400, 15))
		answered <- err
	}()
	d.kill()
	select {
	case err := <-answered:
		if !errors.Is(err, ErrConnection) || c.Updates() != counted {
			t.Errorf("batch: %v, %d updates counted", err, c.Updates())
		}
	case <-time.After(patience):
		t.Fatal("the batch still waits")
	}
	if _, err := Dial(t.Context(), d.address); !errors.Is(err, ErrConnection) {
		t.Errorf("dial to nobody: %v", err)
	}
}

// fakeDaemon answers each line it reads with what answer returns, and ends the connection on "".
func fakeDaemon(t *testing.T, answer func(line string) string) *Client {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			text := answer(lines.Text())
			if text == "" {
				return
			}
			if text != "-" {
				conn.Write([]byte(text))
			}
		}
	}()
	c, err := Dial(t.Context(), listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { c.Close(); listener.Close(); <-done })
	return c
}

// batchUntil lets a batch begin, and answers its third line with text.
func batchUntil(text string) func(string) string {
	batches, lines := 0, 0
	return func(line string) string {
		switch {
		case line == "BATCH":
			batches++
			return "0 Go ahead.\n"
		case batches == 1:
			return "0 errors\n"
		}
		if lines++; lines < 3 {
			return "-"
		}
		return text
	}
}

func TestConnectionEndsOnWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"end":                "",
		"half a line":        "2 err",
		"a foreign protocol": "HTTP/1.1 400 Bad Request\r\n\r\n",
		"an endless line":    "2 errors\n" + strings.Repeat("1", 3*maxReplyLine),
		"too many lines":     "99999999999 errors\n",
		"another line":       "1 errors\n9 No such file\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fakeDaemon(t, batchUntil(text))
			c.timeout = 300 * time.Millisecond
			_, err := c.Batch(t.Context(), samples("a.rrd", 0, 3, 2))
			if !errors.Is(err, ErrConnection) || len(err.Error()) > 600 {
				t.Errorf("%v", err)
			}
			if c.Updates() != 0 {
				t.Errorf("%d updates counted", c.Updates())
			}
			if err := c.Ping(t.Context()); !errors.Is(err, ErrConnection) {
				t.Errorf("ping after it: %v", err)
			}
		})
	}
	t.Run("more than was asked for", func(t *testing.T) {
		t.Parallel()
		c := fakeDaemon(t, func(string) string { return "0 PONG\n0 PONG\n" })
		must(t, c.Ping(t.Context()))
		if err := c.Ping(t.Context()); !errors.Is(err, ErrProtocol) || !errors.Is(err, ErrConnection) {
			t.Errorf("%v", err)
		}
	})
	t.Run("lines after a reply without", func(t *testing.T) {
		t.Parallel()
		c := fakeDaemon(t, func(string) string { return "2 lines\n" })
		if err := c.Ping(t.Context()); !errors.Is(err, ErrProtocol) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a batch that does not end", func(t *testing.T) {
		t.Parallel()
		c := fakeDaemon(t, func(line string) string {
			if line == "BATCH" {
				return "0 Go ahead.\n"
			}
			return "-1 Unknown command: .\n"
		})
		if _, err := c.Probe(t.Context(), []string{"a.rrd"}); !errors.Is(err, ErrConnection) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a time that is none", func(t *testing.T) {
		t.Parallel()
		c := fakeDaemon(t, func(string) string { return "0 yesterday\n" })
		if _, err := c.Last(t.Context(), "a.rrd"); !errors.Is(err, ErrProtocol) {
			t.Errorf("%v", err)
		}
	})
}

func TestFetchRefusesIntervals(t *testing.T) {
	t.Parallel()
	c := fakeDaemon(t, func(line string) string { t.Errorf("sent %q", line); return "" })
	for _, interval := range [][2]time.Time{{at(0), at(0)}, {at(1000), at(0)}, {time.Unix(0, 0), at(0)}, {time.Unix(1, 0), at(0)}, {{}, at(0)}, {at(0), time.Unix(maxTime+1, 0)}} {
		if _, err := c.Fetch(t.Context(), "a.rrd", "AVERAGE", interval[0], interval[1]); !errors.Is(err, ErrBadValue) {
			t.Errorf("%v: %v", interval, err)
		}
	}
	if _, err := c.Fetch(t.Context(), "a.rrd", "AVERAGE 1 2", at(0), at(1000)); !errors.Is(err, ErrBadValue) {
		t.Errorf("function: %v", err)
	}
	if _, err := c.Fetch(t.Context(), "../a.rrd", "AVERAGE", at(0), at(1000)); !errors.Is(err, ErrFile) {
		t.Errorf("file: %v", err)
	}
	for name, err := range map[string]error{"flush": c.Flush(t.Context(), "/a"), "forget": c.Forget(t.Context(), "a b"), "update": c.Update(t.Context(), Update{File: "a"})} {
		if Class(err) != "badvalue" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, errLast := c.Last(t.Context(), "")
	_, errInfo := c.Info(t.Context(), "a\n")
	if !errors.Is(errLast, ErrFile) || !errors.Is(errInfo, ErrFile) {
		t.Errorf("%v, %v", errLast, errInfo)
	}
}

// FLUSH says success while the daemon still writes the file; the new file must wait for the whole history.
func TestCreateWaitsForTheHistoryOfItsSource(t *testing.T) {
	t.Parallel()
	for name, writes := range map[string]int{"soon": 3, "never": 1_000_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, created := 0, ""
			batch := false
			c := fakeDaemon(t, func(line string) string {
				word, _, _ := strings.Cut(line, " ")
				switch {
				case word == "BATCH":
					batch = true
					return "0 Go ahead.\n"
				case word == "." && batch:
					batch = false
					if asked == 0 {
						asked++
						return "0 errors\n"
					}
					return "1 errors\n1 illegal attempt to update using time 1.000000 when last update time is 1795336460.700000 (minimum one second step)\n"
				case batch:
					return "-"
				case word == "INFO":
					if asked++; asked > writes {
						return strings.Replace(replyInfo, "1795336000", "1795336460", 1)
					}
					return replyInfo
				case word == "CREATE":
					created = line
					return "0 RRD created OK\n"
				}
				return "0 Successfully flushed.\n"
			})
			begun := time.Now()
			must(t, c.Create(t.Context(), "new.rrd", portSchema(60), at(0), "old.rrd"))
			if !strings.HasPrefix(created, fmt.Sprintf("CREATE new.rrd -r old.rrd -b %d -s 60 -O DS:", at(0).Unix())) {
				t.Errorf("sent %q", created)
			}
			if took := time.Since(begun); writes == 3 && asked != 4 || took > patience {
				t.Errorf("looked %d times, took %v", asked-1, took)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	c := fakeDaemon(t, func(line string) string { t.Errorf("sent %q", line); return "" })
	if err := c.Create(ctx, "new.rrd", portSchema(60), at(0), "old.rrd"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended context: %v", err)
	}
}
