package definitions

import (
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"pollux/snmp"
)

// Column is one column of an entry: an arc below the table, or a whole OID, read
// at the row's index or at the one that a template makes of the row.
type Column struct {
	Name  string
	Arc   string   // "2" or "2.1" below the table; "" with OID
	OID   snmp.OID // of another table
	Index Template // zero: the row's own
	line  int
}

// Columns are the columns of an entry, in the order of the file: one whose index
// is a template may use those above it.
type Columns []Column

// UnmarshalYAML reads "name: 2" and "name: {oid: 1.3.6..., index: "{other}"}".
func (c *Columns) UnmarshalYAML(node *yaml.Node) error {
	entries, err := pairs(node)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		read := Column{Name: entry.key.Value, line: entry.key.Line}
		if !column.MatchString(read.Name) || read.Name == "index" {
			return wrong(entry.key, "%q cannot be the name of a column", read.Name)
		}
		if entry.value.Kind == yaml.ScalarNode {
			if !snmp.OID("1.3." + entry.value.Value).Valid() {
				return wrong(entry.value, "%q is no column number below the table; another table's column is {oid: ...}", entry.value.Value)
			}
			read.Arc = entry.value.Value
			*c = append(*c, read)
			continue
		}
		if err := read.far(entry.value); err != nil {
			return err
		}
		*c = append(*c, read)
	}
	return nil
}

func (c *Column) far(node *yaml.Node) error {
	keys, err := pairs(node, "oid", "index")
	if err != nil {
		return err
	}
	for _, key := range keys {
		switch key.key.Value {
		case "oid":
			var oid OID
			if err := oid.UnmarshalYAML(key.value); err != nil {
				return err
			}
			c.OID = oid.OID
		case "index":
			if err := c.Index.UnmarshalYAML(key.value); err != nil {
				return err
			}
		}
	}
	if c.OID == "" {
		return wrong(node, "column %s has no oid", c.Name)
	}
	return nil
}

// Num is a number, a column's value, or what a mapping makes of a column's value.
type Num struct {
	set      bool
	constant float64
	column   string
	mapping  map[string]float64
	fallback *float64
	line     int
}

// UnmarshalYAML reads 10, "column" or {of: column, map: {"1": 10}, default: 1}.
func (n *Num) UnmarshalYAML(node *yaml.Node) error {
	n.set, n.line = true, node.Line
	if node.Kind == yaml.ScalarNode {
		if constant, err := strconv.ParseFloat(node.Value, 64); err == nil {
			n.constant = constant
			return finite(node, constant)
		}
		if !column.MatchString(node.Value) {
			return wrong(node, "%q is neither a number nor the name of a column", node.Value)
		}
		n.column = node.Value
		return nil
	}
	keys, err := pairs(node, "of", "map", "default")
	if err != nil {
		return err
	}
	for _, key := range keys {
		switch key.key.Value {
		case "of":
			n.column = key.value.Value
		case "default":
			constant, err := strconv.ParseFloat(key.value.Value, 64)
			if err != nil {
				return wrong(key.value, "%q is no number", key.value.Value)
			}
			if err := finite(key.value, constant); err != nil {
				return err
			}
			n.fallback = &constant
		case "map":
			if n.mapping, err = numberMap(key.value); err != nil {
				return err
			}
		}
	}
	if n.column == "" || n.mapping == nil {
		return wrong(node, "of and map are needed")
	}
	return nil
}

func numberMap(node *yaml.Node) (map[string]float64, error) {
	entries, err := pairs(node)
	if err != nil {
		return nil, err
	}
	numbers := make(map[string]float64, len(entries))
	for _, entry := range entries {
		n, err := strconv.ParseFloat(entry.value.Value, 64)
		if err != nil {
			return nil, wrong(entry.value, "%q is no number", entry.value.Value)
		}
		if err := finite(entry.value, n); err != nil {
			return nil, err
		}
		numbers[entry.key.Value] = n
	}
	return numbers, nil
}

// finite refuses what is written as a number and is none to calculate with.
func finite(node *yaml.Node, n float64) error {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return wrong(node, "%q is no finite number", node.Value)
	}
	return nil
}

// NumMap is the number that a text stands for.
type NumMap map[string]float64

