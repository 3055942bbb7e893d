package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	keyPrefix    = "base64:"
	keyBytes     = 32
	sealedPrefix = "v1:"
	idDigits     = 8 // hexadecimal, of a key's id
	minDistinct  = 8 // distinct byte values that a random key of 32 bytes never falls below
)

// ErrKey says that an APP_KEY is malformed.
var ErrKey = errors.New("the key must be base64: followed by 32 random bytes in base64; make one with: pollux key generate")

// ErrOpen says that a sealed text was made with another key, belongs to
// another row, or was changed.
var ErrOpen = errors.New("the sealed value does not open with the APP_KEY of this node")

// sealedText is the encoding of sealed values. It is strict, so that no bit of
// a sealed value can change without it failing to open: the last character has spare ones.
var sealedText = base64.RawStdEncoding.Strict()

// Key is the cluster's APP_KEY, with the former ones that a node still has. It
// seals with AES-256-GCM under keys that HKDF-SHA256 (RFC 5869) derives from the
// APP_KEY, one per purpose, and opens with whichever of its keys a value names.
// The zero Key seals nothing.
type Key struct {
	master []byte
	id     string
	former []Key
}

// GenerateKey returns a new APP_KEY in its text form, "base64:" and 32 random bytes.
func GenerateKey() (String, error) {
	raw := make([]byte, keyBytes)
	if _, err := rand.Read(raw); err != nil {
		return String{}, fmt.Errorf("read random bytes: %w", err)
	}
	return New(keyPrefix + base64.StdEncoding.EncodeToString(raw)), nil
}

// ParseKey reads an APP_KEY. A text of another form, length or of evidently
// low entropy is refused with ErrKey.
func ParseKey(text String) (Key, error) {
	encoded, found := strings.CutPrefix(text.Reveal(), keyPrefix)
	if !found {
		return Key{}, ErrKey
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != keyBytes {
		return Key{}, ErrKey
	}
	distinct := map[byte]bool{}
	for _, b := range raw {
		distinct[b] = true
	}
	if len(distinct) < minDistinct {
		return Key{}, ErrKey
	}
	id, err := hkdf.Key(sha256.New, raw, nil, "pollux key id", idDigits/2)
	if err != nil {
		return Key{}, fmt.Errorf("derive the key id: %w", err)
	}
	return Key{master: raw, id: hex.EncodeToString(id)}, nil
}

// Text is the APP_KEY as ParseKey reads it.
func (k Key) Text() String {
	if k.master == nil {
		return String{}
	}
	return New(keyPrefix + base64.StdEncoding.EncodeToString(k.master))
}

// ID names the key without saying anything about it: 8 hexadecimal digits.
func (k Key) ID() string { return k.id }

// CheckValue is a text that only this key yields; it stands in the database so
// that a node with another APP_KEY is noticed at its start.
func (k Key) CheckValue() (string, error) {
	value, err := hkdf.Key(sha256.New, k.master, nil, "pollux check value", 16)
	if err != nil {
		return "", fmt.Errorf("derive the check value: %w", err)
	}
	return hex.EncodeToString(value), nil
}

// Seal encrypts plain for a purpose ("snmp"). place is authenticated with it
// (table/row/column), so that a sealed value cannot be moved to another row.
func (k Key) Seal(purpose, place string, plain String) (string, error) {
	aead, err := k.aead(purpose)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("read a random nonce: %w", err)
	}
	sealed := aead.Seal(nonce, nonce, []byte(plain.Reveal()), []byte(place))
	return sealedPrefix + k.id + ":" + sealedText.EncodeToString(sealed), nil
}

// Open decrypts what Seal made for the same purpose and place with this key or
// with a former one of it; anything else is ErrOpen.
func (k Key) Open(purpose, place, sealed string) (String, error) {
	id := SealedWith(sealed)
	one, found := k.Named(id)
	if !found {
		return String{}, ErrOpen
	}
	return one.open(purpose, place, strings.TrimPrefix(sealed, sealedPrefix+id+":"))
}

func (k Key) open(purpose, place, text string) (String, error) {
	raw, err := sealedText.DecodeString(text)
	if err != nil {
		return String{}, ErrOpen
	}
	aead, err := k.aead(purpose)
	if err != nil {
		return String{}, err
	}
	if len(raw) < aead.NonceSize() {
		return String{}, ErrOpen
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(place))
	if err != nil {
		return String{}, ErrOpen
	}
	return New(string(plain)), nil
}

func (k Key) aead(purpose string) (cipher.AEAD, error) {
	if len(k.master) != keyBytes {
		return nil, ErrKey
	}
	derived, err := hkdf.Key(sha256.New, k.master, nil, "pollux seal "+purpose, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("prepare AES: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("prepare GCM: %w", err)
	}
	return aead, nil
}
