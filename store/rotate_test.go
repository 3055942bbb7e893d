package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/config"
	"pollux/device"
	"pollux/secret"
)

// rotations are tests that each change the key of a database of their own.
var rotations = []struct {
	name string
	run  func(t *testing.T, w *vault)
}{
	{"all secrets", rotateAll},
	{"secrets of credential sets", rotateSets},
	{"nodes that lack the key", rotateUnready},
	{"a dry run", rotateDry},
	{"secrets that do not open", rotateLost},
	{"writers at the same time", rotateWriters},
	{"a writer that has the key", rotateWaits},
	{"another rotation", rotateTwice},
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range rotations {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					w := &vault{t: t, config: database(t), old: newKey(t), next: newKey(t), secrets: map[int64][3]string{}}
					migrate(t, w.config, w.old)
					r.run(t, w)
				})
			}
		})
	}
}

// vault is a database whose key changes, and what is stored in it.
type vault struct {
	t         *testing.T
	config    config.Database
	old, next secret.Key

	mu      sync.Mutex
	secrets map[int64][3]string // by device, in the order of secretColumns
}

// open opens the database as a node with these keys does.
func (w *vault) open(key secret.Key, former ...secret.Key) *Store {
	w.t.Helper()
	s, err := Open(w.t.Context(), w.config, key.WithFormer(former...), quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// fill adds devices, every third of them with two passwords, and returns their number of secrets.
func (w *vault) fill(s *Store, devices int) (secrets int) {
	w.t.Helper()
	for i := range devices {
		d := described()
		d.Credentials.Community = secret.New(fmt.Sprintf("community of %d", i))
		if i%3 == 0 {
			d = v3Device()
			d.Credentials.AuthPassword = secret.New(fmt.Sprintf("auth password of %d", i))
			d.Credentials.PrivPassword = secret.New(fmt.Sprintf("privacy password of %d", i))
			secrets++
		}
		secrets++
		added, err := s.AddDevice(w.t.Context(), d)
		if err != nil {
			w.t.Errorf("add a device: %v", err) // not Fatal: writers of their own add too
			continue
		}
		w.keep(added)
	}
	return secrets
}

func (w *vault) keep(d device.Device) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := d.Credentials
	w.secrets[d.ID] = [3]string{c.Community.Reveal(), c.AuthPassword.Reveal(), c.PrivPassword.Reveal()}
}

// rows are the secrets as they stand in the database.
func (w *vault) rows(s *Store) (rows []secretsRow) {
	w.t.Helper()
	if err := sealedDevices.secretsOf(s.db).Scan(w.t.Context(), &rows); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// under fails the test unless every secret is whole and opens with one key alone, and with no other.
func (w *vault) under(s *Store, key, other secret.Key) {
	w.t.Helper()
	rows := w.rows(s)
	if len(rows) != len(w.secrets) || len(rows) == 0 {
		w.t.Errorf("%d devices, want %d", len(rows), len(w.secrets))
	}
	for _, row := range rows {
		for i, sealed := range []string{row.Community, row.AuthPassword, row.PrivPassword} {
			want, where := w.secrets[row.ID][i], sealedDevices.place(row.ID, secretColumns[i])
			if want == "" && sealed == "" {
				continue
			}
			if plain, err := key.Open(purpose, where, sealed); err != nil || plain.Reveal() != want {
				w.t.Errorf("%s is under %s, want %s: %v", where, secret.SealedWith(sealed), key.ID(), err)
			}
			if _, err := other.Open(purpose, where, sealed); !errors.Is(err, secret.ErrOpen) {
				w.t.Errorf("%s opens with the other key: %v", where, err)
			}
		}
	}
}

// keyEvents are the events of rotations, oldest first.
func (w *vault) keyEvents(s *Store) (list []string) {
	w.t.Helper()
	events, err := s.Events(w.t.Context(), EventFilter{Type: "key"})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range slices.Backward(events) {
		list = append(list, fmt.Sprintf("%s %s %s", e.Actor, e.Severity, e.Message))
	}
	return list
}

func ready(context.Context) error { return nil }

func rotate(t *testing.T, s *Store) Rotated {
	t.Helper()
	done, err := s.RotateKey(t.Context(), Rotation{Actor: "tester", Ready: ready})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func rotateAll(t *testing.T, w *vault) {
	const devices = 2*resealBatch + 3
	secrets := w.fill(w.open(w.old), devices)
	s := w.open(w.next, w.old)
	w.fill(s, 3) // while the former key is in force
	secrets += 4
	w.under(s, w.old, w.next)
	if use, err := s.KeyUse(t.Context()); err != nil || use.InForce != w.old.ID() || !maps.Equal(use.Secrets, map[string]int{w.old.ID(): secrets}) {
		t.Errorf("before: %+v, %v", use, err)
	}
	done := rotate(t, s)
	want := Rotated{From: w.old.ID(), To: w.next.ID(), Secrets: secrets, Devices: devices + 3}
	if fmt.Sprint(done) != fmt.Sprint(want) {
		t.Errorf("rotated %+v, want %+v", done, want)
	}
	w.under(s, w.next, w.old)
	if use, err := s.KeyUse(t.Context()); err != nil || use.InForce != w.next.ID() || use.NotUnder(w.next.ID()) != 0 || use.NotUnder("") != secrets {
		t.Errorf("after: %+v, %v", use, err)
	}
	if _, err := Open(t.Context(), w.config, w.old, quiet()); !errors.Is(err, ErrKeyMismatch) || !strings.Contains(err.Error(), w.next.ID()) {
		t.Errorf("opened with the former key: %v", err)
	}
	alone := w.open(w.next)
	for id := range w.secrets {
		if _, _, err := alone.PollTarget(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if again := rotate(t, alone); again.From != w.next.ID() || again.To != w.next.ID() || again.Secrets+again.Devices+again.Left != 0 {
		t.Errorf("a second time: %+v", again)
	}
	same(t, "events", w.keyEvents(s), []string{
		fmt.Sprintf("tester notice APP_KEY: key %s -> %s is in force", w.old.ID(), w.next.ID()),
		fmt.Sprintf("tester notice APP_KEY: %d secrets of %d devices sealed anew with key %s, 0 left under other keys", secrets, devices+3, w.next.ID()),
	})
}

// rotateSets holds that a set is under the new key as a device is, however many devices there are, and that one that does not open is named.
func rotateSets(t *testing.T, w *vault) {
	before := w.open(w.old)
	w.fill(before, 1)
	add := func(name string) device.CredentialSet {
		set, err := before.AddCredentialSet(t.Context(), v3Set(name), "alice")
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	good, spoilt := add("good"), add("spoilt")
	s := w.open(w.next, w.old)
	if _, err := s.db.NewUpdate().Table("credential_sets").Set("auth_password = priv_password").Where("id = ?", spoilt.ID).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, err := s.RotateKey(t.Context(), Rotation{Actor: "tester", Ready: ready})
	if !errors.Is(err, secret.ErrOpen) || done.Sets != 2 || done.Devices != 1 || done.Secrets != 5 || done.Left != 1 || done.Holders() != "1 devices and 2 credential sets" {
		t.Errorf("%+v, %v", done, err)
	}
	if want := []Unopened{{"credential set", spoilt.ID, "spoilt", "auth_password"}}; !slices.Equal(done.Unopened, want) {
		t.Errorf("unopened %+v, want %+v", done.Unopened, want)
	}
	if _, err := s.UpdateCredentialSet(t.Context(), "spoilt", func(c *device.CredentialSet) error {
		c.Credentials.AuthPassword = secret.New("another auth password")
		return nil
	}, "alice"); err != nil {
		t.Fatal(err)
	}
	rotate(t, s)
	alone := w.open(w.next)
	if use, err := alone.KeyUse(t.Context()); err != nil || use.NotUnder(w.next.ID()) != 0 || use.Secrets[w.next.ID()] != 6 {
		t.Errorf("%+v, %v", use, err)
	}
	again, err := alone.CredentialSet(t.Context(), "good")
	if err != nil || !again.Credentials.AuthPassword.Equal(good.Credentials.AuthPassword) || !again.Credentials.PrivPassword.Equal(good.Credentials.PrivPassword) {
		t.Errorf("after the rotation: %v", err)
	}
}

// A node without the new key must be able to open what it could, whenever it is noticed.
func rotateUnready(t *testing.T, w *vault) {
	before := w.open(w.old)
	secrets := w.fill(before, 4)
	s := w.open(w.next, w.old)
	lacking, asked := errors.New("node-7 lacks the key"), 0
	first := func(context.Context) error { asked++; return lacking }
	if _, err := s.RotateKey(t.Context(), Rotation{Ready: first}); !errors.Is(err, lacking) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	if use, err := s.KeyUse(t.Context()); err != nil || use.InForce != w.old.ID() {
		t.Errorf("the key in force changed: %+v, %v", use, err)
	}
	if len(w.keyEvents(s)) != 0 {
		t.Error("an event of what did not happen")
	}
	asked = 0
	second := func(context.Context) error {
		if asked++; asked == 2 {
			return lacking
		}
		return nil
	}
	done, err := s.RotateKey(t.Context(), Rotation{Ready: second})
	if !errors.Is(err, lacking) || !strings.Contains(err.Error(), w.next.ID()+" is in force") || done.Left != secrets {
		t.Errorf("%+v, %v", done, err)
	}
	w.under(s, w.old, w.next)
	for id := range w.secrets {
		if _, err := before.Device(t.Context(), id); err != nil {
			t.Errorf("the node with the former key: %v", err)
		}
	}
	if _, err := before.AddDevice(t.Context(), described()); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("the node with the former key seals: %v", err)
	}
	if err := before.Check(t.Context()); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("the node with the former key is content: %v", err)
	}
	secrets += w.fill(w.open(w.old, w.next), 1) // sealed with the key in force, whichever comes first
	if done := rotate(t, s); done.From != w.next.ID() || done.Secrets != secrets-2 {
		t.Errorf("the second run: %+v, want %d secrets", done, secrets-2)
	}
	w.under(s, w.next, w.old)
}

func rotateDry(t *testing.T, w *vault) {
	secrets := w.fill(w.open(w.old), resealBatch+2)
	s := w.open(w.next, w.old)
	before := fmt.Sprint(w.rows(s))
	done, err := s.RotateKey(t.Context(), Rotation{DryRun: true, Ready: ready})
	if err != nil || done.Secrets != secrets || done.Devices != resealBatch+2 || done.Left != secrets || done.From != w.old.ID() || done.To != w.next.ID() {
		t.Errorf("%+v, %v", done, err)
	}
	lacking := errors.New("node-7 lacks the key")
	if done, err = s.RotateKey(t.Context(), Rotation{DryRun: true, Ready: func(context.Context) error { return lacking }}); !errors.Is(err, lacking) || done.Secrets != secrets {
		t.Errorf("%+v, %v", done, err)
	}
	if after := fmt.Sprint(w.rows(s)); after != before {
		t.Error("the secrets changed")
	}
	if use, err := s.KeyUse(t.Context()); err != nil || use.InForce != w.old.ID() || len(w.keyEvents(s)) != 0 {
		t.Errorf("%+v, %v, events %v", use, err, w.keyEvents(s))
	}
}

func rotateLost(t *testing.T, w *vault) {
	w.fill(w.open(w.old), 6)
	s := w.open(w.next, w.old)
	rows, foreign := w.rows(s), newKey(t)
	sealed, err := foreign.Seal(purpose, sealedDevices.place(rows[1].ID, "community"), secret.New("community of 1"))
	if err != nil {
		t.Fatal(err)
	}
	for id, change := range map[int64][2]string{
		rows[0].ID: {"priv_password", rows[0].AuthPassword}, // moved
		rows[1].ID: {"community", sealed},
		rows[2].ID: {"community", "canary"}, // plain
	} {
		if _, err := s.db.NewUpdate().Table("devices").Set("? = ?", bun.Ident(change[0]), change[1]).Where("id = ?", id).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	unopened := []Unopened{
		{"device", rows[0].ID, rows[0].Title, "priv_password"}, {"device", rows[1].ID, rows[1].Title, "community"}, {"device", rows[2].ID, rows[2].Title, "community"},
	}
	for _, dry := range []bool{true, false} {
		done, err := s.RotateKey(t.Context(), Rotation{DryRun: dry, Ready: ready})
		if !errors.Is(err, secret.ErrOpen) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "APP_PREVIOUS_KEYS") {
			t.Errorf("dry %t: %v", dry, err)
		}
		if !slices.Equal(done.Unopened, unopened) || done.Lost != 3 || done.Secrets != 5 || !dry && done.Left != 3 {
			t.Errorf("dry %t: %+v, want %+v", dry, done, unopened)
		}
	}
	if events := w.keyEvents(s); len(events) != 2 || !strings.Contains(events[1], "error") || !strings.Contains(events[1], "3 left") || strings.Contains(fmt.Sprint(events), "canary") {
		t.Errorf("events %v", events)
	}
	again := w.rows(s)
	if again[1].Community != sealed || again[2].Community != "canary" || again[0].PrivPassword != rows[0].AuthPassword {
		t.Error("what does not open was changed")
	}
	if _, err := s.db.NewDelete().Table("devices").Where("id IN (?)", bun.List([]int64{rows[0].ID, rows[2].ID})).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	delete(w.secrets, rows[0].ID)
	delete(w.secrets, rows[2].ID)
	if done := rotate(t, w.open(w.next, w.old, foreign)); done.Secrets != 1 || done.Left != 0 { // the missing key was found
		t.Errorf("%+v", done)
	}
	w.under(s, w.next, w.old)
}

// Nodes with either order of the keys write all the time; whatever they write is under the new key in the end.
func rotateWriters(t *testing.T, w *vault) {
	w.fill(w.open(w.old), 2*resealBatch)
	ids := slices.Sorted(maps.Keys(w.secrets))
	s := w.open(w.next, w.old)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	written := make(chan struct{}, 1000)
	nodes := []*Store{w.open(w.old, w.next), w.open(w.next, w.old), w.open(w.old, w.next)}
	for n, node := range nodes {
		own := ids[n*len(ids)/len(nodes) : (n+1)*len(ids)/len(nodes)] // so that the last to write a device is known
		writers.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				w.write(node, own[7*round%len(own)], fmt.Sprintf("round %d of writer %d", round, n))
				w.fill(node, 1)
				if _, _, err := node.PollTarget(t.Context(), ids[round%len(ids)]); err != nil {
					t.Errorf("poll target: %v", err)
				}
				select {
				case written <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 30 {
		<-written
	}
	done := rotate(t, s)
	for range 30 {
		<-written
	}
	stop()
	writers.Wait()
	t.Logf("%+v, %d devices in the end", done, len(w.secrets))
	if done.Devices < 2*resealBatch/2 {
		t.Errorf("only %d devices were sealed anew", done.Devices)
	}
	w.under(s, w.next, w.old)
}

func (w *vault) write(s *Store, id int64, text string) {
	d, err := s.UpdateDevice(w.t.Context(), id, func(d *device.Device) error {
		if d.Credentials.Community.IsEmpty() {
			d.Credentials.AuthPassword = secret.New(text)
		} else {
			d.Credentials.Community = secret.New(text)
		}
		return nil
	})
	if err != nil {
		w.t.Errorf("write: %v", err)
		return
	}
	w.keep(d)
}

// What was sealed with the former key is written before the key changes, however slow its writer is.
func rotateWaits(t *testing.T, w *vault) {
	slow := w.open(w.old, w.next)
	w.fill(slow, 2)
	id := slices.Max(slices.Collect(maps.Keys(w.secrets)))
	s := w.open(w.next, w.old)
	tx, err := slow.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := slow.keyInForce(t.Context(), tx)
	if err != nil || key.ID() != w.old.ID() {
		t.Fatalf("key %s, %v", key.ID(), err)
	}
	rotated := make(chan error, 1)
	go func() {
		_, err := s.RotateKey(t.Context(), Rotation{Ready: ready})
		rotated <- err
	}()
	select {
	case err := <-rotated:
		t.Errorf("the key changed under a writer: %v", err)
		rotated <- err
	case <-time.After(time.Second): // long enough for a rotation that does not wait
	}
	sealed, err := key.Seal(purpose, sealedDevices.place(id, "community"), secret.New("late"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.NewUpdate().Table("devices").Set("community = ?", sealed).Where("id = ?", id).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-rotated; err != nil {
		t.Fatal(err)
	}
	w.secrets[id] = [3]string{"late"}
	w.under(s, w.next, w.old)
}

// Of two rotations to two keys the later one counts, and no secret is under a third key.
func rotateTwice(t *testing.T, w *vault) {
	w.fill(w.open(w.old), 3)
	third, asked := newKey(t), 0
	s, other := w.open(w.next, w.old), w.open(third, w.next, w.old)
	_, err := s.RotateKey(t.Context(), Rotation{Ready: func(context.Context) error {
		if asked++; asked == 2 {
			return other.putInForce(t.Context(), "other")
		}
		return nil
	}})
	if !errors.Is(err, ErrKeyMismatch) || !strings.Contains(err.Error(), third.ID()) {
		t.Errorf("superseded: %v", err)
	}
	w.under(other, w.old, w.next)
	rotate(t, other)
	w.under(other, third, w.old)
	if _, err := s.RotateKey(t.Context(), Rotation{Ready: ready}); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("without the key in force: %v", err)
	}
}
