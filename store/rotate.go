package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/secret"
)

const (
	maxUnopened  = 1000 // secrets that are named
	resealBatch  = 50   // rows that one transaction locks, for about as many milliseconds
	resealRounds = 3    // times that all of them are gone through
)

// Rotation says how RotateKey is to work.
type Rotation struct {
	Actor  string // who changes the key, for the eventlog
	DryRun bool   // look and open, and change nothing
	// Ready says whether every process of the cluster has the new key; its error
	// ends the rotation. It is asked before the new key is put in force, and again
	// before the first secret is sealed with it anew: a process that started
	// meanwhile without the new key can then still open all that it could before.
	Ready func(context.Context) error
}

// Rotated is what a rotation did, or with DryRun would do.
type Rotated struct {
	From, To string     // ids of the keys in force before and after; the same when it was in force already
	Secrets  int        // that were sealed anew
	Devices  int        // that have them
	Sets     int        // credential sets that have them
	Left     int        // secrets that are still under another key
	Lost     int        // of those, how many none of this node's keys opens
	Unopened []Unopened // the first 1,000 of the lost ones
}

// Unopened is a secret that none of this node's keys opens, so that it stays as it is.
type Unopened struct {
	Of     string // device or credential set
	ID     int64
	Name   string // hostname, or name of the set
	Column string // community, auth_password or priv_password
}

// Holders are what the secrets belong to that were sealed anew, in words.
func (r Rotated) Holders() string {
	if r.Sets == 0 {
		return fmt.Sprintf("%d devices", r.Devices)
	}
	return fmt.Sprintf("%d devices and %d credential sets", r.Devices, r.Sets)
}

// RotateKey puts the APP_KEY of this node in force and seals every stored
// secret with it anew. The key in force before must be a former one of this node.
//
// First the identity of the cluster changes, which waits for transactions that
// seal a secret; from then on each seals with the new key. Then all rows are gone
// through in small transactions, so a run that was cut short leaves each secret
// under one of the two keys, and the next run goes on. What was done is returned
// beside an error. ErrKeyMismatch when this node does not have the key in
// force, secret.ErrOpen when secrets are left that none of its keys opens.
func (s *Store) RotateKey(ctx context.Context, r Rotation) (Rotated, error) {
	before, err := s.KeyUse(ctx)
	if err != nil {
		return Rotated{}, err
	}
	done := Rotated{From: before.InForce, To: s.key.ID(), Left: before.NotUnder(s.key.ID())}
	if done.From == done.To && done.Left == 0 {
		return done, nil
	}
	if r.DryRun {
		if err := s.resealAll(ctx, true, &done); err != nil {
			return done, err
		}
		return done, errors.Join(r.Ready(ctx), lostSecrets(done))
	}
	if err := r.Ready(ctx); err != nil {
		return done, err
	}
	if err := s.putInForce(ctx, r.Actor); err != nil {
		return done, err
	}
	if err := r.Ready(ctx); err != nil {
		return done, fmt.Errorf("key %s is in force, but the secrets stay under the one before until this is mended: %w", done.To, err)
	}
	for range resealRounds {
		if err := s.resealAll(ctx, false, &done); err != nil {
			return done, err
		}
		after, err := s.KeyUse(ctx)
		if err != nil {
			return done, err
		}
		if done.Left = after.NotUnder(done.To); done.Left <= done.Lost {
			break
		}
	}
	return done, s.reportRotation(ctx, r, done)
}

// putInForce makes the APP_KEY of this node the key that secrets are sealed with.
func (s *Store) putInForce(ctx context.Context, actor string) error {
	check, err := s.key.CheckValue()
	if err != nil {
		return fmt.Errorf("prepare the check of APP_KEY: %w", err)
	}
	return s.tx(ctx, "put the key "+s.key.ID()+" in force", func(ctx context.Context, tx bun.Tx) error {
		old, err := s.readKey(ctx, tx, forUpdate)
		if err != nil || old.ID() == s.key.ID() {
			return err
		}
		_, err = tx.NewUpdate().Table("cluster_identity").Set("key_id = ?", s.key.ID()).Set("key_check = ?", check).Where("id = 1").Exec(ctx)
		if err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{keyEvent(actor, device.SeverityNotice, fmt.Sprintf("APP_KEY: key %s -> %s is in force", old.ID(), s.key.ID()))})
	})
}

// resealAll goes once through all rows that have a secret under another key.
func (s *Store) resealAll(ctx context.Context, dryRun bool, done *Rotated) error {
	done.Lost, done.Unopened = 0, nil
	for _, table := range sealedTables {
		if err := s.resealTable(ctx, table, dryRun, done); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) resealTable(ctx context.Context, table sealedTable, dryRun bool, done *Rotated) error {
	for last := int64(0); ; {
		ids, err := s.underAnotherKey(ctx, table, last)
		if err != nil || len(ids) == 0 {
			return err
		}
		batch, err := s.reseal(ctx, table, ids, dryRun)
		if err != nil {
			return err
		}
		done.Secrets, done.Devices, done.Sets, done.Lost = done.Secrets+batch.Secrets, done.Devices+batch.Devices, done.Sets+batch.Sets, done.Lost+batch.Lost
		done.Unopened = append(done.Unopened, batch.Unopened[:min(len(batch.Unopened), maxUnopened-len(done.Unopened))]...)
		last = ids[len(ids)-1]
	}
}

// underAnotherKey lists rows in the order of their ids that have a secret which is not under the APP_KEY.
func (s *Store) underAnotherKey(ctx context.Context, table sealedTable, afterID int64) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var ids []int64
	query := s.db.NewSelect().Table(table.name).Column("id").Where("id > ?", afterID).Order("id").Limit(resealBatch)
	query = query.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		for _, column := range secretColumns {
			q = q.WhereOr("? <> '' AND ? NOT LIKE ?", bun.Ident(column), bun.Ident(column), "v1:"+s.key.ID()+":%")
		}
		return q
	})
	if err := query.Scan(ctx, &ids); err != nil {
		return nil, s.fail("look for secrets under another key", err)
	}
	return ids, nil
}

