package main_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"pollux/config"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/secret"
	"pollux/snmp"
	"pollux/store"
)

// rotation is a deployment whose key changes.
type rotation struct {
	*deployment
	next secret.Key
	both *store.Store // opens what is under either key
}

func newRotation(d *deployment) *rotation {
	d.t.Helper()
	text, err := secret.GenerateKey()
	if err != nil {
		d.t.Fatal(err)
	}
	r := &rotation{deployment: d}
	if r.next, err = secret.ParseKey(text); err != nil {
		d.t.Fatal(err)
	}
	if r.both, err = store.Open(d.t.Context(), d.where, r.next.WithFormer(d.key), quiet()); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = r.both.Close() })
	return r
}

// variables are those of a node that has a key, and former ones.
func (r *rotation) variables(key secret.Key, former ...secret.Key) []string {
	var texts []string
	for _, one := range former {
		texts = append(texts, one.Text().Reveal())
	}
	return append(slices.Clone(r.env), "APP_KEY="+key.Text().Reveal(), "APP_PREVIOUS_KEYS="+strings.Join(texts, ","))
}

// refused fails the test unless a command ends with exit code 4 and says why in one line.
func (r *rotation) refused(environ []string, args ...string) {
	r.t.Helper()
	c := command(r.t, r.dir, environ, args...)
	var errout bytes.Buffer
	c.Stderr = &errout
	err := c.Run()
	if c.ProcessState.ExitCode() != 4 || !strings.Contains(errout.String(), "APP_KEY is not the one") || strings.Count(errout.String(), "\n") != 1 {
		r.t.Errorf("pollux %q: %v: %s", args, err, errout.Bytes())
	}
}

