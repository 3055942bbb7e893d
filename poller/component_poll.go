package poller

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"pollux/device"
	"pollux/measurement"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// componentsModule measures the components of one kind that discoveries found.
type componentsModule struct {
	name string
	kind device.ComponentKind
	file measurement.Kind
}

// componentsModules are the modules that measure what discoveries found.
func componentsModules() []Module {
	return []Module{
		componentsModule{"processors", device.KindProcessor, measurement.KindProcessor},
		componentsModule{"mempools", device.KindMempool, measurement.KindMempool},
		componentsModule{"storage", device.KindStorage, measurement.KindStorage},
		componentsModule{"sensors", device.KindSensor, measurement.KindSensor},
		componentsModule{"host", device.KindHost, 0},
	}
}

func (m componentsModule) Name() string { return m.name }

// wants says whether the module measures a component.
func (m componentsModule) wants(component *device.Component) bool {
	return component.Kind == m.kind && !component.Vanished && !component.Disabled
}

// idle implements what Context.idle asks for: the device has no component of the kind.
func (m componentsModule) idle(c *Context) bool {
	for i := range c.Target.Components {
		if m.wants(&c.Target.Components[i]) {
			return false
		}
	}
	return true
}

// Run asks for the objects of all components of the kind. One that the device
// does not answer any more is filed as nothing: whether it is gone is a discovery's to say.
func (m componentsModule) Run(ctx context.Context, c *Context) error {
	oids := m.objects(c)
	if len(oids) == 0 {
		return nil
	}
	err := c.gather(ctx, m.name, oids)
	refused := 0
	for i := range c.Target.Components {
		if component := &c.Target.Components[i]; m.wants(component) && !c.measure(component, m.file, c.answers.got) {
			refused++
		}
	}
	c.Report.Poll.Refused += refused
	if err != nil {
		return fmt.Errorf("get %d objects: %w", len(oids), err)
	}
	return nil
}

// objects are those of the components that the module measures, each once.
func (m componentsModule) objects(c *Context) (oids []string) {
	seen := make(map[string]bool)
	for i := range c.Target.Components {
		component := &c.Target.Components[i]
		if !m.wants(component) {
			continue
		}
		for _, oid := range component.Reading.OIDs() {
			if !seen[oid] {
				seen[oid] = true
				oids = append(oids, oid)
			}
		}
	}
	return oids
}

// errRefused says that a value cannot be.
var errRefused = errors.New("refused")

// measure files what was answered for a component. It is false for a value that
// cannot be; one that was not answered is no fault.
func (c *Context) measure(component *device.Component, file measurement.Kind, answers map[string]snmp.Variable) bool {
	if component.Kind == device.KindHost {
		c.Report.Poll.Refused += c.measureHost(component, answers)
		return true
	}
	reading, values, at, err := readComponent(component, answers)
	switch {
	case errors.Is(err, errRefused):
		return false
	case err != nil, at.IsZero():
		return true
	}
	reading.ID, reading.Status = component.ID, component.StatusOf(reading.Value)
	c.Report.Poll.Components = append(c.Report.Poll.Components, reading)
	c.Report.Measurements = append(c.Report.Measurements, measurement.Measurement{
		Kind: file, Instance: component.ID, Name: component.RRDName, Generation: component.Generation, Time: at, Values: values,
	})
	return true
}

// measureHost files what was answered of a host's file, and says how many values of it cannot be: what a
// host tells of itself is never negative. Its counters begin anew when the device did.
func (c *Context) measureHost(component *device.Component, answers map[string]snmp.Variable) (refused int) {
	kind := measurement.Kind(component.Reading.File)
	sources := component.Reading.Sources
	if !kind.Named() || len(sources) != len(kind.Sources()) {
		return 0 // of another version of the program
	}
	m := measurement.Measurement{
		Kind: kind, Instance: component.ID, Name: component.RRDName, Generation: component.Generation,
		Values: make([]measurement.Value, len(sources)), Break: c.restarted && kind.Counters(),
	}
	for i, oid := range sources {
		v, ok := answers[oid]
		if !ok || oid == "" || !v.Value.Exists() {
			continue
		}
		if m.Values[i] = hostValue(v.Value, kind.Counters()); m.Values[i].IsUnknown() {
			refused++
		} else if m.Time.IsZero() {
			m.Time = v.At
		}
	}
	if !m.Time.IsZero() {
		c.Report.Measurements = append(c.Report.Measurements, m)
	}
	return refused
}

// hostValue is a counter or a level of a host, unknown for what cannot be one.
func hostValue(v snmp.Value, counter bool) measurement.Value {
	if counter {
		if n, ok := v.Uint(); ok {
			return measurement.Counter(n)
		}
		return measurement.Value{}
	}
	if n, ok := v.Number(); ok && n >= 0 {
		return measurement.Gauge(n)
	}
	return measurement.Value{}
}

// errAbsent says that the device did not answer for a component.
var errAbsent = errors.New("not answered")

