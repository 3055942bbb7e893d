package store

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/snmp"
)

const (
	// maxSets bounds the credential sets: each may be tried on each new device.
	maxSets   = 200
	maxOrder  = 1_000_000
	orderStep = 10 // between a set and the one that is added after it, so that others fit in between
)

// setName are names that can stand in a list and on a command line.
var setName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// credentialSetRow is a row of credential_sets.
type credentialSetRow struct {
	bun.BaseModel `bun:"table:credential_sets"`

	ID           int64  `bun:"id,pk,autoincrement"`
	Name         string `bun:"name"`
	Order        int    `bun:"try_order"`
	SNMPVersion  string `bun:"snmp_version"`
	User         string `bun:"snmp_user"`
	AuthProtocol string `bun:"auth_protocol"`
	PrivProtocol string `bun:"priv_protocol"`
	Context      string `bun:"snmp_context"`
	sealedSecrets
	Groups    sql.NullString `bun:"poller_groups"`
	ChangedAt int64          `bun:"changed_at"`
}

func credentialSetRowOf(c device.CredentialSet) credentialSetRow {
	return credentialSetRow{
		ID: c.ID, Name: c.Name, Order: c.Order, SNMPVersion: string(c.Credentials.Version), User: c.Credentials.User, Context: c.Credentials.Context,
		AuthProtocol: c.Credentials.AuthProtocol, PrivProtocol: c.Credentials.PrivProtocol, Groups: joinGroups(c.Groups), ChangedAt: now(),
	}
}

// openedSet returns the row with its secrets, beside the error too, with those that open.
func (s *Store) openedSet(r *credentialSetRow) (device.CredentialSet, error) {
	set := device.CredentialSet{
		ID: r.ID, Name: r.Name, Order: r.Order, Groups: splitGroups(r.Groups), ChangedAt: fromMillis(r.ChangedAt),
		Credentials: snmp.Credentials{
			Version: snmp.Version(r.SNMPVersion), User: r.User, Context: r.Context, AuthProtocol: r.AuthProtocol, PrivProtocol: r.PrivProtocol,
		},
	}
	err := s.unseal(sealedSets, r.ID, r.sealedSecrets, &set.Credentials)
	set.Lost = err != nil
	return set, err
}

// CredentialSets lists the credential sets in the order in which they are
// tried. One whose secrets do not open comes without them, and is marked as lost.
func (s *Store) CredentialSets(ctx context.Context) ([]device.CredentialSet, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []credentialSetRow
	if err := s.reads.NewSelect().Model(&rows).Order("try_order", "name").Limit(maxSets).Scan(ctx); err != nil {
		return nil, s.fail("list the credential sets", err)
	}
	sets := make([]device.CredentialSet, len(rows))
	for i := range rows {
		sets[i], _ = s.openedSet(&rows[i]) // lost ones are marked
	}
	return sets, nil
}

// CredentialSet returns the set of a name. Errors: ErrNotFound, and
// secret.ErrOpen beside the set, without the secrets that do not open.
func (s *Store) CredentialSet(ctx context.Context, name string) (device.CredentialSet, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	doing := fmt.Sprintf("read the credential set %.80q", name)
	if !setName.MatchString(name) {
		return device.CredentialSet{}, s.fail(doing, ErrNotFound) // no set has such a name, and an engine might not take it
	}
	var row credentialSetRow
	if err := s.reads.NewSelect().Model(&row).Where("name = ?", name).Scan(ctx); err != nil {
		return device.CredentialSet{}, s.fail(doing, err)
	}
	set, err := s.openedSet(&row)
	if err != nil {
		return set, s.fail(doing, err)
	}
	return set, nil
}

// AddCredentialSet adds credentials that new devices are tried with, and writes
// an event that names who did it. An order of 0 means after all others. Errors:
// ErrInvalid, ErrDuplicate for the name, ErrNotFound for a poller group.
func (s *Store) AddCredentialSet(ctx context.Context, c device.CredentialSet, actor string) (device.CredentialSet, error) {
	doing := fmt.Sprintf("add the credential set %.80q", c.Name)
	if err := validateSet(c); err != nil {
		return device.CredentialSet{}, s.fail(doing, err)
	}
	var added device.CredentialSet
	err := s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		row := credentialSetRowOf(c)
		row.ID = 0
		key, err := s.keyInForce(ctx, tx)
		if err != nil {
			return err
		}
		if err := checkSet(ctx, tx, c); err != nil {
			return err
		}
		if row.Order == 0 {
			if row.Order, err = lastOrder(ctx, tx); err != nil {
				return err
			}
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			if duplicate(err) {
				return errAgain // somebody else took the name just now
			}
			return err
		}
		if row.sealedSecrets, err = seal(key, sealedSets, row.ID, c.Credentials); err != nil {
			return err
		}
		if err := sealedSets.write(ctx, tx, row.ID, row.sealedSecrets); err != nil {
			return err
		}
		if added, err = s.openedSet(&row); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{credentialEvent(actor, "credential set %s (%s) was added", c.Name, c.Credentials.Version)})
	})
	if err != nil {
		return device.CredentialSet{}, err
	}
	return added, nil
}

