// Package store keeps the inventory and its state in SQL: devices, ports,
// poller groups, settings, nodes, events. One file per noun; the same code on
// MariaDB or MySQL, PostgreSQL and SQLite.
//
// It must not ask devices, must not decide what is due, and must not keep
// measurements: those go through the journal into RRD files. Credentials leave
// it opened only as secret.String, and reach the database only sealed.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/uptrace/bun"

	"pollux/config"
	"pollux/migrations"
	"pollux/secret"
)

// Store is the open database of a cluster. It is safe for concurrent use.
type Store struct {
	db    *bun.DB    // writes, and reads that must see them
	reads *bun.DB    // reads; the same as db except with SQLite
	key   secret.Key // the APP_KEY and former ones; keyInForce says which of them seals
	where string     // which database this is, for errors
	file  string     // of SQLite, else ""
	log   *slog.Logger
}

// Open connects to the database and checks that this node may use it. It waits
// 5 s at most for a server that does not answer. Errors: ErrUnavailable,
// ErrCredentials, ErrNoDatabase, ErrSchemaOld, ErrSchemaNew, ErrKeyMismatch.
func Open(ctx context.Context, c config.Database, key secret.Key, log *slog.Logger) (*Store, error) {
	s, err := open(ctx, c, key, log, false)
	if err != nil {
		return nil, err
	}
	if err := s.Check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func open(ctx context.Context, c config.Database, key secret.Key, log *slog.Logger, create bool) (*Store, error) {
	s := &Store{key: key, where: describe(c), log: log}
	if c.Connection == config.SQLite {
		s.file = c.Name
	}
	var err error
	if s.db, s.reads, err = connect(ctx, c, log, create); err != nil {
		return nil, s.fail("open the database", err)
	}
	return s, nil
}

// Server names the database and its server for people; no login is in it.
func (s *Store) Server() string { return s.where }

// Check says whether this node may use the database: ErrSchemaOld or
// ErrSchemaNew when it has another schema, ErrKeyMismatch when the key in force
// is neither the APP_KEY of this node nor a former one of it.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, err := s.migrations()
	if err != nil {
		return err
	}
	if err := m.Check(ctx); err != nil {
		return s.fail("check the schema", err)
	}
	id, err := m.Identity(ctx)
	if err != nil {
		return s.fail("read the identity of the cluster", err)
	}
	if err := m.CheckKey(id); err != nil {
		return s.fail("check APP_KEY", err)
	}
	return nil
}

func (s *Store) migrations() (*migrations.Migrator, error) {
	return migrations.New(s.db, migrations.Config{Key: s.key}, s.log)
}

// Close closes every connection.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.reads != s.db {
		err = errors.Join(err, s.reads.Close())
	}
	if err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// Ping asks whether the database answers; ErrUnavailable when it does not.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := s.db.PingContext(ctx); err != nil {
		return s.fail("ping", err)
	}
	return nil
}

// ClusterID is the random name of the cluster, 18 hexadecimal digits, made by the first migration.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var id string
	query := s.reads.NewSelect().Table("cluster_identity").Column("cluster_id").Where("id = 1")
	if err := query.Scan(ctx, &id); err != nil {
		return "", s.fail("read the id of the cluster", err)
	}
	return id, nil
}
