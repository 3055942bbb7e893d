// Package secret holds what is confidential: a string that never prints
// itself, and the key that seals credentials before they reach the database.
//
// It must not log, must not read files or the environment, and must never
// put a secret or a part of one into an error text.
package secret

import (
	"crypto/subtle"
	"log/slog"
)

// redacted is what every printing path shows in place of the value.
const redacted = "[redacted]"

// String is a confidential text such as an SNMP community or a password.
// Every way of printing, logging or marshalling it yields "[redacted]" (or ""
// when it is empty); Reveal is the only way to the value. Compare with Equal, not with ==.
type String struct {
	// A pointer, because fmt prints unexported fields of an enclosing struct
	// without asking their methods: this way it finds an address only.
	value *string
}

// New wraps a confidential text.
func New(value string) String {
	if value == "" {
		return String{}
	}
	return String{value: &value}
}

// Reveal returns the confidential text itself.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsEmpty says whether there is no text at all.
func (s String) IsEmpty() bool { return s.value == nil }

// Equal compares two confidential texts in a time that does not depend on where they differ.
func (s String) Equal(other String) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String implements fmt.Stringer and never shows the value.
func (s String) String() string {
	if s.IsEmpty() {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer, so that %#v does not show the value either.
func (s String) GoString() string { return `secret.New("` + s.String() + `")` }

// LogValue implements slog.LogValuer.
func (s String) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler and therefore covers JSON.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: configuration readers fill the value with it.
func (s *String) UnmarshalText(text []byte) error {
	*s = New(string(text))
	return nil
}
