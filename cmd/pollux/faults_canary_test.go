package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"pollux/secret"
)

// canaries are secrets that must stand nowhere, in the forms in which they could.
type canaries struct {
	names []string
	forms map[string][][]byte // of each name
}

func newCanaries(secrets map[string]secret.String) canaries {
	c := canaries{forms: map[string][][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		c.names = append(c.names, name)
		c.forms[name] = forms([]byte(secrets[name].Reveal()))
	}
	return c
}

func forms(raw []byte) [][]byte {
	digits := hex.EncodeToString(raw)
	all := [][]byte{raw, []byte(digits), []byte(strings.ToUpper(digits)), []byte(url.QueryEscape(string(raw))), []byte(url.PathEscape(string(raw)))}
	// Inside a longer text base64 has three forms, by the place at which the secret begins.
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			whole := encoding.EncodeToString(append(make([]byte, before), raw...))
			begin := (before*8 + 5) / 6 // characters that hold bits of what stands before
			end := (before + len(raw)) * 8 / 6
			all = append(all, []byte(whole[begin:end]))
		}
	}
	return all
}

// in names the secrets that stand in a text, never the secrets themselves.
func (c canaries) in(where string, text []byte) (found []string) {
	for _, name := range c.names {
		for _, form := range c.forms[name] {
			if bytes.Contains(text, form) {
				found = append(found, fmt.Sprintf("I8: the %s stands in %s", name, where))
				break
			}
		}
	}
	return found
}
