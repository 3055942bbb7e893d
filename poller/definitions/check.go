package definitions

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"pollux/device"
)

var (
	osName  = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._-]{0,63}$`)
	modules = []string{"processors", "mempools", "storage", "sensors"}
)

// OSTypes are what an OS may be.
func OSTypes() []string {
	return []string{
		"network", "server", "firewall", "wireless", "power", "storage", "printer", "environment", "appliance", "loadbalancer",
		"management", "collaboration",
	}
}

// SensorClasses are the classes of sensors, with LibreNMS's names.
func SensorClasses() []string {
	return []string{
		"airflow", "ber", "bitrate", "charge", "chromatic_dispersion", "cooling", "count", "current", "dbm", "delay", "eer", "fanspeed",
		"frequency", "humidity", "load", "loss", "percent", "power", "power_consumed", "power_factor", "pressure", "quality_factor",
		"runtime", "signal", "signal_loss", "snr", "state", "temperature", "tv_signal", "voltage", "waterflow",
	}
}

// MempoolClasses are the classes of memory, with LibreNMS's names.
func MempoolClasses() []string {
	return []string{"system", "virtual", "swap", "buffers", "cached", "shared"}
}

// parseOS reads and checks the file of an OS.
func parseOS(content []byte) (*OS, error) {
	o := &OS{}
	if err := decode(content, o); err != nil {
		return nil, err
	}
	o.Ports.foldCase()
	c := checker{content: content}
	if !osName.MatchString(o.OS) {
		c.at("os", "%q is no name of an OS", o.OS)
	}
	if o.Text == "" {
		c.at("text", "text is missing: what people read")
	}
	if o.Type != "" && !slices.Contains(OSTypes(), o.Type) {
		c.at("type", "type %q is none of %q", o.Type, OSTypes())
	}
	for module := range o.Exclude {
		if !slices.Contains(modules, module) {
			c.at("exclude", "exclude: %q is none of %q", module, modules)
		}
	}
	c.ports(&o.Ports)
	c.switches("modules", o.Modules, device.DiscoveryModules())
	c.switches("poller_modules", o.Polls, device.PollModules())
	if !o.Polling.SelectedPorts.Valid() {
		c.at("polling", "polling: selected_ports is auto, true or false, not %q", o.Polling.SelectedPorts)
	}
	c.tables(&o.Tables, o.States, o.OS)
	return o, c.err()
}

// switches checks which of the known modules are switched off under a key.
func (c *checker) switches(key string, modules map[string]bool, known []string) {
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		switch {
		case !slices.Contains(known, name):
			c.at(key, "%s: %q is none of %q", key, name, known)
		case modules[name]:
			c.at(key, "%s: %s: only false means something; a module runs unless somebody switches it off", key, name)
		}
	}
}

// parseMIB reads and checks the file of a MIB.
func parseMIB(content []byte) (*MIB, error) {
	m := &MIB{}
	if err := decode(content, m); err != nil {
		return nil, err
	}
	c := checker{content: content}
	if !osName.MatchString(m.MIB) {
		c.at("mib", "mib: %q is no name of a file of tables", m.MIB)
	}
	c.tables(&m.Tables, m.States, m.MIB)
	return m, c.err()
}

// checker collects what is wrong with a file.
type checker struct {
	content []byte // of the file
	found   []string
}

// at adds what is wrong with a key of the file.
func (c *checker) at(key, format string, args ...any) {
	c.add(lineOf(c.content, key), format, args...)
}

// lineOf is where a key of the file stands; 1 when it is not there.
func lineOf(content []byte, key string) int {
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil || len(document.Content) == 0 {
		return 1
	}
	keys, err := pairs(document.Content[0])
	if err != nil {
		return 1
	}
	for _, p := range keys {
		if p.key.Value == key {
			return p.key.Line
		}
	}
	return 1
}

func (c *checker) add(line int, format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf("line %d: %s", line, fmt.Sprintf(format, args...)))
}

func (c *checker) err() error {
	if len(c.found) == 0 {
		return nil
	}
	return &yaml.TypeError{Errors: c.found}
}

func (c *checker) tables(t *Tables, states map[string][]State, file string) {
	for _, entries := range t.entries() {
		for _, e := range entries {
			c.entry(e, file)
		}
	}
	for _, p := range t.Processors {
		c.names(&p.Entry, p.Value, "value")
		c.nums(&p.Entry, p.Divisor, p.Multiplier, p.Warn)
		c.divisors(p.Divisor)
		c.factors("multiplier", p.Multiplier)
	}
	for _, m := range t.Mempools {
		c.amounts(&m.Entry, &m.Amounts)
		if !m.Class.set {
			m.Class = Choice{set: true, constant: "system"}
		}
		c.choice(&m.Entry, m.Class, "class", MempoolClasses())
	}
	for _, s := range t.Storage {
		c.amounts(&s.Entry, &s.Amounts)
		c.template(&s.Entry, s.Kind)
	}
	for _, s := range t.Sensors {
		c.sensor(s, states)
	}
}

// line is where an entry stands, by what of it knows its line.
func (e *Entry) line() int {
	for _, column := range e.Columns {
		return column.line
	}
	return max(e.Descr.line, e.Index.line, 1)
}

func (c *checker) entry(e *Entry, file string) {
	if e.file = file; e.Type == "" {
		e.Type = file
	}
	if (e.Table.OID == "") == (e.Scalars.OID == "") {
		c.add(e.line(), "one of table and scalars is needed")
	}
	if len(e.Columns) == 0 {
		c.add(e.line(), "columns are missing")
	}
	for i, column := range e.Columns {
		for _, name := range column.Index.columns() {
			if !slices.ContainsFunc(e.Columns[:i], func(other Column) bool { return other.Name == name }) {
				c.add(column.line, "column %s: its index needs {%s}, which is no column above it", column.Name, name)
			}
		}
	}
	if e.Index.IsZero() {
		e.Index = Template{source: "{index}", parts: []part{{refs: []ref{{whole: true}}}}}
	}
	if e.Descr.IsZero() {
		e.Descr = e.Index
	}
	c.template(e, e.Index)
	c.template(e, e.Descr)
	for _, condition := range slices.Concat(e.When, e.Skip) {
		if condition.Of != "value" {
			c.column(e, condition.Of, condition.line)
		}
	}
}

func (c *checker) column(e *Entry, name string, line int) {
	if _, ok := e.Find(name); !ok && name != "index" {
		c.add(line, "%q is no column of this table", name)
	}
}

func (c *checker) template(e *Entry, t Template) {
	for _, name := range t.columns() {
		c.column(e, name, t.line)
	}
}

func (c *checker) nums(e *Entry, nums ...Num) {
	for _, n := range nums {
		if n.column != "" {
			c.column(e, n.column, n.line)
		}
	}
}

func (c *checker) divisors(nums ...Num) {
	for _, n := range nums {
		if n.set && n.column == "" && n.constant == 0 {
			c.add(n.line, "nothing can be divided by 0")
		}
	}
}

// factors refuses constants that make everything 0.
func (c *checker) factors(what string, nums ...Num) {
	for _, n := range nums {
		if n.set && n.column == "" && n.constant == 0 {
			c.add(n.line, "a %s of 0 leaves nothing", what)
		}
	}
}

func (c *checker) names(e *Entry, names Names, key string) {
	if len(names.list) == 0 {
		c.add(e.line(), "%s is missing", key)
	}
	for _, name := range names.list {
		c.column(e, name, names.line)
	}
}

func (c *checker) choice(e *Entry, choice Choice, key string, known []string) {
	if !choice.set {
		c.add(e.line(), "%s is missing", key)
		return
	}
	if choice.column != "" {
		c.column(e, choice.column, choice.line)
	}
	for _, word := range choice.words() {
		if !slices.Contains(known, word) {
			c.add(choice.line, "%s %q is none of %s", key, word, strings.Join(known, " "))
		}
	}
}

func (c *checker) amounts(e *Entry, a *Amounts) {
	c.nums(e, a.Used, a.Free, a.Total, a.Percent, a.PercentFree, a.Unit, a.TotalUnit, a.Warn)
	c.factors("unit", a.Unit, a.TotalUnit)
	if n := a.Total; n.set && n.column == "" && n.constant <= 0 {
		c.add(n.line, "a total of %v cannot be", n.constant)
	}
	given := 0
	for _, n := range []Num{a.Used, a.Free, a.Total} {
		given += btoi(!n.IsZero())
	}
	if given < 2 && a.Percent.IsZero() && a.PercentFree.IsZero() {
		c.add(e.line(), "two of used, free and total, or a percent, are needed")
	}
}

// conversions are what convert may name.
func conversions() []string {
	return []string{ConvertFahrenheit, ConvertKelvin, ConvertMilliwatt, ConvertMicrowatt, ConvertFloat32, ConvertHex, ConvertOctets}
}

func (c *checker) sensor(s *Sensor, states map[string][]State) {
	c.names(&s.Entry, s.Value, "value")
	c.choice(&s.Entry, s.Class, "class", SensorClasses())
	c.nums(&s.Entry, s.Divisor, s.Multiplier, s.Decimals, s.LimitDivisor,
		s.Limits.Low, s.Limits.LowWarn, s.Limits.HighWarn, s.Limits.High)
	c.divisors(s.Divisor, s.LimitDivisor)
	c.factors("multiplier", s.Multiplier)
	c.template(&s.Entry, s.Group)
	if s.Convert != "" && !slices.Contains(conversions(), s.Convert) {
		c.add(s.line(), "convert %q is none of %q", s.Convert, conversions())
	}
	if s.States.name != "" {
		list, ok := states[s.States.name]
		if !ok {
			c.add(s.States.line, "there are no states %q in this file", s.States.name)
		}
		s.States.List = list
	}
	if s.States.List != nil && !slices.Contains(s.Class.words(), "state") {
		c.add(s.States.line, "states belong to class state")
	}
}
