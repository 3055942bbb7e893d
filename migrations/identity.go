package migrations

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"pollux/secret"
)

// ErrKey says that the database is under a key that this node does not have, so that credentials in it could not be opened.
var ErrKey = errors.New("APP_KEY is not the one that this database is under; copy APP_KEY (and APP_PREVIOUS_KEYS) from the .env of a node that works")

// clusterIDBytes makes the 18 hexadecimal digits that fit, behind one letter, into the name of an RRD source (19 characters).
const clusterIDBytes = 9

// Identity is what the first migration wrote down of the cluster.
type Identity struct {
	ClusterID string // 18 random hexadecimal digits
	KeyID     string // secret.Key.ID of the key in force: the APP_KEY that credentials are sealed with
	KeyCheck  string // its secret.Key.CheckValue
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

// CheckKey returns ErrKey when the key in force is neither the APP_KEY nor a former one of this node.
func (m *Migrator) CheckKey(id Identity) error {
	_, err := InForce(m.config.Key, id)
	return err
}

// InForce is the key in force, alone, out of those that a node has. ErrKey when it has not got it.
func InForce(key secret.Key, id Identity) (secret.Key, error) {
	found, has := key.Named(id.KeyID)
	if has {
		check, err := found.CheckValue()
		if err != nil {
			return secret.Key{}, fmt.Errorf("prepare the check of APP_KEY: %w", err)
		}
		has = subtle.ConstantTimeCompare([]byte(id.KeyCheck), []byte(check)) == 1
	}
	if !has {
		return secret.Key{}, fmt.Errorf("%w (database: key %s, this node: key %s)", ErrKey, id.KeyID, strings.Join(key.IDs(), ", "))
	}
	return found, nil
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
	check, err := m.config.Key.CheckValue()
	if err != nil {
		return fmt.Errorf("prepare the check of APP_KEY: %w", err)
	}
	_, err = m.db.NewRaw("INSERT INTO cluster_identity (id, cluster_id, key_id, key_check, created_at) VALUES (1, ?, ?, ?, ?)",
		hex.EncodeToString(random), m.config.Key.ID(), check, time.Now().UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("write the identity of the cluster: %w", err)
	}
	return nil
}
