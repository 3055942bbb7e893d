package migrations

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ErrKey says that the database was made with another APP_KEY, so that no credential in it could be opened.
var ErrKey = errors.New("APP_KEY is not the one that this database was made with; copy APP_KEY from the .env of a node that works")

// clusterIDBytes makes the 18 hexadecimal digits that fit, behind one letter, into the name of an RRD source (19 characters).
const clusterIDBytes = 9

// Identity is what the first migration wrote down of the cluster.
type Identity struct {
	ClusterID string // 18 random hexadecimal digits
	KeyID     string // secret.Key.ID of the APP_KEY
	KeyCheck  string // secret.Key.CheckValue of the APP_KEY
}

// Identity reads the cluster's identity. Before the first migration it is ErrOld.
func (m *Migrator) Identity(ctx context.Context) (Identity, error) {
	var id Identity
	row := m.db.NewRaw("SELECT cluster_id, key_id, key_check FROM cluster_identity WHERE id = 1")
	err := row.Scan(ctx, &id.ClusterID, &id.KeyID, &id.KeyCheck)
	if errors.Is(err, sql.ErrNoRows) {
		return Identity{}, ErrOld
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read the identity of the cluster: %w", err)
	}
	return id, nil
}

// CheckKey returns ErrKey when the database was made with another APP_KEY.
func (m *Migrator) CheckKey(id Identity) error {
	if subtle.ConstantTimeCompare([]byte(id.KeyCheck), []byte(m.config.KeyCheck)) == 1 {
		return nil
	}
	return fmt.Errorf("%w (database: key %s, this node: key %s)", ErrKey, id.KeyID, m.config.KeyID)
}

// checkKey refuses another APP_KEY before anything is migrated; an empty database takes any.
func (m *Migrator) checkKey(ctx context.Context) error {
	exists, err := m.tableExists(ctx, "cluster_identity")
	if err != nil || !exists {
		return err
	}
	id, err := m.Identity(ctx)
	if errors.Is(err, ErrOld) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.CheckKey(id)
}

func (m *Migrator) ensureIdentity(ctx context.Context) error {
	_, err := m.Identity(ctx)
	if !errors.Is(err, ErrOld) {
		return err
	}
	random := make([]byte, clusterIDBytes)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("read random bytes: %w", err)
	}
	_, err = m.db.NewRaw("INSERT INTO cluster_identity (id, cluster_id, key_id, key_check, created_at) VALUES (1, ?, ?, ?, ?)",
		hex.EncodeToString(random), m.config.KeyID, m.config.KeyCheck, time.Now().UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("write the identity of the cluster: %w", err)
	}
	return nil
}
