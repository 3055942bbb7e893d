package definitions

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// StateUse is the states of a sensor: a list of their own, or the name of one of the file.
type StateUse struct {
	List []State
	name string
	line int
}

// UnmarshalYAML reads a name or a list.
func (s *StateUse) UnmarshalYAML(node *yaml.Node) error {
	s.line = node.Line
	if node.Kind == yaml.ScalarNode {
		s.name = node.Value
		return nil
	}
	return node.Decode(&s.List)
}

// UnmarshalYAML reads one state; its severity must be one that is known.
func (s *State) UnmarshalYAML(node *yaml.Node) error {
	if _, err := pairs(node, "is", "name", "severity"); err != nil {
		return err
	}
	type plain State // without this method
	if err := node.Decode((*plain)(s)); err != nil {
		return err
	}
	if s.Name == "" {
		return wrong(node, "a state needs a name")
	}
	known := []Severity{SeverityOK, SeverityWarning, SeverityCritical, SeverityUnknown}
	if !slices.Contains(known, s.Severity) {
		return wrong(node, "severity %q is none of %q", s.Severity, known)
	}
	return nil
}
