package rrdcached

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Archive is one round robin archive of a file, see rrdcreate(1).
type Archive struct {
	Function string  // AVERAGE, MIN, MAX or LAST
	XFF      float64 // share of unknown steps up to which a row is known, 0 <= XFF < 1
	Steps    int     // steps of the file in one row
	Rows     int
}

const (
	defaultXFF     = 0.5  // as rrdcreate's examples and LibreNMS
	maxArchiveText = 2000 // bytes of a text with archives
)

var functions = []string{"AVERAGE", "MIN", "MAX", "LAST"}

// ParseArchives reads archives in the form of the setting rrd.rra: words
// STEPSxROWS, where FUNCTION: before a word holds for it and the words after
// it, as in "AVERAGE:1x2016 6x1440 MAX:6x1440". Each gets an XFF of 0.5. A
// text of another form, without archives or with too many is ErrBadValue.
func ParseArchives(text string) ([]Archive, error) {
	bad := func(format string, args ...any) ([]Archive, error) {
		return nil, fmt.Errorf("%w: archives: %s", ErrBadValue, fmt.Sprintf(format, args...))
	}
	if len(text) > maxArchiveText {
		return bad("the text has %d bytes, at most %d", len(text), maxArchiveText)
	}
	var archives []Archive
	function := ""
	for _, word := range strings.Fields(text) {
		size := word
		if name, rest, found := strings.Cut(word, ":"); found {
			function, size = name, rest
		}
		if function == "" {
			return bad("%q has no function before it; write AVERAGE:%s", printable(word), printable(word))
		}
		steps, rows, ok := parseSize(size)
		if !ok {
			return bad("%q is not STEPSxROWS", printable(word))
		}
		archive := Archive{Function: function, XFF: defaultXFF, Steps: steps, Rows: rows}
		if err := archive.validate(); err != nil {
			return nil, err
		}
		if slices.Contains(archives, archive) {
			return bad("%s is there twice", printable(word))
		}
		archives = append(archives, archive)
	}
	if len(archives) < 1 || len(archives) > maxArchives {
		return bad("%d of them, want 1 to %d", len(archives), maxArchives)
	}
	return archives, nil
}

// parseSize reads "STEPSxROWS". Only plain digits are numbers, so that what FormatArchives gives back is what was read.
func parseSize(text string) (steps, rows int, ok bool) {
	left, right, found := strings.Cut(text, "x")
	if !found {
		return 0, 0, false
	}
	s, errSteps := strconv.ParseUint(left, 10, 31)
	r, errRows := strconv.ParseUint(right, 10, 31)
	return int(s), int(r), errSteps == nil && errRows == nil
}

// FormatArchives writes archives in the form that ParseArchives reads. The form has no place for the XFF.
func FormatArchives(archives []Archive) string {
	var text strings.Builder
	function := ""
	for i, archive := range archives {
		if i > 0 {
			text.WriteByte(' ')
		}
		if archive.Function != function {
			function = archive.Function
			text.WriteString(function + ":")
		}
		fmt.Fprintf(&text, "%dx%d", archive.Steps, archive.Rows)
	}
	return text.String()
}

func (a Archive) validate() error {
	if !slices.Contains(functions, a.Function) {
		return fmt.Errorf("%w: archive function %q, want one of %s", ErrBadValue, printable(a.Function), strings.Join(functions, ", "))
	}
	if !(a.XFF >= 0 && a.XFF < 1) {
		return fmt.Errorf("%w: archive with an XFF of %g, want 0 to below 1", ErrBadValue, a.XFF)
	}
	if a.Steps < 1 || a.Steps > maxRows || a.Rows < 1 || a.Rows > maxRows {
		return fmt.Errorf("%w: archive %dx%d, want 1 to %d each", ErrBadValue, a.Steps, a.Rows, maxRows)
	}
	return nil
}

func (a Archive) appendTo(dst []byte) []byte {
	dst = fmt.Appendf(dst, " RRA:%s:", a.Function)
	dst = appendDecimal(dst, a.XFF)
	return fmt.Appendf(dst, ":%d:%d", a.Steps, a.Rows)
}
