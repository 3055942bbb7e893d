package definitions

import "pollux/snmp"

// Entry is what all tables have in common: where the rows are, what they are
// called, and which of them count.
type Entry struct {
	Table    OID         `yaml:"table"`   // the OID of the row; its columns stand below it
	Scalars  OID         `yaml:"scalars"` // or the parent of scalars, which are read at instance 0
	Columns  Columns     `yaml:"columns"`
	Index    Template    `yaml:"index"`
	Descr    Template    `yaml:"descr"`
	Type     string      `yaml:"type"`
	When     []Condition `yaml:"when"`
	Skip     []Condition `yaml:"skip"`
	Fallback bool        `yaml:"fallback"`

	file string
}

// File is the name of the OS or MIB whose file the table is in.
func (e *Entry) File() string { return e.file }

// Base is the OID that the columns stand below.
func (e *Entry) Base() snmp.OID {
	if e.Scalars.OID != "" {
		return e.Scalars.OID
	}
	return e.Table.OID
}

// OIDOf is the OID of a column, without the index.
func (e *Entry) OIDOf(c Column) snmp.OID {
	if c.OID != "" {
		return c.OID
	}
	return e.Base() + snmp.OID("."+c.Arc)
}

// Find is the column of a name.
func (e *Entry) Find(name string) (Column, bool) {
	for _, c := range e.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Counts says whether a row is one: all of When hold and none of Skip.
func (e *Entry) Counts(row Row) bool {
	for _, c := range e.When {
		if !c.holds(row) {
			return false
		}
	}
	for _, c := range e.Skip {
		if c.holds(row) {
			return false
		}
	}
	return true
}

// Processor is a table of processors.
type Processor struct {
	Entry      `yaml:",inline"`
	Value      Names  `yaml:"value"` // percent
	Pattern    Regexp `yaml:"pattern"`
	Divisor    Num    `yaml:"divisor"`
	Multiplier Num    `yaml:"multiplier"`
	Inverted   bool   `yaml:"inverted"` // the value is what is idle
	Warn       Num    `yaml:"warn"`     // percent
}

// Amounts say how much there is and how much of it is used, in bytes once
// multiplied by Unit, or in percent. Two of Used, Free and Total make the third.
type Amounts struct {
	Used        Num `yaml:"used"`
	Free        Num `yaml:"free"`
	Total       Num `yaml:"total"`
	TotalUnit   Num `yaml:"total_unit"`   // bytes, where the total has another unit
	Percent     Num `yaml:"percent"`      // used
	PercentFree Num `yaml:"percent_free"` // not used
	Unit        Num `yaml:"unit"`         // bytes
	Warn        Num `yaml:"warn"`         // percent used
}

// Mempool is a table of memory.
type Mempool struct {
	Entry   `yaml:",inline"`
	Amounts `yaml:",inline"`
	Class   Choice `yaml:"class"`
}

// Storage is a table of disks and file systems.
type Storage struct {
	Entry   `yaml:",inline"`
	Amounts `yaml:",inline"`
	Kind    Template `yaml:"kind"`
}

// Limits are those of a sensor: a number is final, a column is scaled as the sensor's value is.
type Limits struct {
	Low      Num `yaml:"low"`
	LowWarn  Num `yaml:"low_warn"`
	HighWarn Num `yaml:"high_warn"`
	High     Num `yaml:"high"`
}

// Sensor is a table of sensors.
type Sensor struct {
	Entry        `yaml:",inline"`
	Class        Choice   `yaml:"class"`
	Value        Names    `yaml:"value"`
	Pattern      Regexp   `yaml:"pattern"`
	Map          NumMap   `yaml:"map"` // the number that a text stands for
	Divisor      Num      `yaml:"divisor"`
	Multiplier   Num      `yaml:"multiplier"`
	Decimals     Num      `yaml:"decimals"`
	Convert      string   `yaml:"convert"`
	Limits       Limits   `yaml:"limits"`
	LimitDivisor Num      `yaml:"limit_divisor"`
	States       StateUse `yaml:"states"`
	Group        Template `yaml:"group"`
}

// Severity says how bad a state is.
type Severity string

// The severities of states.
const (
	SeverityOK       Severity = "ok"
	SeverityWarning  Severity = "warning"
	SeverityCritical Severity = "critical"
	SeverityUnknown  Severity = "unknown"
)

// State is one value of a state sensor.
type State struct {
	Is       int64    `yaml:"is"`
	Name     string   `yaml:"name"`
	Severity Severity `yaml:"severity"`
}

// Tables are the tables of one file, or of one OS with all that it includes.
type Tables struct {
	Processors []*Processor `yaml:"processors"`
	Mempools   []*Mempool   `yaml:"mempools"`
	Storage    []*Storage   `yaml:"storage"`
	Sensors    []*Sensor    `yaml:"sensors"`
}

// entries are all tables by the name of their module.
func (t *Tables) entries() map[string][]*Entry {
	all := make(map[string][]*Entry, 4)
	for _, p := range t.Processors {
		all["processors"] = append(all["processors"], &p.Entry)
	}
	for _, m := range t.Mempools {
		all["mempools"] = append(all["mempools"], &m.Entry)
	}
	for _, s := range t.Storage {
		all["storage"] = append(all["storage"], &s.Entry)
	}
	for _, s := range t.Sensors {
		all["sensors"] = append(all["sensors"], &s.Entry)
	}
	return all
}
