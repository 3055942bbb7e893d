package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pollux/rrdcached"
)

// Form is the type of a setting's value.
type Form string

// The forms of values.
const (
	FormBool     Form = "bool"     // true or false
	FormInt      Form = "int"      // a whole number between Min and Max
	FormEnum     Form = "enum"     // one of Words
	FormList     Form = "list"     // some of Words, each once, the first first: "v2c,v1"
	FormArchives Form = "archives" // round robin archives: "AVERAGE:1x2016 6x1440 MAX:6x1440"
	FormShards   Form = "shards"   // RRDCached by shard: "1=a:42217,b:42217 2=c:42217"; may be empty
	FormNets     Form = "nets"     // networks: "10.0.0.0/8,2001:db8::/32"; may be empty
)

// Check says whether a value may be stored for the setting. Its error names the key and what it takes.
func (s Setting) Check(value string) error {
	_, err := s.Parse(value)
	return err
}

// Parse returns the form in which a value is stored: words in lower case, lists
// without spaces. Its error names the key and what it takes.
func (s Setting) Parse(value string) (string, error) {
	switch s.Form {
	case FormBool:
		if value != "true" && value != "false" {
			return "", fmt.Errorf("%s is true or false, not %.60q", s.Key, value)
		}
	case FormInt:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != value || n < s.Min || n > s.Max {
			return "", fmt.Errorf("%s is a whole number from %d to %d, not %.60q", s.Key, s.Min, s.Max, value)
		}
	case FormEnum:
		word, found := s.word(value)
		if !found {
			return "", fmt.Errorf("%s is %s, not %.60q", s.Key, s.Range(), value)
		}
		return word, nil
	case FormList:
		return s.parseList(value)
	case FormArchives:
		if _, err := rrdcached.ParseArchives(value); err != nil {
			return "", fmt.Errorf("%s: %w", s.Key, err)
		}
	case FormShards:
		shards, err := ParseShards(value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Key, err)
		}
		return formatShards(shards), nil
	case FormNets:
		nets, err := ParseNets(value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Key, err)
		}
		return formatNets(nets), nil
	default:
		return "", fmt.Errorf("%s has a type that this program does not know", s.Key)
	}
	return value, nil
}

func (s Setting) parseList(value string) (string, error) {
	var words []string
	for text := range strings.SplitSeq(value, ",") {
		word, found := s.word(strings.TrimSpace(text))
		if !found || slices.Contains(words, word) {
			return "", fmt.Errorf("%s is %s, not %.60q", s.Key, s.Range(), value)
		}
		words = append(words, word)
	}
	return strings.Join(words, ","), nil
}

// word finds what is meant among the setting's words, in whatever case.
func (s Setting) word(text string) (word string, found bool) {
	text = strings.ToLower(text)
	if alias, found := s.Aliases[text]; found {
		return alias, true
	}
	return text, slices.Contains(s.Words, text)
}

// Range is what the setting takes, as people read it.
func (s Setting) Range() string {
	switch s.Form {
	case FormBool:
		return "true or false"
	case FormInt:
		return strings.TrimSpace(fmt.Sprintf("%d to %d %s", s.Min, s.Max, s.Unit))
	case FormEnum:
		last := len(s.Words) - 1
		return strings.Join(s.Words[:last], ", ") + " or " + s.Words[last]
	case FormList:
		return "a list of " + strings.Join(s.Words, ",")
	case FormArchives:
		return "1 to 50 archives"
	case FormShards:
		return fmt.Sprintf("NUMBER=ADDRESS,... of shards 1 to %d", maxShard)
	case FormNets:
		return "networks with commas between them, such as 10.0.0.0/8,2001:db8::/32"
	default:
		return ""
	}
}