// readComponent makes the values of a component's file of what was answered.
func readComponent(c *device.Component, answers map[string]snmp.Variable) (device.ComponentReading, []measurement.Value, time.Time, error) {
	r := c.Reading
	if r.Used != "" || r.Free != "" {
		return readAmounts(c, answers)
	}
	v, ok := answers[r.Value]
	if !ok || !v.Value.Exists() {
		return device.ComponentReading{}, nil, time.Time{}, errAbsent
	}
	if skipped(&r, v.Value) {
		return device.ComponentReading{}, nil, time.Time{}, errAbsent
	}
	formula, err := formulaOf(r.Formula)
	if err != nil {
		return device.ComponentReading{}, nil, time.Time{}, err
	}
	value, ok := formula.Apply(v.Value)
	if r.Inverted {
		value = 100 - value
	}
	if !ok || c.Kind != device.KindSensor && !isPercent(value) || c.Kind == device.KindSensor && !canBe(c.Class, value) {
		return device.ComponentReading{}, nil, time.Time{}, errRefused
	}
	if c.Kind != device.KindMempool && c.Kind != device.KindStorage {
		return device.ComponentReading{Value: value}, []measurement.Value{measurement.Gauge(value)}, v.At, nil
	}
	return readShare(&r, value, v.At, answers)
}

// readShare makes used and free of the used share in percent: bytes when the
// total is known, else the percent of 100. A file holds one or the other: without the total that it has held so far nothing is filed.
func readShare(r *device.Reading, share float64, at time.Time, answers map[string]snmp.Variable) (device.ComponentReading, []measurement.Value, time.Time, error) {
	read, total := device.ComponentReading{Value: share}, 100.0
	bytes, err := amountOf(answers, r.Total, r.Constant, or(r.TotalUnit, or(r.Unit, 1)))
	switch {
	case err == nil && (bytes <= 0 || bytes > maxAmount):
		return read, nil, at, errRefused
	case err == nil:
		total, read.Total = bytes, &bytes
	case r.Total != "":
		return read, nil, at, err
	}
	used := total * share / 100
	if read.Total != nil {
		read.Used = &used
	}
	return read, []measurement.Value{measurement.Gauge(used), measurement.Gauge(total - used)}, at, nil
}

// skipped says whether what was read means that there is no reading, as the
// conditions of definitions judge it: a text has the first number in it.
func skipped(r *device.Reading, v snmp.Value) bool {
	if len(r.Skip) == 0 {
		return false
	}
	n, isNumber := definitions.Number(v, definitions.Regexp{}, false)
	return r.Skips(strings.TrimSpace(v.Text()), n, isNumber)
}

// readAmounts makes used and free of two of used, free and total.
func readAmounts(c *device.Component, answers map[string]snmp.Variable) (device.ComponentReading, []measurement.Value, time.Time, error) {
	r := c.Reading
	unit := or(r.Unit, 1)
	if first, ok := answers[or2(r.Used, r.Free)]; ok && skipped(&r, first.Value) {
		return device.ComponentReading{}, nil, time.Time{}, errAbsent
	}
	used, noUsed := amountOf(answers, r.Used, 0, unit)
	free, noFree := amountOf(answers, r.Free, 0, unit)
	total, noTotal := amountOf(answers, r.Total, r.Constant, or(r.TotalUnit, unit))
	switch {
	case noUsed == nil && noFree == nil && noTotal != nil:
		total = used + free
	case noUsed == nil && noTotal == nil:
		free = total - used
	case noFree == nil && noTotal == nil:
		used = total - free
	case slices.Contains([]error{noUsed, noFree, noTotal}, errRefused):
		return device.ComponentReading{}, nil, time.Time{}, errRefused
	default:
		return device.ComponentReading{}, nil, time.Time{}, errAbsent
	}
	if total <= 0 || total > maxAmount || used < 0 || free < 0 || used > total {
		return device.ComponentReading{}, nil, time.Time{}, errRefused
	}
	at := answers[or2(r.Used, r.Free)].At
	read := device.ComponentReading{Value: 100 * used / total, Used: &used, Total: &total}
	return read, []measurement.Value{measurement.Gauge(used), measurement.Gauge(free)}, at, nil
}

// amountOf is an amount in bytes: of an object, else the constant that is not 0.
// Errors: errAbsent when there is neither, errRefused when what was answered is no number.
func amountOf(answers map[string]snmp.Variable, oid string, constant, unit float64) (float64, error) {
	if oid == "" && constant != 0 {
		return constant, nil
	}
	v, ok := answers[oid]
	if oid == "" || !ok || !v.Value.Exists() {
		return 0, errAbsent
	}
	n, ok := definitions.Number(v.Value, definitions.Regexp{}, false)
	if !ok {
		return 0, errRefused
	}
	return n * unit, nil
}

// maxAmount is more bytes than there are in one place: 8 EiB.
const maxAmount = 1 << 63

// or2 is the first of two texts that is not empty.
func or2(first, second string) string {
	if first == "" {
		return second
	}
	return first
}

// or is n, or what stands for it when it is 0.
func or(n, otherwise float64) float64 {
	if n == 0 {
		return otherwise
	}
	return n
}

// formulaOf makes the formula that the inventory keeps ready to use.
func formulaOf(f device.Formula) (definitions.Formula, error) {
	ready := definitions.Formula{Divisor: or(f.Divisor, 1), Multiplier: or(f.Multiplier, 1), Convert: f.Convert, Map: f.Map}
	if f.Pattern == "" {
		return ready, nil
	}
	pattern, err := regexp.Compile(f.Pattern)
	if err != nil {
		return ready, fmt.Errorf("pattern of a component: %w", err)
	}
	ready.Pattern = definitions.Regexp{Regexp: pattern}
	return ready, nil
}
