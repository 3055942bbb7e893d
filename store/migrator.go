package store

import (
	"context"
	"errors"
	"log/slog"

	"pollux/config"
	"pollux/migrations"
	"pollux/secret"
)

// Migrator changes the schema of a database that Open may refuse.
type Migrator struct {
	*migrations.Migrator
	store *Store
}

// OpenMigrator connects to a database of any schema, an empty one included. With
// SQLite it makes the file (mode 0600). Errors: ErrUnavailable, ErrCredentials, ErrNoDatabase.
func OpenMigrator(ctx context.Context, c config.Database, key secret.Key, log *slog.Logger) (*Migrator, error) {
	s, err := open(ctx, c, key, log, true)
	if err != nil {
		return nil, err
	}
	m, err := s.migrations()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Migrator{Migrator: m, store: s}, nil
}

// Close closes every connection.
func (m *Migrator) Close() error { return m.store.Close() }
