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

// Identity returns the APP_KEY (with its APP_PREVIOUS_KEYS) and NODE_ID that a
// standalone data directory keeps in its node.env (0600). Where there is none it keeps those that are
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
	key, err = appKey(read[keyName], read[formerName])
	if err == nil && key.ID() == "" {
		err = fmt.Errorf("%s: %w", keyName, secret.ErrKey)
	}
	if err != nil {
		return secret.Key{}, "", fmt.Errorf("%w: %s: %w", ErrInvalid, file, err)
	}
	if !nodeID.MatchString(read["NODE_ID"]) {
		return secret.Key{}, "", fmt.Errorf("%w: NODE_ID in %s is missing or malformed", ErrInvalid, file)
	}
	return key, read["NODE_ID"], nil
}

func makeIdentity(file string, key secret.Key, id string) (secret.Key, string, error) {
	var err error
	if key.ID() == "" {
		if key, err = freshKey(); err != nil {
			return secret.Key{}, "", err
		}
	}
	if id == "" {
		if id, err = NewNodeID(); err != nil {
			return secret.Key{}, "", err
		}
	}
	return key, id, create(file, keyLines(key)+"NODE_ID="+id+"\n")
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
	temporary, err := temporaryFile(file, text, nil)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(temporary)
	if err := os.Link(temporary, file); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: %w", file, ErrExists)
		}
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// temporaryFile writes a finished file (mode 0600 unless prepare changes it) beside the one that it is to become.
func temporaryFile(file, text string, prepare func(*os.File) error) (name string, err error) {
	temporary, err := os.CreateTemp(filepath.Dir(file), ".env-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if closed := temporary.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(temporary.Name())
		}
	}()
	if prepare != nil {
		if err := prepare(temporary); err != nil {
			return "", err
		}
	}
	if _, err := temporary.WriteString(text); err != nil {
		return "", err
	}
	// A power cut must not leave an empty key file under the name.
	return temporary.Name(), temporary.Sync()
}
