package definitions

import (
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"pollux/snmp"
)

// wrong is what is wrong with a node, as the decoder collects it: it goes on with
// the rest of the file, so that a writer sees all of it at once.
func wrong(node *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s", node.Line, fmt.Sprintf(format, args...))}}
}

// checkItems refuses items of lists and keys that say nothing: they would be left as zero
// values, and a rule without conditions fits every device.
func checkItems(content []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return err
	}
	if empty := emptyItems(&document); len(empty) > 0 {
		return &yaml.TypeError{Errors: empty}
	}
	return nil
}

// emptyItems are those items, by their lines.
func emptyItems(node *yaml.Node) (found []string) {
	for i, item := range node.Content {
		switch empty := item.ShortTag() == "!!null"; {
		case empty && node.Kind == yaml.SequenceNode:
			found = append(found, fmt.Sprintf("line %d: an item of a list is empty", item.Line))
		case empty && node.Kind == yaml.MappingNode && i%2 == 1:
			found = append(found, fmt.Sprintf("line %d: %.64s is empty", node.Content[i-1].Line, node.Content[i-1].Value))
		}
		found = append(found, emptyItems(item)...)
	}
	return found
}

// OID is a numeric object identifier without a leading dot, with its line for messages.
type OID struct {
	snmp.OID
}

// UnmarshalYAML takes "1.3.6.1.2.1"; a leading dot and names of objects are refused.
func (o *OID) UnmarshalYAML(node *yaml.Node) error {
	oid := snmp.OID(node.Value)
	if node.Kind != yaml.ScalarNode || !oid.Valid() {
		return wrong(node, "%q is no numeric OID such as 1.3.6.1.4.1.9", node.Value)
	}
	o.OID = oid
	return nil
}

// Word is a text with its line for messages.
type Word struct {
	text string
	line int
}

// UnmarshalYAML takes a text.
func (w *Word) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.Value == "" {
		return wrong(node, "a name is expected")
	}
	w.text, w.line = node.Value, node.Line
	return nil
}

// Regexp is a compiled regular expression (RE2).
type Regexp struct {
	*regexp.Regexp
}

// UnmarshalYAML compiles it. An empty one, which fits everything, is refused.
func (r *Regexp) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.Value == "" {
		return wrong(node, "a regular expression is a text that is not empty")
	}
	compiled, err := regexp.Compile(node.Value)
	if err != nil {
		return wrong(node, "%v", err)
	}
	r.Regexp = compiled
	return nil
}

// group is the first group of a match, or the whole match when the expression has no group.
func (r Regexp) group(text string) (string, bool) {
	found := r.FindStringSubmatch(text)
	switch {
	case found == nil:
		return "", false
	case len(found) > 1:
		for _, group := range found[1:] {
			if group != "" {
				return group, true
			}
		}
		return "", true
	default:
		return found[0], true
	}
}

// Group is the first group of a match, or the whole match when the expression has none; "" without a match.
func (r Regexp) Group(text string) string {
	found, _ := r.group(text)
	return found
}

// pair is one entry of a mapping in the order of the file.
type pair struct {
	key, value *yaml.Node
}

// pairs are the entries of a mapping; keys outside of known, when there are some, are refused.
func pairs(node *yaml.Node, known ...string) ([]pair, error) {
	if node.Kind != yaml.MappingNode {
		return nil, wrong(node, "a mapping (key: value) is expected")
	}
	all := make([]pair, 0, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if len(known) > 0 && !slices.Contains(known, key.Value) {
			return nil, wrong(key, "%q is not known here; known are %q", key.Value, known)
		}
		if slices.ContainsFunc(all, func(p pair) bool { return p.key.Value == key.Value }) {
			return nil, wrong(key, "%q is there twice", key.Value)
		}
		all = append(all, pair{key, node.Content[i+1]})
	}
	return all, nil
}

// textMap is a mapping of texts to texts; numbers count as their text.
func textMap(node *yaml.Node) (map[string]string, error) {
	entries, err := pairs(node)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(entries))
	for _, entry := range entries {
		if entry.value.Kind != yaml.ScalarNode {
			return nil, wrong(entry.value, "a text or a number is expected")
		}
		texts[entry.key.Value] = entry.value.Value
	}
	return texts, nil
}

// List is a list, of which one that has one element may be written without brackets.
type List[T any] []T

// UnmarshalYAML reads the list or its only element.
func (l *List[T]) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.SequenceNode {
		return node.Decode((*[]T)(l))
	}
	var only T
	if err := node.Decode(&only); err != nil {
		return err
	}
	*l = List[T]{only}
	return nil
}
