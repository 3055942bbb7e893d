package settings

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollux/rrdcached"
)

// Values are the settings in force at one moment: what is stored, else the
// default. The zero Values has nothing stored.
type Values struct {
	stored   map[string]string
	defaults map[string]string // of all settings, since a poll asks several times
	ignored  []Ignored
}

// Ignored is a stored value that is not in force: another release wrote it, or a hand.
type Ignored struct {
	Key, Value string
	Known      bool  // a setting of this program has the key; its default is in force
	Reason     error // what is wrong with key or value
}

// NewValues takes the stored values. One that its setting refuses, or that no
// setting has, counts as not stored; Ignored tells which.
func NewValues(stored map[string]string) Values {
	all := All()
	v := Values{stored: make(map[string]string, len(stored)), defaults: make(map[string]string, len(all))}
	for _, s := range all {
		v.defaults[s.Key] = s.Default
		value, found := stored[s.Key]
		if !found {
			continue
		}
		parsed, err := s.Parse(value)
		if err != nil {
			v.ignored = append(v.ignored, Ignored{Key: s.Key, Value: value, Known: true, Reason: err})
			continue
		}
		v.stored[s.Key] = parsed
	}
	for _, key := range slices.Sorted(maps.Keys(stored)) {
		if _, known := v.defaults[key]; !known {
			_, err := Find(key)
			v.ignored = append(v.ignored, Ignored{Key: key, Value: stored[key], Reason: err})
		}
	}
	return v
}

// Ignored lists the stored values that are not in force, those of known keys first.
func (v Values) Ignored() []Ignored { return v.ignored }

// Text returns a setting's value and whether it is stored (else it is the default).
func (v Values) Text(key string) (value string, stored bool) {
	if value, found := v.stored[key]; found {
		return value, true
	}
	if v.defaults != nil {
		return v.defaults[key], false
	}
	s, err := Find(key)
	if err != nil {
		return "", false
	}
	return s.Default, false
}

// Int returns a FormInt; 0 for a key that is none.
func (v Values) Int(key string) int {
	text, _ := v.Text(key)
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// Seconds returns a FormInt that counts seconds.
func (v Values) Seconds(key string) time.Duration { return time.Duration(v.Int(key)) * time.Second }

// Bool returns a FormBool.
func (v Values) Bool(key string) bool {
	text, _ := v.Text(key)
	return text == "true"
}

// List returns the words of a FormList, at least one; nil for a key that is none.
func (v Values) List(key string) []string {
	text, _ := v.Text(key)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// Archives returns the archives of new RRD files.
func (v Values) Archives() []rrdcached.Archive {
	text, _ := v.Text(KeyRRDArchives)
	archives, err := rrdcached.ParseArchives(text)
	if err != nil {
		archives, _ = rrdcached.ParseArchives(defaultArchives) // a constant that the tests parse
	}
	return archives
}
