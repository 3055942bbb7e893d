package definitions

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"pollux/snmp"
)

// Rule recognises an OS when all of its conditions hold.
type Rule struct {
	Signs
	Except Signs
	Get    []Probe
}

// Signs are looked for in what every device says of itself. One of each list is enough.
type Signs struct {
	SysObjectID List[OID]    `yaml:"sysObjectID"` // the beginning of it, in whole arcs
	SysDescr    List[string] `yaml:"sysDescr"`    // a part of it; case counts
	SysDescrRE  List[Regexp] `yaml:"sysDescr_regex"`
}

// UnmarshalYAML reads signs of an exception strictly: a misspelt one would except nothing.
func (s *Signs) UnmarshalYAML(node *yaml.Node) error {
	if _, err := pairs(node, "sysObjectID", "sysDescr", "sysDescr_regex"); err != nil {
		return err
	}
	type plain Signs // without this method
	if err := node.Decode((*plain)(s)); err != nil {
		return err
	}
	return s.checkTexts(node)
}

// checkTexts refuses an empty text, which is a part of every sysDescr.
func (s *Signs) checkTexts(node *yaml.Node) error {
	if slices.Contains(s.SysDescr, "") {
		return wrong(node, "a text of sysDescr is empty")
	}
	return nil
}

// UnmarshalYAML reads a probe strictly.
func (p *Probe) UnmarshalYAML(node *yaml.Node) error {
	if _, err := pairs(node, "oid", "exists", "contains", "equals", "regex"); err != nil {
		return err
	}
	type plain Probe // without this method
	return node.Decode((*plain)(p))
}

// Probe is a further object that decides.
type Probe struct {
	OID      OID          `yaml:"oid"`
	Exists   bool         `yaml:"exists"`
	Contains List[string] `yaml:"contains"`
	Equals   List[string] `yaml:"equals"`
	Regex    *Regexp      `yaml:"regex"`
}

// UnmarshalYAML reads a rule that names at least one sign: nothing else bounds who is asked further.
func (r *Rule) UnmarshalYAML(node *yaml.Node) error {
	if _, err := pairs(node, "sysObjectID", "sysDescr", "sysDescr_regex", "except", "get"); err != nil {
		return err
	}
	var read struct { // Signs has a method of its own, which knows no other keys
		SysObjectID List[OID]    `yaml:"sysObjectID"`
		SysDescr    List[string] `yaml:"sysDescr"`
		SysDescrRE  List[Regexp] `yaml:"sysDescr_regex"`
		Except      Signs        `yaml:"except"`
		Get         []Probe      `yaml:"get"`
	}
	if err := node.Decode(&read); err != nil {
		return err
	}
	*r = Rule{Signs: Signs{read.SysObjectID, read.SysDescr, read.SysDescrRE}, Except: read.Except, Get: read.Get}
	if r.empty() {
		return wrong(node, "a rule needs sysObjectID, sysDescr or sysDescr_regex")
	}
	if err := r.checkTexts(node); err != nil {
		return err
	}
	for _, p := range r.Get {
		if p.OID.OID == "" || !p.Exists && p.Contains == nil && p.Equals == nil && p.Regex == nil {
			return wrong(node, "a get needs an oid and one of exists, contains, equals and regex")
		}
	}
	return nil
}

func (s *Signs) empty() bool {
	return len(s.SysObjectID) == 0 && len(s.SysDescr) == 0 && len(s.SysDescrRE) == 0
}

// under says whether an OID is the other or below it.
func under(oid, above snmp.OID) bool {
	return oid == above || strings.HasPrefix(string(oid), string(above)+".")
}

// object is the number of arcs of the longest prefix that holds; 0 when there is none.
func (s *Signs) object(sysObjectID snmp.OID) int {
	arcs := 0
	for _, prefix := range s.SysObjectID {
		if under(sysObjectID, prefix.OID) {
			arcs = max(arcs, 1+strings.Count(string(prefix.OID), "."))
		}
	}
	return arcs
}

