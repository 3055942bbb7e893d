package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/uptrace/bun"

	"pollux/config"
	"pollux/polluxtest"
)

var servers = map[string]func(testing.TB) config.Database{"mysql": polluxtest.MariaDB, "pgsql": polluxtest.PostgreSQL}

// proxy passes connections on to a server, and can cut them.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     []net.Conn
}

func newProxy(t *testing.T, c config.Database) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: fmt.Sprintf("%s:%d", c.Host, c.Port)}
	go p.accept()
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		go p.copy(client, server)
		go p.copy(server, client)
	}
}

func (p *proxy) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
}

// cut breaks every connection; new ones work.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.open {
		_ = conn.Close()
	}
	p.open = nil
}

// stop breaks every connection and takes no new ones.
func (p *proxy) stop() {
	_ = p.listener.Close()
	p.cut()
}

func (p *proxy) port() uint16 { return uint16(p.listener.Addr().(*net.TCPAddr).Port) }

func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	for name, database := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := database(t)
			p := newProxy(t, c)
			c.Port = p.port()
			e := openEngine(t, c)
			d := added(t, e)
			for n := range 3 {
				p.cut()
				save(t, e, pollOf(d, n)) // on a connection that broke while it was idle
			}
			// A connection that breaks inside the transaction: the work is done again.
			runs := 0
			err := e.tx(t.Context(), "test", func(ctx context.Context, tx bun.Tx) error {
				if runs++; runs == 1 {
					p.cut()
				}
				return beginOutage(ctx, tx, d.ID, 1)
			})
			if written := outages(t, e, d.ID); err != nil || runs != 2 || len(written) != 1 {
				t.Errorf("%d runs, %v, outages %v", runs, err, written)
			}
			p.stop()
			for what, err := range map[string]error{
				"save": e.SavePoll(t.Context(), pollOf(d, 9)), "ping": e.Ping(t.Context()),
				"read": func() error { _, err := e.Device(t.Context(), d.ID); return err }(),
			} {
				if !errors.Is(err, ErrUnavailable) {
					t.Errorf("%s without a server: %v", what, err)
				}
			}
		})
	}
}

// A server that accepts connections but never answers must not hold anybody.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, connection := range []string{config.MySQL, config.PostgreSQL} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		c := config.Database{Connection: connection, Host: "127.0.0.1", Port: uint16(listener.Addr().(*net.TCPAddr).Port), Name: "n", Username: "u"}
		if _, err := Open(ctx, c, newKey(t), quiet()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", connection, err)
		}
	}
}

func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, database := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			a, b := added(t, e), added(t, e)
			var firstTries sync.WaitGroup
			firstTries.Add(2)
			both := make(chan error, 2)
			for _, order := range [][2]int64{{a.ID, b.ID}, {b.ID, a.ID}} {
				go func() {
					runs := 0
					both <- e.tx(t.Context(), "test", func(ctx context.Context, tx bun.Tx) error {
						runs++
						for i, id := range order {
							if _, err := tx.NewUpdate().Table("devices").Set("retries = retries + 1").Where("id = ?", id).Exec(ctx); err != nil {
								return err
							}
							if runs == 1 && i == 0 { // both hold one row and want the other's
								firstTries.Done()
								firstTries.Wait()
							}
						}
						return nil
					})
				}()
			}
			for range 2 {
				if err := <-both; err != nil {
					t.Error(err)
				}
			}
			for _, id := range []int64{a.ID, b.ID} {
				if got := reread(t, e, id).Retries; got != a.Retries+2 {
					t.Errorf("retries of %d: %d, want %d", id, got, a.Retries+2)
				}
			}
		})
	}
}

func TestTriesAreBounded(t *testing.T) {
	t.Parallel()
	e := openEngine(t, databases()["sqlite"](t))
	mine := errors.New("mine")
	for name, c := range map[string]struct {
		err  error
		runs int
	}{
		"deadlock": {&mysql.MySQLError{Number: 1213, Message: "Deadlock found"}, maxTries},
		"other":    {mine, 1},
	} {
		runs := 0
		err := e.tx(t.Context(), "test", func(context.Context, bun.Tx) error { runs++; return c.err })
		if !errors.Is(err, c.err) || runs != c.runs {
			t.Errorf("%s: %d runs, %v", name, runs, err)
		}
	}
}