// openSQL opens the database as the tester does.
func openSQL(t testing.TB, d config.Database) *sql.DB {
	t.Helper()
	driver, source := "mysql", fmt.Sprintf("%s:%s@tcp(%s:%d)/%s", d.Username, d.Password.Reveal(), d.Host, d.Port, d.Name)
	if d.Connection == config.PostgreSQL {
		driver, source = "pgx", fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable", d.Host, d.Port, d.Username, d.Password.Reveal(), d.Name)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// opens counts the stored secrets that a key opens alone, and all of them.
func (r *rotation) opens(key secret.Key) (opened, all int) {
	r.t.Helper()
	rows, err := openSQL(r.t, r.where).Query("SELECT id, community, auth_password, priv_password FROM devices")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	columns := []string{"community", "auth_password", "priv_password"}
	for rows.Next() {
		var id int64
		sealed := make([]string, len(columns))
		if err := rows.Scan(&id, &sealed[0], &sealed[1], &sealed[2]); err != nil {
			r.t.Fatal(err)
		}
		for i, text := range sealed {
			if text == "" {
				continue
			}
			all++
			if _, err := key.Open("snmp", fmt.Sprintf("devices/%d/%s", id, columns[i]), text); err == nil {
				opened++
			}
		}
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return opened, all
}

// idle adds devices that are not polled, and returns their ids.
func (r *rotation) idle(devices int) []int64 {
	r.t.Helper()
	ids := make([]int64, devices)
	group, ctx := errgroup.WithContext(r.t.Context())
	group.SetLimit(adders)
	for i := range ids {
		group.Go(func() error {
			added, err := r.store.AddDevice(ctx, device.Device{
				Hostname: fmt.Sprintf("idle-%04d", i), Address: "127.0.0.1", Interval: 300, Disabled: true,
				Credentials: snmp.Credentials{Version: snmp.V2c, Community: secret.New(fmt.Sprintf("community %d", i))},
			})
			ids[i] = added.ID
			return err
		})
	}
	if err := group.Wait(); err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

const (
	rotateAuth = "rotate-auth-password"
	rotatePriv = "rotate-priv-password"
)

// TestKeyRotateUnderLoad changes APP_KEY as docs/how-to/rotate-key.md says, while
// two consumers poll v2c and v3 devices every 10 s. No poll fails for it.
func TestKeyRotateUnderLoad(t *testing.T) {
	t.Parallel()
	const devices, unpolled = 80, 600
	r := newRotation(deploy(t, polluxtest.MariaDB(t)))
	f := startFleet(t, r.dir, devices, 4, 10, 40*time.Millisecond,
		"--user", "monitor", "--auth-protocol", "SHA-256", "--auth-password", rotateAuth, "--privacy-protocol", "AES", "--privacy-password", rotatePriv)
	adding := time.Now()
	f.add(r.store)
	f.secure(r.store)
	r.idle(unpolled)
	running := r.roll(nil, "1", r.variables(r.key))
	consumers := newTotal(running[2], running[3])
	untilEvery(t, time.Second, 2*time.Minute, "two polls of each device", func() bool { return consumers.sum("pollux_polls_total") >= 2*devices })
	begin := time.Now()

	running = r.roll(running, "2", r.variables(r.next, r.key))
	consumers = newTotal(running[2], running[3])
	polls := consumers.sum("pollux_polls_total")
	began := time.Now()
	out := cli(t, r.dir, r.variables(r.next, r.key), "key", "rotate")
	t.Logf("rotated in %v, %.0f polls meanwhile:\n%s", time.Since(began).Round(time.Millisecond), consumers.sum("pollux_polls_total")-polls, out)
	if want := fmt.Sprintf("%d credentials of %d devices; left under another key: 0", devices+devices/2+unpolled, devices+unpolled); !strings.Contains(out, want) {
		t.Errorf("want %s", want)
	}
	polls = consumers.sum("pollux_polls_total")
	untilEvery(t, time.Second, 2*time.Minute, "two further polls of each device", func() bool { return consumers.sum("pollux_polls_total") >= polls+2*devices })

	running = r.roll(running, "3", r.variables(r.next))
	consumers = newTotal(running[2], running[3])
	untilEvery(t, time.Second, 2*time.Minute, "two polls of each device", func() bool { return consumers.sum("pollux_polls_total") >= 2*devices })
	end := time.Now()

	client := r.client()
	logged := f.checkJournal(journalEntries(t, client), span{adding, begin})
	missed, worst := f.missing(logged.up, begin, end)
	t.Logf("%d of %d slots from the first restart on were missed, at most %d of a device", len(missed), len(f.slots(begin, end)), worst)
	if len(missed) > 0 {
		t.Errorf("slots without a good poll: %v", some(missed))
	}
	checkQueues(t, client)
	r.checkOnlyUp()
	for _, p := range running {
		r.checkReads(p)
	}
	r.drain(running...)
	f.stop()
	f.polledTwice(f.reads(), logged)
	r.checkForgotten()
}

// secure makes every second device one of SNMPv3.
func (f *fleet) secure(s *store.Store) {
	f.t.Helper()
	for i := 0; i < f.devices; i += 2 {
		_, err := s.UpdateDevice(f.t.Context(), f.ids[i], func(d *device.Device) error {
			d.Credentials = snmp.Credentials{
				Version: snmp.V3, User: "monitor", AuthProtocol: "SHA-256", AuthPassword: secret.New(rotateAuth),
				PrivProtocol: "AES", PrivPassword: secret.New(rotatePriv),
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// roll stops one node after the other and starts it again with other variables:
// two producers and two consumers, which it returns in this order.
func (r *rotation) roll(running []*process, round string, environ []string) (next []*process) {
	r.t.Helper()
	for i, id := range []string{"p1", "p2", "c1", "c2"} {
		if running != nil {
			r.checkReads(running[i])
			r.drain(running[i])
		}
		role := map[byte]string{'p': "producer", 'c': "consumer"}[id[0]]
		next = append(next, start(r.t, r.dir, id+"-"+round, append(slices.Clone(environ), "NODE_ID="+id), role).ready())
	}
	return next
}

// checkReads fails the test when a node could not open what is stored: a
// consumer goes on with what it remembers then, as long as nobody restarts it.
func (r *rotation) checkReads(p *process) {
	r.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "APP_KEY") {
			r.t.Errorf("%s says: %s", p.name, line)
		}
	}
}

// checkOnlyUp fails the test when a device was anything but up.
func (r *rotation) checkOnlyUp() {
	r.t.Helper()
	for _, kind := range []string{"down", "auth"} {
		events, err := r.both.Events(r.t.Context(), store.EventFilter{Type: kind})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range events {
			r.t.Errorf("device %d: %s", e.DeviceID, e.Message)
		}
	}
}

// checkForgotten fails the test unless the former key is of no use any more.
func (r *rotation) checkForgotten() {
	r.t.Helper()
	if opened, all := r.opens(r.key); opened != 0 || all == 0 {
		r.t.Errorf("the former key opens %d of %d secrets", opened, all)
	}
	if opened, all := r.opens(r.next); opened != all {
		r.t.Errorf("the new key opens %d of %d secrets", opened, all)
	}
	file := filepath.Join(r.dir, "old.env")
	if err := os.WriteFile(file, []byte(strings.Join(r.env, "\n")+"\nNODE_ID=c1\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	for _, args := range [][]string{{"device", "list"}, {"consumer"}, {"producer"}, {"migrate", "up"}, {"key", "rotate"}, {"key", "rotate", "--prepare"}} {
		r.refused(nil, append([]string{"--env-file", file}, args...)...)
	}
	if list := cli(r.t, r.dir, r.variables(r.next), "device", "list"); !strings.Contains(list, "idle-") {
		r.t.Errorf("with the new key alone:\n%s", list)
	}
}

// TestKeyRotateIsKilled kills a rotation in the middle: every secret opens with
// both keys, and the next run finishes.
func TestKeyRotateIsKilled(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(testing.TB) config.Database{"MariaDB": polluxtest.MariaDB, "PostgreSQL": polluxtest.PostgreSQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const devices = 300
			r := newRotation(deploy(t, database(t)))
			ids := r.idle(devices)
			// Somebody else's lock on a device holds the rotation where it can be killed.
			tx, err := openSQL(t, r.where).BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(fmt.Sprintf("SELECT id FROM devices WHERE id = %d FOR UPDATE", ids[devices/2])); err != nil {
				t.Fatal(err)
			}
			p := start(t, r.dir, "rotate", r.variables(r.next, r.key), "key", "rotate")
			until(t, startLimit, "half of the secrets are under the new key", func() bool {
				opened, _ := r.opens(r.next)
				return opened >= devices/3
			})
			if !p.alive() {
				t.Fatal("the rotation did not wait for the lock")
			}
			p.end(syscall.SIGKILL)
			if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
				t.Error(err)
			}
			was, _ := r.opens(r.key)
			now, all := r.opens(r.next)
			t.Logf("killed with %d secrets under the former key and %d under the new one", was, now)
			if was == 0 || now == 0 || was+now != all || all != devices {
				t.Errorf("%d and %d of %d", was, now, all)
			}
			for _, id := range ids {
				if _, err := r.both.Device(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
			if use, err := r.both.KeyUse(t.Context()); err != nil || use.InForce != r.next.ID() {
				t.Errorf("in force is %s, %v", use.InForce, err)
			}
			r.refused(r.variables(r.key), "device", "list")
			out := cli(t, r.dir, r.variables(r.next, r.key), "key", "rotate")
			if want := fmt.Sprintf("%d credentials of %d devices; left under another key: 0", was, was); !strings.Contains(out, want) {
				t.Errorf("want %s:\n%s", want, out)
			}
			r.checkForgotten()
		})
	}
}
