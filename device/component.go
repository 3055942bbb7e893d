package device

import (
	"math"
	"strconv"
	"time"
)

// ComponentKind says what a component is.
type ComponentKind string

// The kinds of components.
const (
	KindProcessor ComponentKind = "processor"
	KindMempool   ComponentKind = "mempool"
	KindStorage   ComponentKind = "storage"
	KindSensor    ComponentKind = "sensor"
	KindHost      ComponentKind = "host" // what a host tells of itself as a whole; it has no value of its own
)

// ComponentKinds are all of them, in the order of lists.
func ComponentKinds() []ComponentKind {
	return []ComponentKind{KindProcessor, KindMempool, KindStorage, KindSensor, KindHost}
}

// Component is what a discovery finds on a device by its definition: a
// processor, a memory pool, a storage or a sensor. Texts are valid UTF-8 without
// control characters. Kind, Class, Type and Index together are unique on a device.
type Component struct {
	ID       int64 // 0 when the inventory does not know it yet
	DeviceID int64

	Kind  ComponentKind
	Class string // of a sensor: temperature, state, ...; of a memory pool: system, swap, ...; else ""
	Type  string // the definition that found it
	Index string
	Descr string // what people read
	Label string // heading of a sensor in lists; what the device calls a storage

	Reading Reading
	Limits  Limits
	States  []SensorState // of class state

	// What a discovery read last. Value is the usage of a processor and the used share of memory and storage
	// in percent, or the value of a sensor; of a state it is the raw number.
	Value       float64
	Used, Total *float64 // bytes; nil where the device gives a percentage only

	Status     ComponentStatus
	Disabled   bool   // not measured, by choice
	Vanished   bool   // absent from two complete discoveries
	Missed     int    // complete discoveries in a row without it
	RRDName    string // of its file, without generation and ending; pinned when it is found first
	Generation int    // of its file; grows when the interval changes
	SeenAt     time.Time
}

// ComponentStatus says where the value of a component stands.
type ComponentStatus string

// The statuses of components, by their limits or the severity of their state.
const (
	ComponentOK       ComponentStatus = "ok"
	ComponentWarning  ComponentStatus = "warning"
	ComponentCritical ComponentStatus = "critical"
	ComponentUnknown  ComponentStatus = "unknown"
)

// Reading says how a poll measures a component. A processor and a sensor have
// Value; memory and storage have two of Used, Free and Total, or Value as the used
// share in percent. An amount without an OID is the constant beside it.
type Reading struct {
	Value    string  `json:"value,omitempty"` // OID of the instance
	Formula  Formula `json:"formula"`
	Inverted bool    `json:"inverted,omitempty"` // the value is what is idle or free

	// A component of KindHost has these instead: the kind of its file, and the OID of each source, "" for one that the device lacks.
	File    uint8    `json:"file,omitempty"`
	Sources []string `json:"sources,omitempty"`

	Skip []ValueTest `json:"skip,omitempty"` // what is read that means "no reading", of Value, else of Used, else of Free

	Used      string  `json:"used,omitempty"` // OIDs of instances
	Free      string  `json:"free,omitempty"`
	Total     string  `json:"total,omitempty"`
	Constant  float64 `json:"constant,omitempty"`   // the total in bytes, where it has no OID
	Unit      float64 `json:"unit,omitempty"`       // bytes in a unit of Used, Free and Total; 0 is 1
	TotalUnit float64 `json:"total_unit,omitempty"` // of Total, where it has another
}

// ValueTest is a raw value that means that there is no reading: a sensor that is not plugged in, an agent that does not know.
type ValueTest struct {
	Is   []string `json:"is,omitempty"`
	Less *float64 `json:"less,omitempty"`
	More *float64 `json:"more,omitempty"`
}

// Skips says whether what was read means that there is no reading. text is its
// text without blanks at the ends; number, when it has one, is the first number in it.
func (r *Reading) Skips(text string, number float64, isNumber bool) bool {
	n, err := strconv.ParseFloat(text, 64)
	for _, test := range r.Skip {
		for _, word := range test.Is {
			wanted, wrong := strconv.ParseFloat(word, 64)
			if word == text || err == nil && wrong == nil && wanted == n {
				return true
			}
		}
		if isNumber && (test.Less != nil && number < *test.Less || test.More != nil && number > *test.More) {
			return true
		}
	}
	return false
}

// OIDs are the objects that a poll asks for.
func (r *Reading) OIDs() []string {
	var oids []string
	for _, oid := range append([]string{r.Value, r.Used, r.Free, r.Total}, r.Sources...) {
		if oid != "" {
			oids = append(oids, oid)
		}
	}
	return oids
}

// Formula makes a measurement of what was read: convert(value x Multiplier / Divisor).
type Formula struct {
	Divisor    float64            `json:"divisor,omitempty"`    // 0 is 1
	Multiplier float64            `json:"multiplier,omitempty"` // 0 is 1
	Convert    string             `json:"convert,omitempty"`    // see the format of definitions
	Pattern    string             `json:"pattern,omitempty"`    // its first group is the number in a text; "" for the first number
	Map        map[string]float64 `json:"map,omitempty"`        // the number that a text stands for
}

