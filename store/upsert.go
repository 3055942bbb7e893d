package store

import (
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// upsert makes an INSERT overwrite the rows that have the same key (the names
// of its columns, separated by commas). Without columns all but the key are overwritten.
func (s *Store) upsert(q *bun.InsertQuery, key string, columns ...string) *bun.InsertQuery {
	q = q.Returning("NULL")
	assignment := "? = EXCLUDED.?"
	if s.db.Dialect().Name() == dialect.MySQL {
		q, assignment = q.On("DUPLICATE KEY UPDATE"), "? = VALUES(?)"
	} else {
		q = q.On("CONFLICT (" + key + ") DO UPDATE")
	}
	for _, column := range columns {
		q = q.Set(assignment, bun.Ident(column), bun.Ident(column))
	}
	return q
}
