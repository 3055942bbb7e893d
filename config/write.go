package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pollux/secret"
)

// ErrExists says that a .env file is there already. It is never overwritten: its APP_KEY may be the only copy.
var ErrExists = errors.New("the file is there already and is left as it is")

const template = `# Configuration of one node of Pollux. docs/configuration.md describes every name.

# The same on all nodes: it encrypts the stored credentials. Keep a copy.
APP_KEY=%s
# Unique on every node.
NODE_ID=%s

# The inventory: MariaDB or MySQL (mysql), PostgreSQL (pgsql), or a file for one node (sqlite).
#DB_CONNECTION=mysql
#DB_HOST=localhost
#DB_DATABASE=pollux
#DB_USERNAME=pollux
#DB_PASSWORD=

#REDIS_HOST=127.0.0.1
#REDIS_PORT=6379
#REDIS_DB=0
#REDIS_TIMEOUT=60
#REDIS_USERNAME=
#REDIS_PASSWORD=

#RRDCACHED=unix:/run/rrdcached.sock
`

// Init writes a new .env file (mode 0600) with a fresh APP_KEY and NODE_ID,
// and returns the NODE_ID. A file that is there stays as it is: ErrExists.
func Init(file string) (nodeID string, err error) {
	key, err := secret.GenerateKey()
	if err != nil {
		return "", err
	}
	if nodeID, err = NewNodeID(); err != nil {
		return "", err
	}
	return nodeID, create(file, fmt.Sprintf(template, key.Reveal(), nodeID))
}

// identityFile is where a standalone data directory keeps its key and name.
const identityFile = "node.env"

// HasIdentity says whether a data directory keeps a key and a name.
func HasIdentity(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, identityFile))
	return err == nil
}

// Identity returns the APP_KEY and NODE_ID that a standalone data directory
// keeps in its node.env (0600). Where there is none it keeps those that are
// given, and makes what is missing: from then on the directory is opened with the same key from everywhere.
func Identity(dir string, key secret.Key, id string) (secret.Key, string, error) {
	file := filepath.Join(dir, identityFile)
	read, err := readFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeIdentity(file, key, id)
	case err != nil:
		return secret.Key{}, "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if key, err = secret.ParseKey(secret.New(read["APP_KEY"])); err != nil {
		return secret.Key{}, "", fmt.Errorf("%w: APP_KEY in %s: %w", ErrInvalid, file, err)
	}
	if !nodeID.MatchString(read["NODE_ID"]) {
		return secret.Key{}, "", fmt.Errorf("%w: NODE_ID in %s is missing or malformed", ErrInvalid, file)
	}
	return key, read["NODE_ID"], nil
}

func makeIdentity(file string, key secret.Key, id string) (secret.Key, string, error) {
	text := key.Text()
	var err error
	if text.IsEmpty() {
		if text, err = secret.GenerateKey(); err != nil {
			return secret.Key{}, "", err
		}
	}
	if id == "" {
		if id, err = NewNodeID(); err != nil {
			return secret.Key{}, "", err
		}
	}
	if err := create(file, fmt.Sprintf("APP_KEY=%s\nNODE_ID=%s\n", text.Reveal(), id)); err != nil {
		return secret.Key{}, "", err
	}
	key, err = secret.ParseKey(text)
	return key, id, err
}

// NewNodeID returns a random NODE_ID of 13 hexadecimal digits.
func NewNodeID() (string, error) {
	raw := make([]byte, 7)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return hex.EncodeToString(raw)[:13], nil
}

// create writes a new file whole or not at all: a link to a finished
// temporary file appears at once, and fails when the name is taken.
func create(file, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), ".env-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(temporary.Name())
	if _, err := temporary.WriteString(text); err != nil {
		_ = temporary.Close()
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := temporary.Sync(); err != nil { // a power cut must not leave an empty key file under the name
		_ = temporary.Close()
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := temporary.Close(); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Link(temporary.Name(), file); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w", file, ErrExists)
		}
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
