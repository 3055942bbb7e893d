package definitions

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a text with places that a row fills: "Slot {index[0]} {name|descr}".
type Template struct {
	source string
	line   int
	parts  []part
}

// part is a literal, or alternatives of which the first non-empty one stands.
type part struct {
	literal string
	refs    []ref
}

// ref names a column, or the index or sub-identifiers of it.
type ref struct {
	column   string // "" for the index or a literal
	literal  string // what stands there when nothing before it does
	from, to int    // sub-identifiers [from, to); negative counts from the end
	whole    bool   // the whole index
	open     bool   // to its end
	text     bool   // the sub-identifiers as characters
}

var (
	place  = regexp.MustCompile(`\{([^{}]*)\}`)
	column = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// "index", "index[0]", "index[-1]", "index[1:]", "index[:2]", "index[1:3]", each with ":text" or without.
	index = regexp.MustCompile(`^index(?:\[(-?\d{1,3})?(:)?(-?\d{1,3})?\])?(:text)?$`)
)

// UnmarshalYAML parses the template.
func (t *Template) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return wrong(node, "a template is a text")
	}
	parsed, err := parseTemplate(node.Value)
	if err != nil {
		return wrong(node, "template %q: %v", node.Value, err)
	}
	parsed.line = node.Line
	*t = parsed
	return nil
}

func parseTemplate(source string) (Template, error) {
	t := Template{source: source}
	rest := source
	for rest != "" {
		at := place.FindStringSubmatchIndex(rest)
		literal := rest
		if at != nil {
			literal = rest[:at[0]]
		}
		if strings.ContainsAny(literal, "{}") {
			return t, fmt.Errorf("a brace without its partner")
		}
		if literal != "" {
			t.parts = append(t.parts, part{literal: literal})
		}
		if at == nil {
			break
		}
		var refs []ref
		for name := range strings.SplitSeq(rest[at[2]:at[3]], "|") {
			r, err := parseRef(strings.TrimSpace(name))
			if err != nil {
				return t, err
			}
			refs = append(refs, r)
		}
		t.parts = append(t.parts, part{refs: refs})
		rest = rest[at[1]:]
	}
	return t, nil
}

func parseRef(name string) (ref, error) {
	if len(name) > 2 && name[0] == '\'' && name[len(name)-1] == '\'' {
		return ref{literal: name[1 : len(name)-1]}, nil
	}
	found := index.FindStringSubmatch(name)
	switch {
	case found == nil && column.MatchString(name):
		return ref{column: name}, nil
	case found == nil:
		return ref{}, fmt.Errorf("{%s} is no column, nor 'a literal', {index}, {index[0]}, {index[1:]}, {index:text}", name)
	}
	r := ref{text: found[4] != ""}
	from, colon, to := found[1], found[2] != "", found[3]
	switch {
	case from == "" && !colon:
		if strings.Contains(name, "[") {
			return ref{}, fmt.Errorf("{%s} names no sub-identifier", name)
		}
		r.whole = true
	case !colon && to != "":
		return ref{}, fmt.Errorf("{%s} needs a colon between its ends", name)
	default:
		r.from, _ = strconv.Atoi(from)
		switch {
		case !colon:
			r.to, r.open = r.from+1, r.from == -1
		case to == "":
			r.open = true
		default:
			r.to, _ = strconv.Atoi(to)
		}
	}
	return r, nil
}

// IsZero says that the definition has no such template.
func (t Template) IsZero() bool { return t.source == "" }

// columns are the names of the columns that the template needs.
func (t Template) columns() []string {
	var names []string
	for _, part := range t.parts {
		for _, r := range part.refs {
			if r.column != "" {
				names = append(names, r.column)
			}
		}
	}
	return names
}

// Expand is the text of a row: blanks are squeezed, what is not there is empty.
func (t Template) Expand(row Row) string {
	if len(t.parts) == 1 && t.parts[0].literal != "" {
		return t.source
	}
	var b strings.Builder
	for _, part := range t.parts {
		b.WriteString(part.literal)
		for _, r := range part.refs {
			if text := r.expand(row); text != "" {
				b.WriteString(text)
				break
			}
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func (r ref) expand(row Row) string {
	if r.literal != "" {
		return r.literal
	}
	if r.column != "" {
		return row.Text(r.column)
	}
	if r.whole && !r.text {
		return row.Index
	}
	arcs := strings.Split(row.Index, ".")
	if !r.whole {
		from, to := position(r.from, len(arcs)), len(arcs)
		if !r.open {
			to = position(r.to, len(arcs))
		}
		if from < 0 || to > len(arcs) || from >= to {
			return ""
		}
		arcs = arcs[from:to]
	}
	if !r.text {
		return strings.Join(arcs, ".")
	}
	letters := make([]byte, 0, len(arcs))
	for _, arc := range arcs {
		letter, err := strconv.ParseUint(arc, 10, 8)
		if err != nil || letter < ' ' || letter > '~' {
			continue // lengths in front, and what nobody can read
		}
		letters = append(letters, byte(letter))
	}
	return string(letters)
}

func position(n, length int) int {
	if n < 0 {
		return length + n
	}
	return n
}
