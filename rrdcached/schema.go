package rrdcached

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"
)

const (
	maxCreate   = 4000 // bytes of a CREATE line; a refusal that quotes more than 4 KB overruns a buffer of rrdcached 1.7.2
	maxStep     = 86_400
	maxBeat     = 10_000_000
	maxArchives = 50
	maxRows     = 1_000_000
	maxCell     = 100_000_000 // values in one file, 800 MB
	firstTime   = 315_360_000 // rrdcreate(1): the first entry must be after 1980
	beforeFirst = 10          // s between a file's begin and its first sample, as rrdcreate's default start "now - 10s"
)

// NoLimit as the minimum or maximum of a Source is rrdtool's "U". NaN and the infinities mean the same.
const NoLimit = math.MaxFloat64

// Source is one data source of a file, see rrdcreate(1).
type Source struct {
	Name      string  // 1-19 of [A-Za-z0-9_-]
	Type      string  // GAUGE, COUNTER, DERIVE, ABSOLUTE, DCOUNTER or DDERIVE
	Heartbeat int     // seconds without a value after which the source is unknown
	Min, Max  float64 // per second for all types but GAUGE; values outside become unknown; NoLimit
}

// Schema is what a file is created with.
type Schema struct {
	Step     int // seconds, 1-86,400
	Sources  []Source
	Archives []Archive
}

var (
	sourceName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,19}$`)
	sourceTypes = []string{"GAUGE", "COUNTER", "DERIVE", "ABSOLUTE", "DCOUNTER", "DDERIVE"}
)

// Validate says with ErrBadValue what rrdtool would refuse in the schema, or
// what would make a file of absurd size.
func (s Schema) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBadValue, fmt.Sprintf(format, args...))
	}
	if s.Step < 1 || s.Step > maxStep {
		return bad("step %d s, want 1 to %d", s.Step, maxStep)
	}
	if len(s.Sources) < 1 || len(s.Sources) > maxValues {
		return bad("%d sources, want 1 to %d", len(s.Sources), maxValues)
	}
	seen := make(map[string]bool, len(s.Sources))
	for _, source := range s.Sources {
		if err := source.validate(); err != nil {
			return err
		}
		if seen[source.Name] {
			return bad("two sources are called %s", source.Name)
		}
		seen[source.Name] = true
	}
	if len(s.Archives) < 1 || len(s.Archives) > maxArchives {
		return bad("%d archives, want 1 to %d", len(s.Archives), maxArchives)
	}
	rows := 0
	for _, archive := range s.Archives {
		if err := archive.validate(); err != nil {
			return err
		}
		rows += archive.Rows
	}
	if rows*len(s.Sources) > maxCell {
		return bad("%d rows of %d sources are a file of more than %d MB", rows, len(s.Sources), maxCell*8/1_000_000)
	}
	return nil
}

func (s Source) validate() error {
	if !sourceName.MatchString(s.Name) {
		return fmt.Errorf("%w: source name %q, want 1 to 19 of [A-Za-z0-9_-]", ErrBadValue, printable(s.Name))
	}
	if !slices.Contains(sourceTypes, s.Type) {
		return fmt.Errorf("%w: source %s is of type %q", ErrBadValue, s.Name, printable(s.Type))
	}
	if s.Heartbeat < 1 || s.Heartbeat > maxBeat {
		return fmt.Errorf("%w: source %s has a heartbeat of %d s", ErrBadValue, s.Name, s.Heartbeat)
	}
	if limited(s.Min) && limited(s.Max) && s.Min >= s.Max {
		return fmt.Errorf("%w: source %s has a minimum of %g and a maximum of %g", ErrBadValue, s.Name, s.Min, s.Max)
	}
	return nil
}

// limited says whether a minimum or maximum is a number that rrdtool can keep.
func limited(x float64) bool { return math.Abs(x) <= maxGauge }

// checkValues says with ErrBadValue why values must not go into a file of these
// sources: their number differs, or a fraction is meant for a source of whole
// numbers. rrdcached accepts both and drops them, and all that is
// queued behind them, when it writes the file.
func checkValues(values []Value, sources []Source) error {
	if len(values) != len(sources) {
		return fmt.Errorf("%w: %d values for %d sources", ErrBadValue, len(values), len(sources))
	}
	for i, value := range values {
		switch sources[i].Type {
		case "DERIVE":
			if value.whole() {
				continue
			}
		case "COUNTER":
			if value.whole() && !value.negative() {
				continue
			}
		default:
			continue
		}
		return fmt.Errorf("%w: source %s of type %s takes whole numbers", ErrBadValue, printable(sources[i].Name), printable(sources[i].Type))
	}
	return nil
}

// SameSources says whether a file that has these sources takes all that is meant
// for the sources want: the same names in the same order, and types that take
// the same values. Heartbeats and limits may differ.
func SameSources(has, want []Source) bool {
	return slices.EqualFunc(has, want, func(has, want Source) bool {
		return has.Name == want.Name && (has.Type == want.Type || has.Type == "DERIVE" && want.Type == "COUNTER")
	})
}

// appendCreate appends the CREATE line without its newline. With a source file
// the new one begins at first, which must not lie before the end of the old one, or history is cut away.
func appendCreate(dst []byte, file string, s Schema, first time.Time, source string) ([]byte, error) {
	if err := CheckFile(file); err != nil {
		return dst, err
	}
	if err := s.Validate(); err != nil {
		return dst, err
	}
	line := append(dst, "CREATE "...)
	line = append(line, file...)
	begin := first.Unix()
	if source != "" {
		if err := CheckFile(source); err != nil {
			return dst, err
		}
		line = append(line, " -r "...)
		line = append(line, source...)
	} else {
		begin -= beforeFirst
	}
	if begin <= firstTime || begin > maxTime {
		return dst, fmt.Errorf("%w: the first time %d of %s is not a time of measurement", ErrBadValue, first.Unix(), file)
	}
	line = append(line, " -b "...)
	line = strconv.AppendInt(line, begin, 10)
	line = append(line, " -s "...)
	line = strconv.AppendInt(line, int64(s.Step), 10)
	line = append(line, " -O"...) // without it an existing file and its history are erased
	for _, source := range s.Sources {
		line = source.appendTo(line)
	}
	for _, archive := range s.Archives {
		line = archive.appendTo(line)
	}
	if length := len(line) - len(dst); length > maxCreate {
		return line[:len(dst)], fmt.Errorf("%w: the CREATE line for %s has %d bytes, at most %d", ErrLimit, file, length, maxCreate)
	}
	return line, nil
}

func (s Source) appendTo(dst []byte) []byte {
	dst = fmt.Appendf(dst, " DS:%s:%s:%d:", s.Name, s.Type, s.Heartbeat)
	dst = appendLimit(dst, s.Min)
	dst = append(dst, ':')
	return appendLimit(dst, s.Max)
}

func appendLimit(dst []byte, x float64) []byte {
	if !limited(x) {
		return append(dst, 'U')
	}
	return appendDecimal(dst, x)
}
