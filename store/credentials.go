package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"pollux/migrations"
	"pollux/secret"
	"pollux/snmp"
)

// purpose is what the key of SNMP credentials is derived for.
const purpose = "snmp"

// sealedTable is a table whose rows hold secrets.
type sealedTable struct {
	name   string
	title  string // column with the name of a row
	noun   string // what a row is, for people
	remedy string // the command that sets the secrets of a row anew
}

// The tables whose rows hold secrets. A rotation of the key goes through all of them.
var (
	sealedDevices = sealedTable{"devices", "hostname", "device", "pollux device set"}
	sealedSets    = sealedTable{"credential_sets", "name", "credential set", "pollux credential set"}
	sealedTables  = [...]sealedTable{sealedDevices, sealedSets}
)

// sealedSecrets are the secrets of a row as they stand in it.
type sealedSecrets struct {
	Community    string `bun:"community"`
	AuthPassword string `bun:"auth_password"`
	PrivPassword string `bun:"priv_password"`
}

// place binds a sealed secret to its row and column, so that it opens nowhere else.
func (t sealedTable) place(id int64, column string) string {
	return fmt.Sprintf("%s/%d/%s", t.name, id, column)
}

// What a SELECT ends with so that its row stays as it is until the transaction
// ends; a SQLite transaction holds the whole file. MariaDB knows no FOR SHARE.
var (
	forShare  = map[dialect.Name]string{dialect.MySQL: " LOCK IN SHARE MODE", dialect.PG: " FOR SHARE"}
	forUpdate = map[dialect.Name]string{dialect.MySQL: " FOR UPDATE", dialect.PG: " FOR UPDATE"}
)

// keyInForce is the key that secrets are sealed with. It stays in force until
// the transaction ends, so that no secret is sealed with a key that another one
// replaces meanwhile: RotateKey waits for such transactions, and those that come
// later see the new key. It must be asked for before a row of devices is locked,
// since all transactions take their locks in this order. ErrKeyMismatch when this node does not have it.
func (s *Store) keyInForce(ctx context.Context, tx bun.Tx) (secret.Key, error) {
	return s.readKey(ctx, tx, forShare)
}

func (s *Store) readKey(ctx context.Context, db bun.IDB, lock map[dialect.Name]string) (secret.Key, error) {
	var id migrations.Identity
	query := "SELECT key_id, key_check FROM cluster_identity WHERE id = 1" + lock[s.db.Dialect().Name()]
	if err := db.NewRaw(query).Scan(ctx, &id.KeyID, &id.KeyCheck); err != nil {
		return secret.Key{}, fmt.Errorf("read which key is in force: %w", err)
	}
	return migrations.InForce(s.key, id)
}

// seal seals the secrets of a row with a key, which is the one in force.
func seal(key secret.Key, table sealedTable, id int64, c snmp.Credentials) (sealedSecrets, error) {
	var sealed sealedSecrets
	for _, one := range []struct {
		column string
		plain  secret.String
		to     *string
	}{
		{"community", c.Community, &sealed.Community},
		{"auth_password", c.AuthPassword, &sealed.AuthPassword},
		{"priv_password", c.PrivPassword, &sealed.PrivPassword},
	} {
		if one.plain.IsEmpty() {
			continue
		}
		text, err := key.Seal(purpose, table.place(id, one.column), one.plain)
		if err != nil {
			return sealedSecrets{}, fmt.Errorf("seal the %s of %s %d: %w", one.column, table.noun, id, err)
		}
		*one.to = text
	}
	return sealed, nil
}

// unseal fills in the secrets that open; secret.ErrOpen names the first that was
// moved or changed, or sealed with a key that this node does not have.
func (s *Store) unseal(table sealedTable, id int64, sealed sealedSecrets, c *snmp.Credentials) (first error) {
	for _, one := range []struct {
		column string
		sealed string
		to     *secret.String
	}{
		{"community", sealed.Community, &c.Community},
		{"auth_password", sealed.AuthPassword, &c.AuthPassword},
		{"priv_password", sealed.PrivPassword, &c.PrivPassword},
	} {
		if one.sealed == "" {
			continue
		}
		plain, err := s.key.Open(purpose, table.place(id, one.column), one.sealed)
		if err != nil && first == nil {
			first = fmt.Errorf("open the %s of %s %d: %w; set it anew with %s, or put the key that it was sealed with into APP_PREVIOUS_KEYS", one.column, table.noun, id, err, table.remedy)
		}
		*one.to = plain
	}
	return first
}
