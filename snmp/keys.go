package snmp

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// maxKeys bounds a KeyCache; one entry is about 150 bytes.
const maxKeys = 8192

// KeyCache keeps what passwords were turned into, which costs a hash over one
// megabyte each (RFC 3414, appendix A.2): milliseconds for every v3 session
// without it. One cache serves any number of sessions at once. It holds at most
// 8192 keys and then drops arbitrary ones; the passwords themselves are not in it.
//
// The decoder's own cache is never used: it is global, keyed by the passwords,
// and grows by an entry for every engine id that any agent shows.
type KeyCache struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte][]byte
}

// NewKeyCache makes an empty cache.
func NewKeyCache() *KeyCache {
	return &KeyCache{keys: make(map[[sha256.Size]byte][]byte)}
}

// stretched returns the key of a password under a hash, from the cache if it is there. A nil cache computes.
func (c *KeyCache) stretched(hash crypto.Hash, password []byte) []byte {
	if c == nil {
		return stretch(hash, password)
	}
	name := sha256.Sum256(append([]byte{byte(hash)}, password...))
	c.mu.Lock()
	key := c.keys[name]
	c.mu.Unlock()
	if key != nil {
		return key
	}
	key = stretch(hash, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.keys {
		if len(c.keys) < maxKeys {
			break
		}
		delete(c.keys, old)
	}
	c.keys[name] = key
	return key
}

// stretch hashes one megabyte of the repeated password (RFC 3414, appendix A.2; RFC 7860, section 9.3).
func stretch(hash crypto.Hash, password []byte) []byte {
	const total, block = 1 << 20, 64
	// Whole repetitions behind each other: every window of 64 bytes is a slice of this.
	repeated := make([]byte, 0, len(password)+block)
	for len(repeated) < len(password)+block {
		repeated = append(repeated, password...)
	}
	h := hash.New()
	for done, at := 0, 0; done < total; done += block {
		h.Write(repeated[at : at+block])
		at = (at + block) % len(password)
	}
	return h.Sum(nil)
}

// localize binds a key to one engine (RFC 3414, section 2.6).
func localize(hash crypto.Hash, key []byte, engineID string) []byte {
	h := hash.New()
	h.Write(key)
	h.Write([]byte(engineID))
	h.Write(key)
	return h.Sum(nil)
}

// authKey is the localized key of the authentication protocol.
func (c *KeyCache) authKey(protocol gosnmp.SnmpV3AuthProtocol, password secret.String, engineID string) []byte {
	hash := protocol.HashType()
	return localize(hash, c.stretched(hash, []byte(password.Reveal())), engineID)
}

// privKey is the localized key of the privacy protocol, extended when the hash is shorter than the cipher's key.
func (c *KeyCache) privKey(auth gosnmp.SnmpV3AuthProtocol, priv gosnmp.SnmpV3PrivProtocol, password secret.String, engineID string) ([]byte, error) {
	hash := auth.HashType()
	key := localize(hash, c.stretched(hash, []byte(password.Reveal())), engineID)
	length, reeder := 16, false
	switch priv {
	case gosnmp.AES192:
		length = 24
	case gosnmp.AES256:
		length = 32
	case gosnmp.AES192C:
		length, reeder = 24, true
	case gosnmp.AES256C:
		length, reeder = 32, true
	}
	if len(key) < length {
		if reeder { // draft-reeder-snmpv3-usm-3dese-00, section 2.1: the key is the next password
			key = append(key, localize(hash, c.stretched(hash, key), engineID)...)
		} else { // draft-blumenthal-aes-usm-04, section 3.1.2.1
			h := hash.New()
			h.Write(key)
			key = h.Sum(key)
		}
	}
	if len(key) < length {
		return nil, fmt.Errorf("privacy key: %d bytes from the hash, want %d", len(key), length)
	}
	return key[:length], nil
}
