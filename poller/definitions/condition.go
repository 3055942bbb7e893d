package definitions

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// Condition is one test of a row.
type Condition struct {
	Of      string       `yaml:"of"` // a column, "index" or "value"
	Is      List[string] `yaml:"is"`
	Not     List[string] `yaml:"not"`
	Regex   *Regexp      `yaml:"regex"`
	Less    *float64     `yaml:"less"`
	More    *float64     `yaml:"more"`
	Missing bool         `yaml:"missing"`
	Present bool         `yaml:"present"`
	Empty   bool         `yaml:"empty"` // missing, or a text without letters

	line int
}

// UnmarshalYAML reads a condition and its line; it must test something.
func (c *Condition) UnmarshalYAML(node *yaml.Node) error {
	if _, err := pairs(node, "of", "is", "not", "regex", "less", "more", "missing", "present", "empty"); err != nil {
		return err
	}
	type plain Condition // without this method
	if err := node.Decode((*plain)(c)); err != nil {
		return err
	}
	c.line = node.Line
	if c.Of == "" {
		return wrong(node, "a condition needs \"of\": the column that it tests")
	}
	if c.Is == nil && c.Not == nil && c.Regex == nil && c.Less == nil && c.More == nil && !c.Missing && !c.Present && !c.Empty {
		return wrong(node, "the condition tests nothing")
	}
	return nil
}

// holds says whether all that the condition names is so. A column that is not
// there is only missing, empty, and none of what "not" names.
func (c Condition) holds(row Row) bool {
	_, present := row.get(c.Of)
	present = present || c.Of == "index"
	text := row.Text(c.Of)
	equal := func(wanted string) bool { return present && same(text, wanted) }
	n, isNumber := row.Number(c.Of, Regexp{}, false)
	switch {
	case c.Missing && present, c.Present && !present, c.Empty && text != "":
		return false
	case c.Is != nil && !slices.ContainsFunc(c.Is, equal), c.Not != nil && slices.ContainsFunc(c.Not, equal):
		return false
	case c.Regex != nil && (!present || !c.Regex.MatchString(text)):
		return false
	case c.Less != nil && (!isNumber || n >= *c.Less), c.More != nil && (!isNumber || n <= *c.More):
		return false
	}
	return true
}
