package poller

import (
	"context"

	"pollux/measurement"
	"pollux/poller/definitions"
)

// Inspection is all that one poll of a device reads, as an object for people
// and programs. What a device does not give is left out.
type Inspection struct {
	OS          string          `json:"os,omitempty"`
	SysName     string          `json:"sysName,omitempty"`
	SysObjectID string          `json:"sysObjectID,omitempty"`
	SysDescr    string          `json:"sysDescr,omitempty"`
	Hardware    string          `json:"hardware,omitempty"`
	Version     string          `json:"version,omitempty"`
	Serial      string          `json:"serial,omitempty"`
	Features    string          `json:"features,omitempty"`
	Ports       []InspectedPort `json:"ports,omitempty"`
	Components
}

// InspectedPort is one port of an Inspection. Speeds are bits per second; counters are as read.
type InspectedPort struct {
	IfIndex           int64   `json:"ifIndex"`
	Row               string  `json:"row,omitempty"` // of another table than the IF-MIB
	IfName            string  `json:"ifName,omitempty"`
	IfDescr           string  `json:"ifDescr,omitempty"`
	IfAlias           string  `json:"ifAlias,omitempty"`
	IfType            string  `json:"ifType,omitempty"`
	IfMTU             int64   `json:"ifMtu,omitempty"`
	IfSpeed           uint64  `json:"ifSpeed"`
	IfAdminStatus     string  `json:"ifAdminStatus,omitempty"`
	IfOperStatus      string  `json:"ifOperStatus,omitempty"`
	IfPhysAddress     string  `json:"ifPhysAddress,omitempty"`
	IfLastChange      int64   `json:"ifLastChange,omitempty"`
	IfInOctets        *uint64 `json:"ifInOctets,omitempty"`
	IfOutOctets       *uint64 `json:"ifOutOctets,omitempty"`
	IfInErrors        *uint64 `json:"ifInErrors,omitempty"`
	IfOutErrors       *uint64 `json:"ifOutErrors,omitempty"`
	IfInUcastPkts     *uint64 `json:"ifInUcastPkts,omitempty"`
	IfOutUcastPkts    *uint64 `json:"ifOutUcastPkts,omitempty"`
	IfInNUcastPkts    *uint64 `json:"ifInNUcastPkts,omitempty"`
	IfOutNUcastPkts   *uint64 `json:"ifOutNUcastPkts,omitempty"`
	IfInDiscards      *uint64 `json:"ifInDiscards,omitempty"`
	IfOutDiscards     *uint64 `json:"ifOutDiscards,omitempty"`
	IfInUnknownProtos *uint64 `json:"ifInUnknownProtos,omitempty"`
	IfInBroadcast     *uint64 `json:"ifInBroadcastPkts,omitempty"`
	IfOutBroadcast    *uint64 `json:"ifOutBroadcastPkts,omitempty"`
	IfInMulticast     *uint64 `json:"ifInMulticastPkts,omitempty"`
	IfOutMulticast    *uint64 `json:"ifOutMulticastPkts,omitempty"`
}

// Inspect reads a device as one discovery and one poll do, but knows no
// inventory: the ports of the target are ignored and every row that is a port is
// shown. The Report says how it went.
func Inspect(ctx context.Context, s Session, t Target, set *definitions.Set) (Inspection, Report) {
	t.Ports = nil
	f := newFinder(s, set)
	all := append([]Module{coreModule{}, osModule{}, portsModule{}}, discoveryModules()...)
	report, c := poll(ctx, s, t, f, all)
	var found Inspection
	if facts := report.Poll.Facts; facts != nil {
		found = Inspection{
			OS: facts.OS, SysName: facts.SysName, SysObjectID: facts.SysObjectID, SysDescr: facts.SysDescr,
			Hardware: facts.Hardware, Version: facts.Version, Serial: facts.Serial, Features: facts.Features,
		}
	}
	for i := range c.ports {
		found.Ports = append(found.Ports, inspected(&c.ports[i]))
	}
	found.Components = inspectedComponents(f.found.Components)
	return found, report
}

func inspected(p *port) InspectedPort {
	s := &p.state
	out := InspectedPort{
		IfIndex: s.IfIndex, Row: s.Row, IfName: s.IfName, IfDescr: s.IfDescr, IfAlias: s.IfAlias, IfType: s.IfType,
		IfMTU: s.IfMTU, IfSpeed: s.IfSpeed, IfAdminStatus: s.IfAdminStatus, IfOperStatus: s.IfOperStatus,
		IfPhysAddress: s.IfPhysAddress, IfLastChange: s.IfLastChange,
	}
	// In the order of the sources of a port's file.
	for i, counter := range [portValues]**uint64{
		&out.IfInOctets, &out.IfOutOctets, &out.IfInErrors, &out.IfOutErrors, &out.IfInUcastPkts, &out.IfOutUcastPkts,
		&out.IfInNUcastPkts, &out.IfOutNUcastPkts, &out.IfInDiscards, &out.IfOutDiscards, &out.IfInUnknownProtos,
		&out.IfInBroadcast, &out.IfOutBroadcast, &out.IfInMulticast, &out.IfOutMulticast,
	} {
		*counter = number(p.values[i])
	}
	return out
}

func number(v measurement.Value) *uint64 {
	n, ok := v.AsCounter()
	if !ok {
		return nil
	}
	return &n
}
