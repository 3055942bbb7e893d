package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

const (
	minPassword    = 8
	maxUserName    = 32 // RFC 3414 SnmpAdminString of usmUserName
	passwordStream = 1 << 20
	// maxLocalized bounds the keys kept; a device beyond it has its keys derived anew.
	maxLocalized = 1 << 15
)

// extension is how a localized key is made longer than the digest.
type extension uint8

const (
	extendNone extension = iota
	extendBlumenthal
	extendReeder
)

type authProtocol struct {
	hash   func() hash.Hash
	digest int // bytes of the digest in a message (RFC 3414, RFC 7860)
}

type privProtocol struct {
	key    int // bytes of the localized key; DES takes 8 of them for the key and 8 for the IV
	des    bool
	extend extension
}

func authProtocolNamed(name string) (*authProtocol, error) {
	switch strings.ReplaceAll(strings.ToUpper(name), "-", "") {
	case "":
		return nil, nil
	case "MD5":
		return &authProtocol{md5.New, 12}, nil
	case "SHA", "SHA1":
		return &authProtocol{sha1.New, 12}, nil
	case "SHA224":
		return &authProtocol{sha256.New224, 16}, nil
	case "SHA256":
		return &authProtocol{sha256.New, 24}, nil
	case "SHA384":
		return &authProtocol{sha512.New384, 32}, nil
	case "SHA512":
		return &authProtocol{sha512.New, 48}, nil
	}
	return nil, fmt.Errorf("unknown authentication protocol %q", name)
}

func privProtocolNamed(name string) (*privProtocol, error) {
	switch strings.ReplaceAll(strings.ToUpper(name), "-", "") {
	case "":
		return nil, nil
	case "DES":
		return &privProtocol{key: 16, des: true}, nil
	case "AES", "AES128":
		return &privProtocol{key: 16}, nil
	case "AES192":
		return &privProtocol{key: 24, extend: extendBlumenthal}, nil
	case "AES256":
		return &privProtocol{key: 32, extend: extendBlumenthal}, nil
	case "AES192C":
		return &privProtocol{key: 24, extend: extendReeder}, nil
	case "AES256C":
		return &privProtocol{key: 32, extend: extendReeder}, nil
	}
	return nil, fmt.Errorf("unknown privacy protocol %q", name)
}

// keyring derives the keys of the one user for each device's engine.
type keyring struct {
	auth    *authProtocol // nil = the user has no authentication
	priv    *privProtocol // nil = no privacy
	authKey []byte        // Ku of RFC 3414 section 2.6, before localization
	privKey []byte

	mu   sync.RWMutex
	held map[int]*localKeys // by device
}

// localKeys are the user's keys at one engine.
type localKeys struct {
	auth  []byte
	block cipher.Block
	preIV []byte // DES only
}

func newKeyring(u *User) (*keyring, error) {
	k := &keyring{held: map[int]*localKeys{}}
	var err error
	if k.auth, err = authProtocolNamed(u.AuthProtocol); err != nil {
		return nil, err
	}
	if k.priv, err = privProtocolNamed(u.PrivProtocol); err != nil {
		return nil, err
	}
	switch {
	case u.Name == "" || len(u.Name) > maxUserName:
		return nil, fmt.Errorf("the v3 user's name has %d bytes, want 1 to %d", len(u.Name), maxUserName)
	case k.priv != nil && k.auth == nil:
		return nil, errors.New("the v3 user has privacy without authentication")
	case k.auth != nil && len(u.AuthPassword.Reveal()) < minPassword:
		return nil, errors.New("the v3 user's authentication password is shorter than 8 bytes")
	case k.priv != nil && len(u.PrivPassword.Reveal()) < minPassword:
		return nil, errors.New("the v3 user's privacy password is shorter than 8 bytes")
	}
	if k.auth != nil {
		k.authKey = passwordToKey(k.auth.hash, []byte(u.AuthPassword.Reveal()))
	}
	if k.priv != nil {
		k.privKey = passwordToKey(k.auth.hash, []byte(u.PrivPassword.Reveal()))
	}
	return k, nil
}

// local returns the keys of a device's engine.
func (k *keyring) local(device int) (*localKeys, error) {
	k.mu.RLock()
	keys := k.held[device]
	k.mu.RUnlock()
	if keys != nil {
		return keys, nil
	}
	keys, err := k.derive(engineID(device))
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.held) >= maxLocalized {
		for other := range k.held {
			delete(k.held, other)
			break
		}
	}
	k.held[device] = keys
	return keys, nil
}

func (k *keyring) derive(engine []byte) (*localKeys, error) {
	keys := &localKeys{}
	if k.auth != nil {
		keys.auth = localize(k.auth.hash, k.authKey, engine)
	}
	if k.priv == nil {
		return keys, nil
	}
	key := k.extend(localize(k.auth.hash, k.privKey, engine), engine)
	var err error
	if k.priv.des {
		keys.preIV = key[8:16]
		keys.block, err = des.NewCipher(key[:8])
	} else {
		keys.block, err = aes.NewCipher(key[:k.priv.key])
	}
	if err != nil {
		return nil, fmt.Errorf("make the cipher: %w", err)
	}
	return keys, nil
}

// extend makes a localized key as long as the cipher needs it.
func (k *keyring) extend(key, engine []byte) []byte {
	last := key
	for len(key) < k.priv.key {
		if k.priv.extend == extendReeder {
			last = localize(k.auth.hash, passwordToKey(k.auth.hash, last), engine)
			key = append(key, last...)
			continue
		}
		h := k.auth.hash()
		h.Write(key)
		key = h.Sum(key)
	}
	return key
}

// passwordToKey is Ku of RFC 3414 appendix A.2: the digest of the password repeated to one megabyte.
func passwordToKey(newHash func() hash.Hash, password []byte) []byte {
	h := newHash()
	var block [64]byte
	at := 0
	for range passwordStream / len(block) {
		for i := range block {
			block[i] = password[at%len(password)]
			at++
		}
		h.Write(block[:])
	}
	return h.Sum(nil)
}

// localize is Kul of RFC 3414 section 2.6.
func localize(newHash func() hash.Hash, key, engine []byte) []byte {
	h := newHash()
	h.Write(key)
	h.Write(engine)
	h.Write(key)
	return h.Sum(nil)
}

// sign returns the digest of a whole message whose digest field is zero.
func (k *keyring) sign(keys *localKeys, message []byte) []byte {
	mac := hmac.New(k.auth.hash, keys.auth)
	mac.Write(message)
	return mac.Sum(nil)[:k.auth.digest]
}
