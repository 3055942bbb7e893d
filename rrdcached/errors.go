package rrdcached

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// What can go wrong. The errors of this package wrap one of these, or are an
// *IllegalTimeError or a *ReplyError; ask with errors.Is and errors.As.
var (
	// ErrConnection: the connection is unusable and closed, and nobody knows which part of
	// the last call the daemon has done. Dial anew. It wraps the cause (os.ErrDeadlineExceeded, ...).
	ErrConnection = errors.New("no connection to rrdcached")
	// ErrProtocol: the daemon's reply is not of the form that rrdcached(1) gives, or is
	// larger than this package accepts. Always together with ErrConnection.
	ErrProtocol = errors.New("not a reply of rrdcached")
	// ErrAddress: an address is neither unix:/path nor host:port.
	ErrAddress = errors.New("the address must be unix:/path or host:port")
	// ErrNoFile: the RRD file does not exist (for Forget: is not cached).
	ErrNoFile = errors.New("no such RRD file")
	// ErrExists: the file that Create was to make is there already, and was left as it is.
	ErrExists = errors.New("the RRD file exists already")
	// ErrPermission: the daemon's options -B or -P forbid the command or the path.
	ErrPermission = errors.New("rrdcached denies permission")
	// ErrBadValue: values, a time, a schema or an interval that must not reach rrdcached.
	ErrBadValue = errors.New("bad value for an RRD file")
	// ErrFile: a file name outside the allowed form, see CheckFile.
	ErrFile = errors.New("bad name for an RRD file")
	// ErrLimit: a line or a batch is larger than this package sends. Nothing was sent.
	ErrLimit = errors.New("too large for rrdcached")
)

// maxErrorText bounds what a daemon can put into our logs, in bytes.
const maxErrorText = 200

// IllegalTimeError says that the file has a value of this time or a later one
// already. After a retry or a replay this is the normal answer and no fault.
type IllegalTimeError struct {
	Last float64 // time of the file's last update, Unix seconds with the fraction as rrdcached knows it
}

// Error names the file's last update.
func (e *IllegalTimeError) Error() string {
	return fmt.Sprintf("the RRD file is newer: its last update is %.6f", e.Last)
}

// ReplyError is a refusal by the daemon. It wraps ErrNoFile, ErrExists,
// ErrPermission or ErrBadValue when the text says one of these.
type ReplyError struct {
	Text string // the daemon's words, at most 200 bytes of printable ASCII
	kind error
}

// Error gives the daemon's words.
func (e *ReplyError) Error() string {
	if e.kind == nil {
		return "rrdcached refuses: " + e.Text
	}
	return e.kind.Error() + ": " + e.Text
}

// Unwrap gives the sentinel that the text stands for, or nil.
func (e *ReplyError) Unwrap() error { return e.kind }

// Words of rrdcached 1.7.2 by which a refusal is told apart.
const (
	wordsIllegal = "illegal attempt to update using time "
	wordsLast    = " when last update time is "
)

// refusal turns the text of a negative reply, or of an error line of a batch, into a typed error.
func refusal(text string) error {
	if strings.HasPrefix(text, wordsIllegal) {
		if last, ok := lastUpdate(text); ok {
			return &IllegalTimeError{Last: last}
		}
	}
	var kind error
	switch {
	case strings.HasPrefix(text, "No such file"), strings.HasSuffix(text, "No such file or directory"),
		strings.Contains(text, "Cannot open source RRD"):
		kind = ErrNoFile
	case strings.HasSuffix(text, "File exists"):
		kind = ErrExists
	case strings.HasPrefix(text, "Permission denied"), strings.HasSuffix(text, "Permission denied"):
		kind = ErrPermission
	case strings.HasPrefix(text, "Cannot find timestamp"), strings.HasPrefix(text, "No values updated"):
		kind = ErrBadValue
	}
	return &ReplyError{Text: printable(text), kind: kind}
}

// lastUpdate reads T from "... when last update time is T (minimum one second step)".
func lastUpdate(text string) (float64, bool) {
	_, rest, found := strings.Cut(text, wordsLast)
	if !found {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, " ")
	last, err := strconv.ParseFloat(number, 64)
	return last, err == nil && !math.IsNaN(last) && !math.IsInf(last, 0)
}

// printable cuts text to maxErrorText bytes and replaces what is not printable
// ASCII, because the daemon quotes what it read from elsewhere.
func printable(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

// Class sorts an error of this package into one of seven words for the label
// of a metric: ok, duplicate, nofile, exists, badvalue, refused, connection.
func Class(err error) string {
	var illegal *IllegalTimeError
	var reply *ReplyError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrConnection):
		return "connection"
	case errors.As(err, &illegal):
		return "duplicate"
	case errors.Is(err, ErrNoFile):
		return "nofile"
	case errors.Is(err, ErrExists):
		return "exists"
	case errors.Is(err, ErrBadValue), errors.Is(err, ErrFile), errors.Is(err, ErrLimit):
		return "badvalue"
	case errors.As(err, &reply):
		return "refused"
	default:
		return "connection"
	}
}
