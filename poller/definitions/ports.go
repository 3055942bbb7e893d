package definitions

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"pollux/snmp"
)

// Ports say which rows of the interface tables are no ports, beyond the usual ones,
// and where the ports are that the IF-MIB does not have.
type Ports struct {
	SkipDescr      List[string] `yaml:"skip_ifDescr"`
	SkipDescrRegex List[Regexp] `yaml:"skip_ifDescr_regex"`
	SkipNameRegex  List[Regexp] `yaml:"skip_ifName_regex"`
	SkipType       List[string] `yaml:"skip_ifType"`
	Tables         []*PortTable `yaml:"tables"`
}

// Skips says whether a row of an interface table is no port: by its ifDescr in
// lower case, its ifName and the name of its ifType.
func (p *Ports) Skips(descr, name, kind string) bool {
	if p == nil {
		return false
	}
	matches := func(text string) func(Regexp) bool { return func(r Regexp) bool { return r.MatchString(text) } }
	return slices.ContainsFunc(p.SkipDescr, func(part string) bool { return strings.Contains(descr, strings.ToLower(part)) }) ||
		slices.ContainsFunc(p.SkipDescrRegex, matches(descr)) || slices.ContainsFunc(p.SkipNameRegex, matches(name)) ||
		slices.Contains(p.SkipType, kind)
}

// foldCase has the expressions on ifDescr, which they see in lower case, fit capital letters, too.
func (p *Ports) foldCase() {
	for i, r := range p.SkipDescrRegex {
		if r.Regexp == nil { // an empty item, which is told elsewhere
			continue
		}
		if folded, err := regexp.Compile("(?i)" + r.String()); err == nil {
			p.SkipDescrRegex[i].Regexp = folded
		}
	}
}

// PortTable is a table of ports that the IF-MIB (RFC 2863) does not have, or not all
// of them. Its columns are those of the IF-MIB by their meaning.
type PortTable struct {
	// Name tells its rows from those of other tables in the inventory; it must stay.
	Name    string  `yaml:"name"`
	Table   OID     `yaml:"table"`   // the OID of the row; its columns stand below it
	Columns Columns `yaml:"columns"` // by their names in the IF-MIB, see PortColumns
	// IfIndex is the number that a row has as a port, as long as no other port has it.
	IfIndex Template `yaml:"ifIndex"`
	// Standard are the beginnings of the indexes of rows that are ports of the IF-MIB, too.
	Standard List[string] `yaml:"standard"`
	Maps     PortMaps     `yaml:"maps"`
}

// PortMaps say what the numbers of columns mean that have other ones than the IF-MIB. A number that is not
// among those of a state is no state.
type PortMaps struct {
	AdminStatus NumberNames `yaml:"ifAdminStatus"`
	OperStatus  NumberNames `yaml:"ifOperStatus"`
	Type        NumberNames `yaml:"ifType"`
}

// NumberNames are the names that numbers stand for.
type NumberNames map[uint64]string

// UnmarshalYAML takes {1: up, 2: down}.
func (n *NumberNames) UnmarshalYAML(node *yaml.Node) error {
	entries, err := pairs(node)
	if err != nil {
		return err
	}
	*n = make(NumberNames, len(entries))
	for _, entry := range entries {
		number, err := strconv.ParseUint(entry.key.Value, 10, 32)
		if err != nil {
			return wrong(entry.key, "%q is no number", entry.key.Value)
		}
		if entry.value.Kind != yaml.ScalarNode || !portWord.MatchString(entry.value.Value) {
			return wrong(entry.value, "%q is no name of a state or type: letters and digits, at most 32", entry.value.Value)
		}
		(*n)[number] = entry.value.Value
	}
	return nil
}

var (
	portWord  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,31}$`)
	tableName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`)
	beginning = regexp.MustCompile(`^\d{1,10}(\.\d{1,10}){0,7}$`)
)

// PortColumns are the columns that a PortTable may have. Counters of octets and packets have 64 bits; ifSpeed is
// in bit/s and may have 64.
func PortColumns() []string {
	return []string{
		"ifDescr", "ifName", "ifAlias", "ifPhysAddress", "ifType", "ifMtu", "ifSpeed", "ifHighSpeed", "ifAdminStatus", "ifOperStatus",
		"ifLastChange", "ifCounterDiscontinuityTime", "ifHCInOctets", "ifHCInUcastPkts", "ifHCInMulticastPkts", "ifHCInBroadcastPkts",
		"ifHCOutOctets", "ifHCOutUcastPkts", "ifHCOutMulticastPkts", "ifHCOutBroadcastPkts", "ifInDiscards", "ifInErrors",
		"ifInUnknownProtos", "ifOutDiscards", "ifOutErrors",
	}
}