// Limits are where a value is no longer good. A nil limit is none. For
// processors, memory and storage only HighWarn stands, in percent.
type Limits struct {
	Low, LowWarn, HighWarn, High *float64
}

// SensorState is one value of a state sensor.
type SensorState struct {
	Value    int64           `json:"value"`
	Name     string          `json:"name"`
	Severity ComponentStatus `json:"severity"`
}

// State is the state of a raw number, and false when the definition does not name it.
func (c *Component) State(value float64) (SensorState, bool) {
	for _, s := range c.States {
		if float64(s.Value) == value {
			return s, true
		}
	}
	return SensorState{}, false
}

// StatusOf is the status that a value means. Values at a limit are still good.
func (c *Component) StatusOf(value float64) ComponentStatus {
	if len(c.States) > 0 {
		if s, known := c.State(value); known {
			return s.Severity
		}
		return ComponentUnknown
	}
	l := c.Limits
	switch {
	case l.Low != nil && value < *l.Low, l.High != nil && value > *l.High:
		return ComponentCritical
	case l.LowWarn != nil && value < *l.LowWarn, l.HighWarn != nil && value > *l.HighWarn:
		return ComponentWarning
	default:
		return ComponentOK
	}
}

// StatusAfter is the status that a value means of a component that had another
// one: a worse one at once, a better one only when the value is clear of the limit by 1 percent of it, and at most by a
// tenth of what lies between the limits. A value that swings about its limit crosses it once.
func (c *Component) StatusAfter(was ComponentStatus, value float64) ComponentStatus {
	now := c.StatusOf(value)
	if len(c.States) > 0 || now.badness() >= was.badness() {
		return now
	}
	held := (&Component{Limits: c.narrowed()}).StatusOf(value)
	if held.badness() > was.badness() {
		return was
	}
	return held
}

// badness orders the statuses of values with limits.
func (s ComponentStatus) badness() int {
	switch s {
	case ComponentCritical:
		return 2
	case ComponentWarning:
		return 1
	default:
		return 0
	}
}

// narrowed are limits that leave less room for what is good. Some of it always stays: of what can be counted
// there may never be more than the least that should be there, nor more than 100 percent of a whole.
func (c *Component) narrowed() Limits {
	l, between := c.Limits, math.Inf(1)
	for _, low := range []*float64{l.Low, l.LowWarn} {
		for _, high := range []*float64{l.HighWarn, l.High} {
			if low != nil && high != nil {
				between = min(between, max(*high-*low, 0))
			}
		}
	}
	moved := func(limit *float64, by float64) *float64 {
		if limit == nil {
			return nil
		}
		to := *limit + by*min(math.Abs(*limit)/100, between/10)
		switch c.Class {
		case "count":
			to = *limit + min(by*math.Floor(math.Abs(to-*limit)), 0)
		case "charge", "humidity", "percent":
			to = min(to, max(*limit, 100))
		}
		return &to
	}
	return Limits{Low: moved(l.Low, 1), LowWarn: moved(l.LowWarn, 1), HighWarn: moved(l.HighWarn, -1), High: moved(l.High, -1)}
}

// Key tells the components of one device apart.
func (c *Component) Key() [4]string { return [4]string{string(c.Kind), c.Class, c.Type, c.Index} }

// ComponentReading is one component as a poll saw it.
type ComponentReading struct {
	ID          int64
	Value       float64
	Used, Total *float64 // bytes
	Status      ComponentStatus
}

// Discovery is the result of one discovery: what the store keeps of it.
type Discovery struct {
	DeviceID   int64
	Host       string // what was asked, as Device.Host and Port; "" when it does not matter
	Port       uint16
	Slot       int64     // Unix second: two discoveries of one slot count once
	At         time.Time // by the clock of Redis
	Duration   time.Duration
	Outcome    Outcome
	Reason     string // why it is down, auth or partial
	Facts      *Facts // nil when nothing was read
	Components []Component
	Complete   map[ComponentKind]bool // all tables of the kind were read to their ends: components absent from them count as missed
	Refused    int                    // values that cannot be: no number, over 100 percent, a negative size
	Lacks      []string               // what polls need not ask for, as Device.Lacks; nil when that was not found out
	Node       string
	Inventory
}

// Discoverable is what the producer must know of a device to offer its discovery.
type Discoverable struct {
	ID    int64
	Group int64
	Slot  int64 // of its last discovery, a Unix second; 0 when it never was discovered
}

// Overdue says whether the current discovery slot of a device, of which one
// begins every so many seconds, has not been carried out yet.
func (d Discoverable) Overdue(every int, now int64) (slot int64, overdue bool) {
	slot = SlotAt(d.ID, every, now)
	return slot, d.Slot < slot
}