// UnmarshalYAML reads {"text": 1}.
func (m *NumMap) UnmarshalYAML(node *yaml.Node) (err error) {
	*m, err = numberMap(node)
	return err
}

// IsZero says that the definition has no such number.
func (n Num) IsZero() bool { return !n.set }

// Column is the column whose value the number is; "" when it is a constant or a mapping's.
func (n Num) Column() string {
	if n.mapping != nil {
		return ""
	}
	return n.column
}

// Eval is the number of a row; otherwise stands in for a number that the definition does not have.
func (n Num) Eval(row Row, otherwise float64) (float64, bool) {
	switch {
	case !n.set:
		return otherwise, true
	case n.column == "":
		return n.constant, true
	case n.mapping == nil:
		return row.Number(n.column, Regexp{}, false)
	}
	if found, ok := n.mapping[row.Text(n.column)]; ok {
		return found, true
	}
	if n.fallback != nil {
		return *n.fallback, true
	}
	return 0, false
}

// Choice is a word, or what a column's value makes of it.
type Choice struct {
	set      bool
	constant string
	column   string
	mapping  map[string]string
	patterns []pattern
	fallback string
	line     int
}

type pattern struct {
	expression Regexp
	result     string
}

// UnmarshalYAML reads word or {of: column, map: {"8": word}, regex: [['(?i)volt', word]], default: word}.
func (c *Choice) UnmarshalYAML(node *yaml.Node) error {
	c.set, c.line = true, node.Line
	if node.Kind == yaml.ScalarNode {
		c.constant = node.Value
		return nil
	}
	keys, err := pairs(node, "of", "map", "regex", "default")
	if err != nil {
		return err
	}
	for _, key := range keys {
		switch key.key.Value {
		case "of":
			c.column = key.value.Value
		case "default":
			c.fallback = key.value.Value
		case "map":
			if c.mapping, err = textMap(key.value); err != nil {
				return err
			}
		case "regex":
			if err = c.readPatterns(key.value); err != nil {
				return err
			}
		}
	}
	if c.column == "" || c.mapping == nil && c.patterns == nil {
		return wrong(node, "of and one of map and regex are needed")
	}
	return nil
}

func (c *Choice) readPatterns(node *yaml.Node) error {
	for _, item := range node.Content {
		if item.Kind != yaml.SequenceNode || len(item.Content) != 2 {
			return wrong(item, "a pair is expected: ['expression', result]")
		}
		p := pattern{result: item.Content[1].Value}
		if err := p.expression.UnmarshalYAML(item.Content[0]); err != nil {
			return err
		}
		c.patterns = append(c.patterns, p)
	}
	return nil
}

// words are all results that the choice may have.
func (c Choice) words() []string {
	var words []string
	for _, word := range c.mapping {
		words = append(words, word)
	}
	for _, p := range c.patterns {
		words = append(words, p.result)
	}
	for _, word := range []string{c.constant, c.fallback} {
		if word != "" {
			words = append(words, word)
		}
	}
	return words
}

// Eval is the word of a row, "" when it has none.
func (c Choice) Eval(row Row) string {
	if c.column == "" {
		return c.constant
	}
	text := row.Text(c.column)
	if word, ok := c.mapping[text]; ok {
		return word
	}
	for _, p := range c.patterns {
		if p.expression.MatchString(text) {
			return p.result
		}
	}
	return c.fallback
}

// Names are the names of columns of which the first that a row has is meant.
type Names struct {
	list []string
	line int
}

// UnmarshalYAML reads one name or a list of them.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	n.line = node.Line
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	for _, name := range nodes {
		if name.Kind != yaml.ScalarNode || !column.MatchString(name.Value) {
			return wrong(name, "%q is no name of a column", name.Value)
		}
		n.list = append(n.list, name.Value)
	}
	return nil
}

// First is the first of the columns that the row has, "" when it has none.
func (n Names) First(row Row) string {
	for _, name := range n.list {
		if _, ok := row.get(name); ok {
			return name
		}
	}
	return ""
}

// same compares a value with what a condition names: as numbers when both are, else as texts.
func same(text, wanted string) bool {
	if text == wanted {
		return true
	}
	a, errA := strconv.ParseFloat(strings.TrimSpace(text), 64)
	b, errB := strconv.ParseFloat(wanted, 64)
	return errA == nil && errB == nil && a == b
}
