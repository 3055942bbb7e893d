package snmp

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Errors of a request. Test with errors.Is; texts are at most 200 bytes long
// and hold no control characters, whatever the agent sent.
var (
	// ErrTimeout: no valid answer within all tries. Replies that were refused
	// (other community, other request id, not SNMP) are no answer.
	ErrTimeout = errors.New("no answer")
	// ErrAuth: the agent is there and refuses the SNMPv3 user, its keys or its
	// security level (RFC 3414, usmStats reports).
	ErrAuth = errors.New("authentication failed")
	// ErrTooLarge: a table passed its cap of rows or bytes.
	ErrTooLarge = errors.New("table too large")
	// ErrNotIncreasing: an agent answered a table request with a name that does
	// not follow the one asked (RFC 3416, section 4.2.2), which would loop.
	ErrNotIncreasing = errors.New("names do not increase")
	// ErrUnexpected: an answer that does not belong to the question or cannot be decoded.
	ErrUnexpected = errors.New("unexpected answer")
)

// StatusError is an answer whose error-status is not zero (RFC 3416, section 3).
type StatusError struct {
	// Status is the RFC's name: "tooBig", "noSuchName", "genErr", "authorizationError", ...
	Status string
	// Index is the position in the request, from 1; 0 when the agent names none.
	Index int
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Index == 0 {
		return "agent answers " + e.Status
	}
	return fmt.Sprintf("agent answers %s for variable %d", e.Status, e.Index)
}

// statusNames are the values of error-status in their order (RFC 3416, section 3).
var statusNames = [...]string{
	"noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType", "wrongLength",
	"wrongEncoding", "wrongValue", "noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed",
	"undoFailed", "authorizationError", "notWritable", "inconsistentName",
}

func statusName(status int) string {
	if status >= 0 && status < len(statusNames) {
		return statusNames[status]
	}
	return fmt.Sprintf("error %d", status)
}

// maxDetail is the length in bytes at which foreign text inside an error is
// cut, so that the whole error stays below 200 bytes.
const maxDetail = 120

// detail makes foreign text fit for an error: one short line. Decoders quote
// the bytes they choke on, and a panic's text may carry a whole stack.
func detail(text string) string {
	text, _, _ = strings.Cut(text, "Stack:")
	return cleanText(text, maxDetail)
}

// shortName makes an object's name fit for an error that holds two of them.
func shortName(name string) string { return cleanText(name, maxDetail/2) }

// cleanText returns text as valid UTF-8 of at most limit bytes without control
// or bidirectional formatting characters; line breaks and tabs become spaces.
func cleanText(text string, limit int) string {
	if isPlain(text) && len(text) <= limit {
		return strings.TrimSpace(text)
	}
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			continue
		}
		if out.Len()+utf8.RuneLen(r) > limit {
			break
		}
		out.WriteRune(r) // a byte that is not UTF-8 arrives here as U+FFFD
	}
	return strings.TrimSpace(out.String())
}

// isPlain is the fast way out for the usual answer: printable ASCII.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}
