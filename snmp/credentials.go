package snmp

import (
	"fmt"
	"strings"

	"github.com/gosnmp/gosnmp"

	"pollux/secret"
)

// Version is the SNMP version by the name that LibreNMS stores.
type Version string

// The versions: RFC 1157, RFC 1901, RFC 3411-3418.
const (
	V1  Version = "v1"
	V2c Version = "v2c"
	V3  Version = "v3"
)

// Credentials are what an agent wants to be asked with. The names of the
// protocols are LibreNMS's (authalgo, cryptoalgo).
type Credentials struct {
	Version   Version
	Community secret.String // v1 and v2c: 1 to 127 bytes

	User         string // v3: 1 to 32 bytes (RFC 3414)
	AuthProtocol string // "" (none), MD5, SHA, SHA-224, SHA-256, SHA-384, SHA-512
	AuthPassword secret.String
	// PrivProtocol is "" (none), DES, AES (128 bits), AES-192, AES-256 (key
	// extension of draft-blumenthal-aes-usm-04) or AES-192-C, AES-256-C (that of
	// draft-reeder-snmpv3-usm-3dese, as Cisco has it).
	PrivProtocol string
	PrivPassword secret.String
	Context      string // v3 context name, at most 32 bytes; usually empty
}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"":        gosnmp.NoAuth,
	"MD5":     gosnmp.MD5,
	"SHA":     gosnmp.SHA,
	"SHA-224": gosnmp.SHA224,
	"SHA-256": gosnmp.SHA256,
	"SHA-384": gosnmp.SHA384,
	"SHA-512": gosnmp.SHA512,
}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"":          gosnmp.NoPriv,
	"DES":       gosnmp.DES,
	"AES":       gosnmp.AES,
	"AES-192":   gosnmp.AES192,
	"AES-256":   gosnmp.AES256,
	"AES-192-C": gosnmp.AES192C,
	"AES-256-C": gosnmp.AES256C,
}

// Validate names the first field that cannot be right. Passwords need 8 bytes (RFC 3414, section 11.2).
func (c Credentials) Validate() error {
	switch c.Version {
	case V1, V2c:
		// The length is one byte in the encoder: 127 is the longest it writes correctly.
		if n := len(c.Community.Reveal()); n < 1 || n > 127 {
			return fmt.Errorf("community: %d bytes, want 1 to 127", n)
		}
		return nil
	case V3:
		return c.validateUser()
	}
	return fmt.Errorf("version %q: want v1, v2c or v3", detail(string(c.Version)))
}

func (c Credentials) validateUser() error {
	_, authKnown := authProtocols[c.AuthProtocol]
	_, privKnown := privProtocols[c.PrivProtocol]
	switch {
	case len(c.User) < 1 || len(c.User) > 32:
		return fmt.Errorf("user: %d bytes, want 1 to 32", len(c.User))
	case !authKnown:
		return fmt.Errorf("auth protocol %q: want MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512", detail(c.AuthProtocol))
	case !privKnown:
		return fmt.Errorf("privacy protocol %q: want DES, AES, AES-192, AES-256, AES-192-C or AES-256-C", detail(c.PrivProtocol))
	case c.PrivProtocol != "" && c.AuthProtocol == "":
		return fmt.Errorf("auth protocol: privacy needs one")
	case c.AuthProtocol != "" && len(c.AuthPassword.Reveal()) < 8:
		return fmt.Errorf("auth password: shorter than 8 bytes")
	case c.PrivProtocol != "" && len(c.PrivPassword.Reveal()) < 8:
		return fmt.Errorf("privacy password: shorter than 8 bytes")
	case len(c.Context) > 32:
		return fmt.Errorf("context: %d bytes, want at most 32", len(c.Context))
	}
	return nil
}

// Level is the security level that the protocols amount to: "noAuthNoPriv",
// "authNoPriv" or "authPriv" (RFC 3411, section 3.4.3); "" for v1 and v2c.
func (c Credentials) Level() string {
	switch {
	case c.Version != V3:
		return ""
	case c.AuthProtocol == "":
		return "noAuthNoPriv"
	case c.PrivProtocol == "":
		return "authNoPriv"
	}
	return "authPriv"
}

// ContextName is the SNMP context that is asked: the v3 context name, and of a
// community what follows its last @, by which agents index communities ("public@12", one per VLAN or VRF).
func (c Credentials) ContextName() string {
	if c.Version == V3 {
		return c.Context
	}
	community := c.Community.Reveal()
	if at := strings.LastIndexByte(community, '@'); at >= 0 {
		return community[at+1:]
	}
	return ""
}

// version is the number on the wire.
func (c Credentials) version() gosnmp.SnmpVersion {
	switch c.Version {
	case V1:
		return gosnmp.Version1
	case V2c:
		return gosnmp.Version2c
	}
	return gosnmp.Version3
}

// flags are the msgFlags of a request (RFC 3412, section 6.4).
func (c Credentials) flags() gosnmp.SnmpV3MsgFlags {
	switch c.Level() {
	case "authPriv":
		return gosnmp.Reportable | gosnmp.AuthPriv
	case "authNoPriv":
		return gosnmp.Reportable | gosnmp.AuthNoPriv
	}
	return gosnmp.Reportable
}