// UpdateCredentialSet changes a set, and writes an event that names who did it
// and never what the secrets are. change gets the set, without the secrets that do not open, and
// may run several times; its error ends everything. Errors: ErrNotFound,
// ErrInvalid, ErrDuplicate, and that of change.
func (s *Store) UpdateCredentialSet(ctx context.Context, name string, change func(*device.CredentialSet) error, actor string) (device.CredentialSet, error) {
	var changed device.CredentialSet
	err := s.tx(ctx, fmt.Sprintf("change the credential set %.80q", name), func(ctx context.Context, tx bun.Tx) error {
		key, err := s.keyInForce(ctx, tx)
		if err != nil {
			return err
		}
		old, err := s.lockedSet(ctx, tx, name)
		if err != nil {
			return err
		}
		set, lost := s.openedSet(&old)
		if err := change(&set); err != nil {
			return err
		}
		set.ID = old.ID
		if err := validateSet(set); err != nil {
			if lost != nil {
				return lost // what does not open is missing, unless the change brings another
			}
			return err
		}
		if err := checkSet(ctx, tx, set); err != nil {
			return err
		}
		row := credentialSetRowOf(set)
		if row.Order == 0 {
			row.Order = old.Order
		}
		if row.sealedSecrets, err = seal(key, sealedSets, row.ID, set.Credentials); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&row).ExcludeColumn("id").Where("id = ?", row.ID).Exec(ctx); err != nil {
			if duplicate(err) {
				return errAgain
			}
			return err
		}
		if changed, err = s.openedSet(&row); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{credentialEvent(actor, "credential set %s was changed%s", old.Name, renamed(old.Name, set.Name))})
	})
	if err != nil {
		return device.CredentialSet{}, err
	}
	return changed, nil
}

// RemoveCredentialSet removes a set, and writes an event that names who did it.
// Devices keep the credentials that they got from it. ErrNotFound when there is none.
func (s *Store) RemoveCredentialSet(ctx context.Context, name, actor string) error {
	return s.tx(ctx, fmt.Sprintf("remove the credential set %.80q", name), func(ctx context.Context, tx bun.Tx) error {
		row, err := s.lockedSet(ctx, tx, name)
		if err != nil {
			return err
		}
		if _, err := tx.NewDelete().Table("credential_sets").Where("id = ?", row.ID).Exec(ctx); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{credentialEvent(actor, "credential set %s was removed", row.Name)})
	})
}

// lockedSet reads a set, and keeps others from changing it until the transaction ends.
func (s *Store) lockedSet(ctx context.Context, tx bun.Tx, name string) (row credentialSetRow, err error) {
	if !setName.MatchString(name) {
		return row, ErrNotFound
	}
	err = s.locked(tx.NewSelect().Model(&row).Where("name = ?", name)).Scan(ctx)
	return row, err
}

// validateSet never puts a secret into its error.
func validateSet(c device.CredentialSet) error {
	switch {
	case !setName.MatchString(c.Name):
		return fmt.Errorf("%w name %.80q: want 1 to 64 letters, digits and . _ -, a letter or digit first", ErrInvalid, c.Name)
	case c.Order < 0 || c.Order > maxOrder:
		return fmt.Errorf("%w order: %d, want 1 to %d", ErrInvalid, c.Order, maxOrder)
	}
	return validateCredentials(c.Credentials)
}

// checkSet refuses a name that another set has, a group that does not exist, and one set too many.
func checkSet(ctx context.Context, tx bun.Tx, c device.CredentialSet) error {
	taken, err := tx.NewSelect().Table("credential_sets").Where("name = ?", c.Name).Where("id <> ?", c.ID).Count(ctx)
	if err != nil {
		return err
	}
	if taken > 0 {
		return fmt.Errorf("%w: a credential set with the name %s", ErrDuplicate, c.Name)
	}
	others, err := tx.NewSelect().Table("credential_sets").Where("id <> ?", c.ID).Count(ctx)
	if err != nil {
		return err
	}
	if others >= maxSets {
		return fmt.Errorf("%w number: there are %d credential sets already; each is tried on each new device, so remove some", ErrInvalid, others)
	}
	for _, group := range c.Groups {
		found, err := tx.NewSelect().Table("poller_groups").Where("id = ?", group).Count(ctx)
		if err != nil {
			return err
		}
		if found == 0 {
			return fmt.Errorf("poller group %d: %w", group, ErrNotFound)
		}
	}
	return nil
}

// lastOrder is that of a set which is to come after all others.
func lastOrder(ctx context.Context, tx bun.Tx) (int, error) {
	var last sql.NullInt64
	if err := tx.NewSelect().Table("credential_sets").ColumnExpr("MAX(try_order)").Scan(ctx, &last); err != nil {
		return 0, err
	}
	return min(int(last.Int64)+orderStep, maxOrder), nil
}

func renamed(from, to string) string {
	if from == to {
		return ""
	}
	return ", and is called " + to
}

func credentialEvent(actor, format string, args ...any) device.Event {
	return device.Event{
		Time: time.Now(), Type: "credential", Severity: device.SeverityNotice, Actor: actor, Message: fmt.Sprintf(format, args...),
	}
}

// unbindSets takes a poller group that goes out of the credential sets. One that
// was for this group alone is for none then, and not for all: its secrets must not go where nobody sent them.
func (s *Store) unbindSets(ctx context.Context, tx bun.Tx, group int64) error {
	var rows []credentialSetRow
	if err := s.locked(tx.NewSelect().Model(&rows).Column("id", "poller_groups").Where("poller_groups IS NOT NULL").Order("id")).Scan(ctx); err != nil {
		return err
	}
	for _, row := range rows {
		left, found := []int64{}, false
		for _, id := range splitGroups(row.Groups) {
			if id == group {
				found = true
			} else {
				left = append(left, id)
			}
		}
		if !found {
			continue
		}
		_, err := tx.NewUpdate().Table("credential_sets").Set("poller_groups = ?", joinGroups(left)).Where("id = ?", row.ID).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
