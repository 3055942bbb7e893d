package definitions

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pollux/snmp"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	row := Row{Index: "4.1.7.3.65.66.67", Values: map[string]snmp.Value{}}
	for template, want := range map[string]string{
		"plain":                       "plain",
		"Slot {index[0]}":             "Slot 4",
		"{index}":                     "4.1.7.3.65.66.67",
		"{index[-1]}":                 "67",
		"{index[1:3]}":                "1.7",
		"{index[2:]}":                 "7.3.65.66.67",
		"{index[:2]}":                 "4.1",
		"{index[4:]:text}":            "ABC",
		"{index[3:]:text}":            "ABC", // the length in front is no character
		"{index[9]}":                  "",
		"{index[5:2]}":                "",
		"  a   {missing}  b ":         "a b",
		"{missing|'unnamed'}":         "unnamed",
		"{missing|index[0]} {absent}": "4",
	} {
		parsed, err := parseTemplate(template)
		if err != nil {
			t.Errorf("%q: %v", template, err)
			continue
		}
		if got := parsed.Expand(row); got != want {
			t.Errorf("%q: got %q, want %q", template, got, want)
		}
	}
	for _, bad := range []string{"{", "a}", "{a b}", "{index[}", "{index[]}", "{index[12]3}", "{}", "{index[1 3]}"} {
		if _, err := parseTemplate(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNumbersInTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"38.5 C": 38.5, "-3": -3, "about 7 of 9": 7, ".5": .5, "1e3": 1000, "+4dBm": 4} {
		if got, ok := parseNumber(text); !ok || got != want {
			t.Errorf("%q: got %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "n/a", "NaN", "inf", "-", "1e999", "Infinity", "-1e999"} {
		if got, ok := parseNumber(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	row := Row{Index: "3"}
	for text, want := range map[string]bool{
		`{of: index, is: [3]}`:             true,
		`{of: index, is: "3.0"}`:           true,
		`{of: index, not: [3, 4]}`:         false,
		`{of: index, less: 4}`:             true,
		`{of: index, less: 3}`:             false,
		`{of: index, more: 2, less: 3}`:    false,
		`{of: index, regex: '^\d$'}`:       true,
		`{of: absent, missing: true}`:      true,
		`{of: absent, present: true}`:      false,
		`{of: absent, empty: true}`:        true,
		`{of: absent, not: [1]}`:           true,
		`{of: absent, is: [1]}`:            false,
		`{of: index, present: true}`:       true,
		`{of: absent, regex: '.*'}`:        false,
		`{of: absent, more: 0}`:            false,
		`{of: index, empty: true}`:         false,
		`{of: index, is: [3], missing: 1}`: false,
	} {
		var c Condition
		err := yaml.Unmarshal([]byte(text), &c)
		if strings.Contains(text, "missing: 1") {
			if err == nil {
				t.Errorf("%s is taken", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.holds(row); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
}
