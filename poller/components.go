package poller

import (
	"math"

	"pollux/device"
	"pollux/poller/definitions"
)

// component is what a row has in common with all others of its kind.
func component(kind device.ComponentKind, e *definitions.Entry, row definitions.Row) device.Component {
	c := device.Component{
		Kind: kind, Type: e.Type, Index: clean([]byte(e.Index.Expand(row)), maxText, ""), Descr: clean([]byte(e.Descr.Expand(row)), maxText, " "),
	}
	if c.Descr == "" {
		c.Descr = c.Index
	}
	return c
}

// skips are the entry's conditions on the value that a poll reads: without them
// a sensor that is pulled between two discoveries would be filed as what its agent says then.
func skips(e *definitions.Entry, value string) []device.ValueTest {
	var tests []device.ValueTest
	for _, c := range e.Skip {
		if c.Of != "value" && c.Of != value || c.Not != nil || c.Regex != nil || c.Missing || c.Present || c.Empty {
			continue
		}
		switch {
		case c.Less != nil && c.More != nil, c.Is != nil && (c.Less != nil || c.More != nil):
			continue // all of it must hold at once: the next discovery judges
		}
		tests = append(tests, device.ValueTest{Is: c.Is, Less: c.Less, More: c.More})
	}
	return tests
}

// add takes over a component and counts it.
func (f *finder) add(c device.Component, count *int) {
	if f.counts[c.Kind] >= maxComponents {
		return
	}
	f.counts[c.Kind]++
	c.Status = c.StatusOf(c.Value)
	f.found.Components = append(f.found.Components, c)
	*count++
}

// formula is how the value of a row becomes a measurement; false when the row does not say.
func formula(row definitions.Row, divisor, multiplier, decimals definitions.Num, convert string, pattern definitions.Regexp) (definitions.Formula, bool) {
	d, okD := divisor.Eval(row, 1)
	m, okM := multiplier.Eval(row, 1)
	places, okP := decimals.Eval(row, 0)
	f := definitions.Formula{Divisor: d * math.Pow(10, places), Multiplier: m, Convert: convert, Pattern: pattern}
	return f, okD && okM && okP && f.Divisor != 0 && f.Multiplier != 0 && math.Abs(places) <= 30 && !math.IsInf(f.Divisor, 0)
}

func stored(f definitions.Formula) device.Formula {
	kept := device.Formula{Divisor: f.Divisor, Multiplier: f.Multiplier, Convert: f.Convert, Map: f.Map}
	if f.Pattern.Regexp != nil {
		kept.Pattern = f.Pattern.String()
	}
	return kept
}

// isPercent says whether a number can be a percentage.
func isPercent(n float64) bool { return n >= 0 && n <= 100 }

// canBe says whether a sensor of a class can have a value: what is a share of a
// whole is 0 to 100 percent. A load is none: a power supply may bear more than it should.
func canBe(class string, value float64) bool {
	return class != "charge" && class != "humidity" || isPercent(value)
}

// warnAt is a limit in percent, nil for none.
func warnAt(n definitions.Num, row definitions.Row) *float64 {
	warn, ok := n.Eval(row, 0)
	if n.IsZero() || !ok || !isPercent(warn) {
		return nil
	}
	return &warn
}

// processors adds the rows that are processors.
func (f *finder) processors(p *definitions.Processor, rows []definitions.Row) (count int) {
	for _, row := range rows {
		if row.Value = p.Value.First(row); row.Value == "" || !p.Counts(row) {
			continue
		}
		scale, ok := formula(row, p.Divisor, p.Multiplier, definitions.Num{}, "", p.Pattern)
		usage, known := scale.Apply(row.Values[row.Value])
		if p.Inverted {
			usage = 100 - usage
		}
		if !ok || !known || !isPercent(usage) {
			f.found.Refused++
			continue
		}
		c := component(device.KindProcessor, &p.Entry, row)
		c.Reading = device.Reading{Value: oidOf(&p.Entry, row.Value, row), Formula: stored(scale), Inverted: p.Inverted, Skip: skips(&p.Entry, row.Value)}
		c.Value, c.Limits.HighWarn = usage, warnAt(p.Warn, row)
		f.add(c, &count)
	}
	return count
}

// sensors adds the rows that are sensors.
func (f *finder) sensors(s *definitions.Sensor, rows []definitions.Row) (count int) {
	for _, row := range rows {
		if row.Value = s.Value.First(row); row.Value == "" || !s.Counts(row) {
			continue
		}
		class := s.Class.Eval(row)
		if class == "" {
			continue
		}
		c, ok := sensor(s, class, row)
		if !ok {
			f.found.Refused++
			continue
		}
		if f.seen(class, c.Reading.Value) {
			continue
		}
		f.add(c, &count)
	}
	return count
}

// seen says whether a sensor of that class reads that object already: the table
// of the OS comes first, and a MIB file that it shares may name it again.
func (f *finder) seen(class, source string) bool {
	key := class + " " + source
	_, again := f.sources[key]
	f.sources[key] = struct{}{}
	return again
}

// sensor is one row as a sensor; false when its value or its scale is none.
func sensor(s *definitions.Sensor, class string, row definitions.Row) (device.Component, bool) {
	scale, ok := formula(row, s.Divisor, s.Multiplier, s.Decimals, s.Convert, s.Pattern)
	if class == "state" {
		scale, ok = definitions.Formula{Divisor: 1, Multiplier: 1, Pattern: s.Pattern, Convert: digits(s.Convert)}, true
	}
	scale.Map = s.Map
	current, known := scale.Apply(row.Values[row.Value])
	if !ok || !known || !canBe(class, current) {
		return device.Component{}, false
	}
	c := component(device.KindSensor, &s.Entry, row)
	c.Class, c.Label, c.Value = class, clean([]byte(s.Group.Expand(row)), maxText, " "), current
	c.Reading = device.Reading{Value: oidOf(&s.Entry, row.Value, row), Formula: stored(scale), Skip: skips(&s.Entry, row.Value)}
	if class != "state" {
		c.Limits = limits(s, row, scale)
		return c, true
	}
	for _, state := range s.States.List {
		c.States = append(c.States, device.SensorState{Value: state.Is, Name: state.Name, Severity: device.ComponentStatus(state.Severity)})
	}
	return c, true
}

// digits keeps a conversion that says how a number is written; a state is not scaled.
func digits(convert string) string {
	switch convert {
	case definitions.ConvertHex, definitions.ConvertOctets:
		return convert
	}
	return ""
}

// limits are those that a row has.
func limits(s *definitions.Sensor, row definitions.Row, scale definitions.Formula) device.Limits {
	if !s.LimitDivisor.IsZero() {
		divisor, ok := s.LimitDivisor.Eval(row, 1)
		if !ok || divisor == 0 {
			return device.Limits{}
		}
		scale.Divisor, scale.Multiplier = divisor, 1
	}
	limit := func(n definitions.Num) *float64 {
		if n.IsZero() {
			return nil
		}
		value, ok := n.Eval(row, 0)
		if ok && n.Column() != "" {
			value, ok = scale.Scale(value)
		}
		if !ok {
			return nil
		}
		return &value
	}
	return device.Limits{Low: limit(s.Limits.Low), LowWarn: limit(s.Limits.LowWarn), HighWarn: limit(s.Limits.HighWarn), High: limit(s.Limits.High)}
}
