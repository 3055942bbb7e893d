package store

import (
	"context"

	"github.com/uptrace/bun"

	"pollux/secret"
)

// secretColumns are the columns that hold sealed secrets, in each of sealedTables.
var secretColumns = []string{"community", "auth_password", "priv_password"}

// maxKeyGroups bounds how many texts that begin differently are counted apart; a sound database has one per key.
const maxKeyGroups = 1000

// KeyUse says which key is in force and with which keys the stored secrets are sealed.
type KeyUse struct {
	InForce string         // id of the key that secrets are sealed with from now on
	Secrets map[string]int // how many are sealed with each key, by its id; "" for texts that are no sealed secrets
}

// NotUnder is how many secrets are not sealed with a key, by its id.
func (u KeyUse) NotUnder(id string) int {
	count := 0
	for other, n := range u.Secrets {
		if other != id {
			count += n
		}
	}
	return count
}

// KeyUse reads which key is in force and counts the secrets under each key. It
// does not open them. ErrKeyMismatch when this node does not have the key in force.
func (s *Store) KeyUse(ctx context.Context) (KeyUse, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	const doing = "count the secrets under each key"
	key, err := s.readKey(ctx, s.db, nil)
	if err != nil {
		return KeyUse{}, s.fail(doing, err)
	}
	use := KeyUse{InForce: key.ID(), Secrets: map[string]int{}}
	for _, table := range sealedTables {
		for _, column := range secretColumns {
			if err := s.countKeys(ctx, table, column, use.Secrets); err != nil {
				return KeyUse{}, s.fail(doing, err)
			}
		}
	}
	return use, nil
}

// countKeys adds how many secrets of a column are under each key.
func (s *Store) countKeys(ctx context.Context, table sealedTable, column string, count map[string]int) error {
	var groups []struct {
		Begin string `bun:"begins"`
		Count int    `bun:"secrets"`
	}
	err := s.db.NewSelect().Table(table.name).Where("? <> ''", bun.Ident(column)).
		ColumnExpr("SUBSTR(?, 1, 12) AS begins", bun.Ident(column)).ColumnExpr("COUNT(*) AS secrets").
		Group("begins").Order("begins DESC").Limit(maxKeyGroups).Scan(ctx, &groups)
	for _, group := range groups {
		count[secret.SealedWith(group.Begin)] += group.Count
	}
	return err
}