// Column is the OID of a column without the row's index, "" when the table does not have it.
func (t *PortTable) Column(name string) snmp.OID {
	for _, c := range t.Columns {
		switch {
		case c.Name != name:
		case c.OID != "":
			return c.OID
		default:
			return t.Table.OID + snmp.OID("."+c.Arc)
		}
	}
	return ""
}

// Index is the number that a row is to have as a port, by its index; false when that is no ifIndex (1 to 2^31-1, RFC 2863).
func (t *PortTable) Index(index string) (int64, bool) {
	n, err := strconv.ParseInt(t.IfIndex.Expand(Row{Index: index}), 10, 32)
	return n, err == nil && n > 0
}

// IsStandard says whether a row is one that the IF-MIB has, too.
func (t *PortTable) IsStandard(index string) bool {
	return slices.ContainsFunc(t.Standard, func(begin string) bool { return index == begin || strings.HasPrefix(index, begin+".") })
}

// Find is the table of a name, nil when there is none.
func (p *Ports) Find(name string) *PortTable {
	if p == nil {
		return nil
	}
	for _, t := range p.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// maxPortTables bounds the tables of an OS: each is asked for at each poll.
const maxPortTables = 4

func (c *checker) ports(p *Ports) {
	if slices.Contains(p.SkipDescr, "") {
		c.at("ports", "ports: a text of skip_ifDescr is empty, and would leave out every port")
	}
	if len(p.Tables) > maxPortTables {
		c.at("ports", "ports: more than %d tables", maxPortTables)
	}
	for i, t := range p.Tables {
		if t == nil {
			c.at("ports", "ports: a table is empty")
			continue
		}
		if slices.ContainsFunc(p.Tables[:i], func(other *PortTable) bool { return other != nil && other.Name == t.Name }) {
			c.add(t.line(), "ports: the table %s is there twice", t.Name)
		}
		c.portTable(t)
	}
}

// line is where a table stands, by what of it knows its line.
func (t *PortTable) line() int {
	for _, column := range t.Columns {
		return column.line
	}
	return max(t.IfIndex.line, 1)
}

func (c *checker) portTable(t *PortTable) {
	if !tableName.MatchString(t.Name) {
		c.add(t.line(), "ports: %q is no name of a table: small letters, digits and hyphens, at most 16", t.Name)
	}
	for _, column := range t.Columns {
		switch {
		case !slices.Contains(PortColumns(), column.Name):
			c.add(column.line, "ports: %s is no column of ports: %s", column.Name, strings.Join(PortColumns(), " "))
		case !column.Index.IsZero():
			c.add(column.line, "column %s: the columns of ports have the index of their row", column.Name)
		case column.OID == "" && t.Table.OID == "":
			c.add(column.line, "column %s: table is missing, which it stands below", column.Name)
		}
	}
	if t.Column("ifName") == "" {
		c.add(t.line(), "ports: the table %s has no column ifName, by which its ports are known", t.Name)
	}
	if t.IfIndex.IsZero() {
		t.IfIndex = Template{source: "{index}", parts: []part{{refs: []ref{{whole: true}}}}}
	}
	for _, name := range t.IfIndex.columns() {
		if name != "index" {
			c.add(t.IfIndex.line, "ifIndex can be made of the row's index only, not of {%s}", name)
		}
	}
	for _, begin := range t.Standard {
		if !beginning.MatchString(begin) {
			c.add(t.line(), "standard: %q is no beginning of an index, such as 1 or 1.4", begin)
		}
	}
	c.states(t, "ifAdminStatus", t.Maps.AdminStatus, AdminStatuses())
	c.states(t, "ifOperStatus", t.Maps.OperStatus, OperStatuses())
}

func (c *checker) states(t *PortTable, column string, names NumberNames, known []string) {
	for _, number := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(known[1:], names[number]) {
			c.add(t.line(), "maps: %s: %d: %q is none of %q", column, number, names[number], known[1:])
		}
	}
}

// AdminStatuses are the names of ifAdminStatus by number (RFC 2863); 0 has none.
func AdminStatuses() []string { return []string{"", "up", "down", "testing"} }

// OperStatuses are the names of ifOperStatus by number (RFC 2863); 0 has none.
func OperStatuses() []string {
	return []string{"", "up", "down", "testing", "unknown", "dormant", "notPresent", "lowerLayerDown"}
}
