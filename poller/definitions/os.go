package definitions

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"pollux/device"
	"pollux/snmp"
)

// OS is one operating system.
type OS struct {
	OS       string             `yaml:"os"` // LibreNMS's name
	Text     string             `yaml:"text"`
	Vendor   string             `yaml:"vendor"`
	Type     string             `yaml:"type"`
	Icon     string             `yaml:"icon"`
	Fallback bool               `yaml:"fallback"`
	Detect   []Rule             `yaml:"detect"`
	Include  List[Word]         `yaml:"include"`
	Exclude  map[string][]Word  `yaml:"exclude"`        // MIB files that are tried on every device, by module
	Modules  map[string]bool    `yaml:"modules"`        // false: a module of discoveries that does not run
	Polls    map[string]bool    `yaml:"poller_modules"` // false: a module of polls that does not run
	Polling  Polling            `yaml:"polling"`
	Facts    Facts              `yaml:"facts"`
	Ports    Ports              `yaml:"ports"`
	States   map[string][]State `yaml:"states"`
	Tables   `yaml:",inline"`

	file string
	all  Tables // with those of the MIB files
}

// MIB is a file of tables that several operating systems have.
type MIB struct {
	MIB    string             `yaml:"mib"`
	Text   string             `yaml:"text"`
	Always bool               `yaml:"always"` // tried on every device
	States map[string][]State `yaml:"states"`
	Tables `yaml:",inline"`

	file string
}

// All are the tables of the OS: its own, then those of the MIB files that it
// includes, then those that are tried on every device.
func (o *OS) All() *Tables { return &o.all }

// Runs says whether a module of discoveries runs on devices of this OS.
func (o *OS) Runs(module string) bool {
	runs, named := o.Modules[module]
	return runs || !named
}

// PollerOff are the modules of polls that do not run on devices of this OS.
func (o *OS) PollerOff() []string {
	if o == nil || len(o.Polls) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(o.Polls)) // each of them is false
}

// Polling is how devices of an OS are polled, unless they have a choice of their own.
type Polling struct {
	SelectedPorts device.Selection `yaml:"selected_ports"`
}

// Facts say where the facts of a device are read.
type Facts struct {
	Hardware List[Source] `yaml:"hardware"`
	Version  List[Source] `yaml:"version"`
	Serial   List[Source] `yaml:"serial"`
	Features List[Source] `yaml:"features"`
}

// Source is one place of a fact.
type Source struct {
	OID         snmp.OID
	Regex       Regexp
	Map         map[string]string
	SysDescr    Regexp
	SysObjectID map[string]string // exact
	ObjectRegex Regexp            // on sysObjectID
	Entity      string            // column of entPhysicalTable
	Template    Template
	OIDs        map[string]snmp.OID // of Template
}

// EntityColumns are the columns of entPhysicalTable (RFC 6933) that a fact may name.
func EntityColumns() map[string]snmp.OID {
	const entry snmp.OID = "1.3.6.1.2.1.47.1.1.1.1"
	return map[string]snmp.OID{
		"descr": entry + ".2", "name": entry + ".7", "hardware": entry + ".8", "firmware": entry + ".9",
		"software": entry + ".10", "serial": entry + ".11", "model": entry + ".13",
	}
}

// UnmarshalYAML reads one source; exactly one place must be named.
func (s *Source) UnmarshalYAML(node *yaml.Node) error {
	keys, err := pairs(node, "oid", "regex", "map", "sysDescr", "sysObjectID", "entity", "template", "oids")
	if err != nil {
		return err
	}
	places := 0
	for _, key := range keys {
		if slices.Contains([]string{"oid", "sysDescr", "sysObjectID", "entity", "template"}, key.key.Value) {
			places++
		}
		if err := s.read(key); err != nil {
			return err
		}
	}
	if places != 1 {
		return wrong(node, "exactly one of oid, sysDescr, sysObjectID, entity and template is needed")
	}
	for _, name := range s.Template.columns() {
		if _, ok := s.OIDs[name]; !ok {
			return wrong(node, "the template's {%s} is not in oids", name)
		}
	}
	return nil
}

func (s *Source) read(key pair) (err error) {
	switch key.key.Value {
	case "oid":
		var oid OID
		err = oid.UnmarshalYAML(key.value)
		s.OID = oid.OID
	case "regex":
		err = s.Regex.UnmarshalYAML(key.value)
	case "map":
		s.Map, err = textMap(key.value)
	case "sysDescr":
		err = s.SysDescr.UnmarshalYAML(key.value)
	case "sysObjectID":
		if key.value.Kind == yaml.ScalarNode {
			return s.ObjectRegex.UnmarshalYAML(key.value)
		}
		s.SysObjectID, err = textMap(key.value)
	case "entity":
		if s.Entity = key.value.Value; EntityColumns()[s.Entity] == "" {
			return wrong(key.value, "%q is no column: model name descr hardware firmware software serial", s.Entity)
		}
	case "template":
		err = s.Template.UnmarshalYAML(key.value)
	case "oids":
		var oids map[string]OID
		err = key.value.Decode(&oids)
		s.OIDs = make(map[string]snmp.OID, len(oids))
		for name, oid := range oids {
			s.OIDs[name] = oid.OID
		}
	}
	return err
}

// Finish applies the source's regular expression and map to the text that was read.
func (s *Source) Finish(text string) string {
	text = strings.TrimSpace(text)
	if s.Regex.Regexp != nil {
		text = s.Regex.Group(text)
	}
	if mapped, ok := s.Map[text]; ok {
		return mapped
	}
	return text
}
