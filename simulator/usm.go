package simulator

import (
	"crypto/hmac"
	"encoding/binary"
	"sync/atomic"
)

const (
	flagAuth       = 1
	flagPriv       = 2
	flagReportable = 4

	securityModelUSM = 3
	timeWindow       = 150 // seconds (RFC 3414 section 2.2.3)
)

// Objects that a Report carries (RFC 3414 section 5, RFC 3412 section 5, RFC 3413 section 4).
const (
	unsupportedSecLevels = iota
	notInTimeWindows
	unknownUserNames
	unknownEngineIDs
	wrongDigests
	decryptionErrors
	unknownContexts
	unknownPDUHandlers
	reports
)

var reportNames = [reports]string{
	"1.3.6.1.6.3.15.1.1.1.0", "1.3.6.1.6.3.15.1.1.2.0", "1.3.6.1.6.3.15.1.1.3.0",
	"1.3.6.1.6.3.15.1.1.4.0", "1.3.6.1.6.3.15.1.1.5.0", "1.3.6.1.6.3.15.1.1.6.0",
	"1.3.6.1.6.3.12.1.5.0", "1.3.6.1.6.3.11.2.1.3.0",
}

// usm is the User-based Security Model (RFC 3414) of all devices, with one user.
type usm struct {
	user    []byte
	keys    *keyring
	reports [reports]atomic.Uint32 // counted for all devices together
	salt    atomic.Uint64
}

func newUSM(u *User, salt uint64) (*usm, error) {
	if u == nil {
		return nil, nil
	}
	keys, err := newKeyring(u)
	if err != nil {
		return nil, err
	}
	s := &usm{user: []byte(u.Name), keys: keys}
	s.salt.Store(salt)
	return s, nil
}

// envelope is an SNMPv3 message without its PDU. It points into the message.
type envelope struct {
	id, maxSize    int64
	flags          byte
	engine, user   []byte
	boots, seconds int64
	digest, salt   []byte
	data           []byte // the ScopedPDU, with its header unless it is encrypted
	context        []byte
}

// parse reads what follows the version (RFC 3412 section 6, RFC 3414 section 2.4).
func (e *envelope) parse(body []byte) bool {
	global, body, ok := readExpected(body, tagSequence)
	if !ok {
		return false
	}
	if e.id, global, ok = readInteger(global); !ok || e.id < 0 {
		return false
	}
	if e.maxSize, global, ok = readInteger(global); !ok || e.maxSize < minMessage {
		return false
	}
	flags, global, ok := readExpected(global, tagOctetString)
	if !ok || len(flags) != 1 || flags[0]&(flagAuth|flagPriv) == flagPriv {
		return false
	}
	e.flags = flags[0]
	if model, _, ok := readInteger(global); !ok || model != securityModelUSM {
		return false
	}
	security, body, ok := readExpected(body, tagOctetString)
	if !ok || !e.parseSecurity(security) {
		return false
	}
	want := byte(tagSequence)
	if e.flags&flagPriv != 0 {
		want = tagOctetString
	}
	content, _, ok := readExpected(body, want)
	e.data = body
	if e.flags&flagPriv != 0 {
		e.data = content
	}
	return ok
}

func (e *envelope) parseSecurity(b []byte) bool {
	b, _, ok := readExpected(b, tagSequence)
	if !ok {
		return false
	}
	if e.engine, b, ok = readExpected(b, tagOctetString); !ok {
		return false
	}
	if e.boots, b, ok = readInteger(b); !ok {
		return false
	}
	if e.seconds, b, ok = readInteger(b); !ok {
		return false
	}
	if e.user, b, ok = readExpected(b, tagOctetString); !ok || len(e.user) > maxUserName {
		return false
	}
	if e.digest, b, ok = readExpected(b, tagOctetString); !ok {
		return false
	}
	e.salt, _, ok = readExpected(b, tagOctetString)
	return ok
}

// verify does the steps of RFC 3414 section 3.2 for a message that came to
// engine. It returns the report to send, or reports if all is well; then data is in clear.
func (s *usm) verify(e *envelope, message, engine []byte, keys *localKeys, boots, seconds int64) int {
	switch {
	case string(e.engine) != string(engine):
		return unknownEngineIDs
	case string(e.user) != string(s.user):
		return unknownUserNames
	case e.flags&flagAuth != 0 && s.keys.auth == nil, e.flags&flagPriv != 0 && s.keys.priv == nil:
		return unsupportedSecLevels
	}
	if e.flags&flagAuth != 0 {
		got := append([]byte(nil), e.digest...)
		clear(e.digest)
		if !hmac.Equal(got, s.keys.sign(keys, message)) {
			return wrongDigests
		}
		if e.boots != boots || e.seconds < seconds-timeWindow || e.seconds > seconds+timeWindow {
			return notInTimeWindows
		}
	}
	if e.flags&flagPriv != 0 && !s.keys.priv.decrypt(keys, e.boots, e.seconds, e.salt, e.data) {
		return decryptionErrors
	}
	return reports
}

// nextSalt is unique per message, as both ciphers need it.
func (s *usm) nextSalt() []byte {
	return binary.BigEndian.AppendUint64(nil, s.salt.Add(1))
}