// secretsRow is what a rotation deals with of a row.
type secretsRow struct {
	ID    int64  `bun:"id"`
	Title string `bun:"title"`
	sealedSecrets
}

// secretsOf reads what a rotation deals with.
func (t sealedTable) secretsOf(db bun.IDB) *bun.SelectQuery {
	return db.NewSelect().Table(t.name).Column("id").ColumnExpr("? AS title", bun.Ident(t.title)).Column(secretColumns...).Order("id")
}

// reseal seals the secrets of some rows anew, in one transaction, or only opens them.
func (s *Store) reseal(ctx context.Context, table sealedTable, ids []int64, dryRun bool) (done Rotated, err error) {
	err = s.tx(ctx, "seal secrets with the key "+s.key.ID(), func(ctx context.Context, tx bun.Tx) error {
		done = Rotated{}
		var rows []secretsRow
		query := table.secretsOf(tx).Where("id IN (?)", bun.List(ids))
		if !dryRun {
			key, err := s.keyInForce(ctx, tx)
			if err != nil {
				return err
			}
			if key.ID() != s.key.ID() {
				return fmt.Errorf("%w: another rotation put the key %s in force; let it finish", ErrKeyMismatch, key.ID())
			}
			query = s.locked(query)
		}
		if err := query.Scan(ctx, &rows); err != nil {
			return err
		}
		for i := range rows {
			sealed, err := s.resealRow(table, &rows[i], &done)
			if err != nil {
				return err
			}
			if sealed == 0 || dryRun {
				continue
			}
			if err := table.write(ctx, tx, rows[i].ID, rows[i].sealedSecrets); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}

// write writes the secrets of a row.
func (t sealedTable) write(ctx context.Context, tx bun.Tx, id int64, sealed sealedSecrets) error {
	_, err := tx.NewUpdate().Table(t.name).Set("community = ?", sealed.Community).Set("auth_password = ?", sealed.AuthPassword).
		Set("priv_password = ?", sealed.PrivPassword).Where("id = ?", id).Exec(ctx)
	return err
}

// resealRow replaces the secrets of a row that are under another key, and opens
// each with the new key alone: a mistake of this program or of the machine must not cost a secret.
func (s *Store) resealRow(table sealedTable, row *secretsRow, done *Rotated) (sealed int, err error) {
	key, _ := s.key.Named(s.key.ID())
	for i, text := range []*string{&row.Community, &row.AuthPassword, &row.PrivPassword} {
		column := secretColumns[i]
		if *text == "" || secret.SealedWith(*text) == key.ID() {
			continue
		}
		place := table.place(row.ID, column)
		plain, err := s.key.Open(purpose, place, *text)
		if err != nil {
			done.Lost++
			done.Unopened = append(done.Unopened, Unopened{Of: table.noun, ID: row.ID, Name: row.Title, Column: column})
			continue
		}
		anew, err := key.Seal(purpose, place, plain)
		if err != nil {
			return 0, fmt.Errorf("seal the %s of %s %d: %w", column, table.noun, row.ID, err)
		}
		if again, err := key.Open(purpose, place, anew); err != nil || !again.Equal(plain) {
			return 0, fmt.Errorf("seal the %s of %s %d: what was sealed does not open; it is not written", column, table.noun, row.ID)
		}
		*text = anew
		sealed++
	}
	if sealed > 0 {
		done.Secrets += sealed
		if table == sealedDevices {
			done.Devices++
		} else {
			done.Sets++
		}
	}
	return sealed, nil
}

// reportRotation writes the event of a rotation that went through, and says what is left.
func (s *Store) reportRotation(ctx context.Context, r Rotation, done Rotated) error {
	severity := device.SeverityNotice
	if done.Left > 0 {
		severity = device.SeverityError
	}
	event := keyEvent(r.Actor, severity, fmt.Sprintf("APP_KEY: %d secrets of %s sealed anew with key %s, %d left under other keys", done.Secrets, done.Holders(), done.To, done.Left))
	if err := s.AddEvent(ctx, event); err != nil {
		return err
	}
	if done.Left > done.Lost {
		return fmt.Errorf("%d secrets are still under another key; keep the former keys and run this again", done.Left)
	}
	return lostSecrets(done)
}

// lostSecrets is the error for secrets that a rotation could not open.
func lostSecrets(done Rotated) error {
	if done.Lost == 0 {
		return nil
	}
	return fmt.Errorf("%d secrets stay as they are: %w; keep the former keys; put the one that these were sealed with into APP_PREVIOUS_KEYS and run this again, or set them anew with pollux device set and pollux credential set", done.Lost, secret.ErrOpen)
}

func keyEvent(actor string, severity device.Severity, message string) device.Event {
	return device.Event{Time: time.Now(), Type: "key", Severity: severity, Actor: actor, Message: message}
}