func (s *Signs) descr(sysDescr string) bool {
	return slices.ContainsFunc(s.SysDescr, func(part string) bool { return strings.Contains(sysDescr, part) })
}

func (s *Signs) descrRE(sysDescr string) bool {
	return slices.ContainsFunc(s.SysDescrRE, func(r Regexp) bool { return r.MatchString(sysDescr) })
}

// holds says whether the cheap conditions hold.
func (r *Rule) holds(sysObjectID snmp.OID, sysDescr string) bool {
	switch {
	case len(r.SysObjectID) > 0 && r.object(sysObjectID) == 0, len(r.SysDescr) > 0 && !r.descr(sysDescr),
		len(r.SysDescrRE) > 0 && !r.descrRE(sysDescr):
		return false
	}
	return r.Except.object(sysObjectID) == 0 && !r.Except.descr(sysDescr) && !r.Except.descrRE(sysDescr)
}

func (p *Probe) holds(text string, there bool) bool {
	text = strings.TrimSpace(text)
	switch {
	case !there:
		return false
	case p.Contains != nil && !slices.ContainsFunc(p.Contains, func(part string) bool { return strings.Contains(text, part) }):
		return false
	case p.Equals != nil && !slices.ContainsFunc(p.Equals, func(wanted string) bool { return same(text, wanted) }):
		return false
	case p.Regex != nil && !p.Regex.MatchString(text):
		return false
	}
	return true
}

// candidate is a rule that holds so far, with what ranks it.
type candidate struct {
	os    *OS
	rule  *Rule
	arcs  int
	descr bool
}

func better(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(b.arcs, a.arcs),
		cmp.Compare(btoi(b.descr), btoi(a.descr)),
		cmp.Compare(a.os.OS, b.os.OS),
	)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// maxProbes bounds the objects that one device is asked for to tell what it is.
const maxProbes = 60

// Detect says which OS a device runs; nil when no definition fits. ask reads
// further objects where sysObjectID and sysDescr do not decide, and returns those
// that exist as text; it may be nil.
func (s *Set) Detect(sysObjectID snmp.OID, sysDescr string, ask func([]snmp.OID) map[snmp.OID]string) *OS {
	var sure, probed, last []candidate
	for _, os := range s.oses {
		for i := range os.Detect {
			rule := &os.Detect[i]
			if !rule.holds(sysObjectID, sysDescr) {
				continue
			}
			c := candidate{os, rule, rule.object(sysObjectID), len(rule.SysDescr)+len(rule.SysDescrRE) > 0}
			switch {
			case os.Fallback:
				last = append(last, c)
			case len(rule.Get) > 0:
				probed = append(probed, c)
			default:
				sure = append(sure, c)
			}
		}
	}
	if len(sure) == 0 && len(probed) > 0 && ask != nil {
		sure = confirmed(probed, ask)
	}
	if len(sure) == 0 {
		sure = last
	}
	if len(sure) == 0 {
		return nil
	}
	return slices.MinFunc(sure, better).os
}

// confirmed are the candidates whose probes hold.
func confirmed(candidates []candidate, ask func([]snmp.OID) map[snmp.OID]string) []candidate {
	slices.SortStableFunc(candidates, better)
	var oids []snmp.OID
	for _, c := range candidates {
		for _, p := range c.rule.Get {
			if !slices.Contains(oids, p.OID.OID) && len(oids) < maxProbes {
				oids = append(oids, p.OID.OID)
			}
		}
	}
	answers := ask(oids)
	return slices.DeleteFunc(candidates, func(c candidate) bool {
		for i := range c.rule.Get {
			text, there := answers[c.rule.Get[i].OID.OID]
			if !c.rule.Get[i].holds(text, there) {
				return true
			}
		}
		return false
	})
}
