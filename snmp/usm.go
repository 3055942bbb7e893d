package snmp

import (
	"crypto/hmac"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// reportNames are the objects that a Report names (RFC 3414, section 5; RFC 3412, section 5; RFC 3413, section 5).
var reportNames = map[OID]string{
	"1.3.6.1.6.3.15.1.1.1.0": "unsupportedSecLevels",
	"1.3.6.1.6.3.15.1.1.2.0": reportTime,
	"1.3.6.1.6.3.15.1.1.3.0": "unknownUserNames",
	"1.3.6.1.6.3.15.1.1.4.0": reportEngine,
	"1.3.6.1.6.3.15.1.1.5.0": "wrongDigests",
	"1.3.6.1.6.3.15.1.1.6.0": "decryptionErrors",
	"1.3.6.1.6.3.11.2.1.1.0": "unknownSecurityModels",
	"1.3.6.1.6.3.11.2.1.2.0": "invalidMsgs",
	"1.3.6.1.6.3.11.2.1.3.0": "unknownPDUHandlers",
	"1.3.6.1.6.3.12.1.4.0":   "unavailableContexts",
	"1.3.6.1.6.3.12.1.5.0":   "unknownContexts",
}

// The two reports after which a request is sent once more.
const (
	reportTime   = "notInTimeWindows"
	reportEngine = "unknownEngineIDs"
)

// usmReports is where the reports of the user-based security model stand: usmStats.
const usmReports = "1.3.6.1.6.3.15.1.1."

// reportError is a Report in place of an answer. It is ErrAuth when it comes
// from the user-based security model and ErrUnexpected otherwise.
type reportError struct {
	name string
	auth bool
}

func (e *reportError) Error() string { return "agent reports " + e.name }

func (e *reportError) Unwrap() error {
	if e.auth {
		return ErrAuth
	}
	return ErrUnexpected
}

// newReport makes the error for the object that a Report names.
func newReport(object OID) *reportError {
	name, known := reportNames[object]
	if !known {
		name = "something unknown"
	}
	return &reportError{name: name, auth: strings.HasPrefix(string(object), usmReports)}
}

// usm is the user-based security model for one user on one engine (RFC 3414):
// it knows the engine, keeps its clock, and checks who speaks.
type usm struct {
	credentials Credentials
	keys        *KeyCache
	flags       gosnmp.SnmpV3MsgFlags

	// params go into every request and decode every reply. Their passphrases stay
	// empty and their keys are set, so that the decoder never derives keys itself.
	params  *gosnmp.UsmSecurityParameters
	mac     hash.Hash // over the localized key; nil without authentication
	salt    uint64    // of the privacy protocol; counts up from a random start
	engine  string    // "" until discovered
	boots   uint32
	time    uint32 // the engine's, in seconds, when it was learned
	learned time.Time
	trusted bool // a reply has been accepted in this session
}

func newUSM(c Credentials, keys *KeyCache) *usm {
	return &usm{credentials: c, keys: keys, flags: c.flags(), salt: rand.Uint64()}
}

// adopt takes over a discovered engine: its id, its clock and the keys for it.
func (u *usm) adopt(e *envelope) error {
	c := u.credentials
	u.engine = string(e.engineID)
	u.params = &gosnmp.UsmSecurityParameters{
		UserName:               c.User,
		AuthoritativeEngineID:  u.engine,
		AuthenticationProtocol: authProtocols[c.AuthProtocol],
		PrivacyProtocol:        privProtocols[c.PrivProtocol],
	}
	u.mac = nil
	if c.AuthProtocol != "" {
		u.params.SecretKey = u.keys.authKey(u.params.AuthenticationProtocol, c.AuthPassword, u.engine)
		u.mac = hmac.New(u.params.AuthenticationProtocol.HashType().New, u.params.SecretKey)
	}
	if c.PrivProtocol != "" {
		key, err := u.keys.privKey(u.params.AuthenticationProtocol, u.params.PrivacyProtocol, c.PrivPassword, u.engine)
		if err != nil {
			return err
		}
		u.params.PrivacyKey = key
	}
	u.setClock(e)
	return nil
}

// forget makes the next request discover the engine again.
func (u *usm) forget() { u.engine = "" }

// setClock takes over the engine's clock (RFC 3414, section 2.3).
func (u *usm) setClock(e *envelope) {
	u.boots, u.time, u.learned = e.boots, e.time, time.Now()
}

// seal puts the engine's clock as it is now, and a new salt, into the parameters of the next request.
func (u *usm) seal() {
	u.params.AuthoritativeEngineBoots = u.boots
	u.params.AuthoritativeEngineTime = u.time + uint32(time.Since(u.learned)/time.Second)
	if u.credentials.PrivProtocol == "" {
		return
	}
	u.salt++
	salt := make([]byte, 8)
	binary.BigEndian.PutUint64(salt, u.salt)
	if u.params.PrivacyProtocol == gosnmp.DES { // RFC 3414, section 8.1.1.1: boots, then a counter
		binary.BigEndian.PutUint32(salt, u.boots)
	}
	u.params.PrivacyParameters = salt
}

// macLengths are the bytes of msgAuthenticationParameters (RFC 3414, section 6; RFC 7860, section 4).
var macLengths = map[gosnmp.SnmpV3AuthProtocol]int{
	gosnmp.MD5: 12, gosnmp.SHA: 12, gosnmp.SHA224: 16, gosnmp.SHA256: 24, gosnmp.SHA384: 32, gosnmp.SHA512: 48,
}

// authentic checks a message's digest and blanks it in place (RFC 3414, section 6.3.2).
func (u *usm) authentic(message []byte, e *envelope) bool {
	length := macLengths[u.params.AuthenticationProtocol]
	if u.mac == nil || len(e.mac) != length {
		return false
	}
	var got [48]byte
	copy(got[:], e.mac)
	clear(e.mac)
	u.mac.Reset()
	u.mac.Write(message)
	return hmac.Equal(u.mac.Sum(nil)[:length], got[:length])
}

// judge decides about a v3 message that carries the id of our request: nil means
// that it may be decoded, a reportError that the agent refuses the request, errRefused that the message is to be ignored.
func (u *usm) judge(message []byte, e *envelope) error {
	if e.model != int(gosnmp.UserSecurityModel) || !e.sound {
		return errRefused
	}
	level := gosnmp.SnmpV3MsgFlags(e.flags) & gosnmp.AuthPriv
	isReport := !e.encrypted && gosnmp.PDUType(e.pdu) == gosnmp.Report
	// Who does not know our user or key, or is another engine by now, cannot
	// authenticate its Report: it is taken at its word, the random message id vouches for it.
	if isReport && level == gosnmp.NoAuthNoPriv {
		return newReport(decodeName(e.firstName))
	}
	if string(e.engineID) != u.engine || string(e.user) != u.credentials.User {
		return errRefused
	}
	if level&gosnmp.AuthNoPriv != 0 && !u.authentic(message, e) {
		return errRefused
	}
	if isReport {
		report := newReport(decodeName(e.firstName))
		if report.name == reportTime {
			u.setClock(e)
		}
		return report
	}
	// A reply has the security level of its request (RFC 3412, section 7.2, step 13).
	if level != u.flags&gosnmp.AuthPriv || e.encrypted != (level == gosnmp.AuthPriv) {
		return errRefused
	}
	return nil
}

// discovery is the request that makes an engine show its id and clock (RFC 3414, section 4).
func discovery(id uint32) ([]byte, error) {
	packet := gosnmp.SnmpPacket{
		Version: gosnmp.Version3, MsgFlags: gosnmp.Reportable, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: &gosnmp.UsmSecurityParameters{}, PDUType: gosnmp.GetRequest, MsgID: id, RequestID: id,
	}
	message, err := packet.MarshalMsg()
	if err != nil {
		return nil, fmt.Errorf("encoding the discovery: %w", err)
	}
	return message, nil
}

// isDiscovered says whether a message answers a discovery. Any Report will do:
// some agents report unknownUserNames for it, and yet show their engine.
func isDiscovered(e *envelope) bool {
	return !e.encrypted && gosnmp.PDUType(e.pdu) == gosnmp.Report && e.model == int(gosnmp.UserSecurityModel) &&
		len(e.engineID) >= 5 && len(e.engineID) <= 32 // RFC 3411, section 5, SnmpEngineID
}
