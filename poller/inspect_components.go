package poller

import "pollux/device"

// Components are what definitions found on a device. Sizes are bytes.
type Components struct {
	Processors []InspectedProcessor `json:"processors,omitempty"`
	Mempools   []InspectedAmount    `json:"mempools,omitempty"`
	Storage    []InspectedAmount    `json:"storage,omitempty"`
	Sensors    []InspectedSensor    `json:"sensors,omitempty"`
}

// InspectedProcessor is one processor of an Inspection.
type InspectedProcessor struct {
	Index string  `json:"index"`
	Descr string  `json:"descr"`
	Usage float64 `json:"usage"` // percent
	OID   string  `json:"oid"`
}

// InspectedAmount is one memory pool or storage of an Inspection; a pool has a
// class and a total, a storage a type and a size.
type InspectedAmount struct {
	Index   string   `json:"index"`
	Descr   string   `json:"descr"`
	Class   string   `json:"class,omitempty"`
	Type    string   `json:"type,omitempty"`
	Total   *float64 `json:"total,omitempty"`
	Size    *float64 `json:"size,omitempty"`
	Used    *float64 `json:"used,omitempty"`
	Free    *float64 `json:"free,omitempty"`
	Percent float64  `json:"perc"`
	OIDs    []string `json:"oids,omitempty"`
}

// InspectedSensor is one sensor of an Inspection.
type InspectedSensor struct {
	Class      string   `json:"class"`
	Index      string   `json:"index"`
	OID        string   `json:"oid"`
	Descr      string   `json:"descr"`
	Group      string   `json:"group,omitempty"`
	Current    float64  `json:"current"`
	Divisor    float64  `json:"divisor"`
	Multiplier float64  `json:"multiplier"`
	Low        *float64 `json:"limit_low"`
	LowWarn    *float64 `json:"limit_low_warn"`
	HighWarn   *float64 `json:"limit_warn"`
	High       *float64 `json:"limit_high"`
	State      string   `json:"state,omitempty"` // name of a state
}

func inspectedComponents(found []device.Component) Components {
	var all Components
	for i := range found {
		c := &found[i]
		switch c.Kind {
		case device.KindProcessor:
			all.Processors = append(all.Processors, InspectedProcessor{Index: c.Index, Descr: c.Descr, Usage: c.Value, OID: c.Reading.Value})
		case device.KindMempool:
			shown := inspectedAmount(c)
			shown.Class, shown.Total = c.Class, c.Total
			all.Mempools = append(all.Mempools, shown)
		case device.KindStorage:
			shown := inspectedAmount(c)
			shown.Type, shown.Size = c.Label, c.Total
			all.Storage = append(all.Storage, shown)
		case device.KindSensor:
			all.Sensors = append(all.Sensors, inspectedSensor(c))
		}
	}
	return all
}

func inspectedAmount(c *device.Component) InspectedAmount {
	shown := InspectedAmount{Index: c.Index, Descr: c.Descr, Used: c.Used, Percent: c.Value}
	if c.Used != nil && c.Total != nil {
		shown.Free = sum(*c.Total, -*c.Used)
	}
	for _, oid := range []string{c.Reading.Used, c.Reading.Free, c.Reading.Total, c.Reading.Value} {
		if oid != "" {
			shown.OIDs = append(shown.OIDs, oid)
		}
	}
	return shown
}

func inspectedSensor(c *device.Component) InspectedSensor {
	shown := InspectedSensor{
		Class: c.Class, Index: c.Index, OID: c.Reading.Value, Descr: c.Descr, Group: c.Label, Current: c.Value,
		Divisor: c.Reading.Formula.Divisor, Multiplier: c.Reading.Formula.Multiplier,
		Low: c.Limits.Low, LowWarn: c.Limits.LowWarn, HighWarn: c.Limits.HighWarn, High: c.Limits.High,
	}
	if state, known := c.State(c.Value); known {
		shown.State = state.Name
	}
	return shown
}
