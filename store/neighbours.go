package store

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/uptrace/bun"

	"pollux/device"
)

// neighbourRow is a row of neighbours.
type neighbourRow struct {
	bun.BaseModel `bun:"table:neighbours"`
	idRow

	PortID          int64  `bun:"port_id"`
	IfIndex         int64  `bun:"if_index"`
	Protocol        string `bun:"protocol"`
	LocalPort       string `bun:"local_port"`
	RemoteID        string `bun:"remote_id"`
	RemoteName      string `bun:"remote_name"`
	RemotePort      string `bun:"remote_port"`
	RemotePortDescr string `bun:"remote_port_descr"`
	RemotePlatform  string `bun:"remote_platform"`
	RemoteDescr     string `bun:"remote_descr"`
	RemoteAddress   string `bun:"remote_address"`
	stayRow
}

// key has no ifIndex: a device that numbers its ports anew has the same neighbours.
func (r *neighbourRow) key() string {
	return strings.Join([]string{r.Protocol, r.LocalPort, r.RemoteID, r.RemotePort}, "\x00")
}

func (r *neighbourRow) fill(old *neighbourRow) {
	r.PortID, r.IfIndex = cmp.Or(r.PortID, old.PortID), cmp.Or(r.IfIndex, old.IfIndex)
	r.RemoteName, r.RemotePortDescr = cmp.Or(r.RemoteName, old.RemoteName), cmp.Or(r.RemotePortDescr, old.RemotePortDescr)
	r.RemotePlatform, r.RemoteDescr = cmp.Or(r.RemotePlatform, old.RemotePlatform), cmp.Or(r.RemoteDescr, old.RemoteDescr)
	r.RemoteAddress = cmp.Or(r.RemoteAddress, old.RemoteAddress)
}

// label is a neighbour as people read it: what it is, and where.
func (r *neighbourRow) label() string {
	name, port := r.RemoteName, r.LocalPort
	if name == "" {
		name = r.RemoteID
	}
	if port == "" {
		port = "an unknown port"
	}
	if r.RemotePort != "" {
		name += " " + r.RemotePort
	}
	return fmt.Sprintf("%s at %s (%s)", shown(name), port, r.Protocol)
}

func neighbourColumns(n *device.Neighbour, ports map[int64]int64) neighbourRow {
	address := ""
	if n.RemoteAddress.IsValid() {
		address = n.RemoteAddress.WithZone("").String()
	}
	return neighbourRow{
		PortID: ports[n.IfIndex], IfIndex: n.IfIndex, Protocol: line(string(n.Protocol), 8), LocalPort: line(n.LocalPort, maxName),
		RemoteID: line(n.RemoteID, maxName), RemoteName: line(n.RemoteName, maxName), RemotePort: line(n.RemotePort, maxName),
		RemotePortDescr: line(n.RemotePortDescr, maxName), RemotePlatform: line(n.RemotePlatform, maxName),
		RemoteDescr: line(n.RemoteDescr, maxName), RemoteAddress: address,
	}
}

// saveNeighbours writes the neighbours of a device and returns the events of
// those that came, came back and vanished. Of the first ones there is one event.
func (s *Store) saveNeighbours(ctx context.Context, tx bun.Tx, d device.Discovery, ports map[int64]int64) ([]device.Event, error) {
	rows, err := rowsOf[neighbourRow](ctx, tx, d.DeviceID, "id")
	if err != nil {
		return nil, err
	}
	found := make([]neighbourRow, len(d.Neighbours))
	for i := range d.Neighbours {
		found[i] = neighbourColumns(&d.Neighbours[i], ports)
	}
	m := mergeStaying(rows, found, d, d.Whole[device.ModuleNeighbours])
	if err := writeStaying(ctx, s, tx, &m); err != nil {
		return nil, err
	}
	var events []device.Event
	note := func(list []neighbourRow, severity device.Severity, what string) {
		for i := range list {
			events = append(events, device.Event{Type: "neighbour", Severity: severity, PortID: list[i].PortID, Message: fmt.Sprintf("neighbour %s: %s", list[i].label(), what)})
		}
	}
	if len(rows) > 0 {
		note(m.added, device.SeverityNotice, "added")
	} else if len(m.added) > 0 {
		events = append(events, device.Event{Type: "neighbour", Severity: device.SeverityInfo, Message: fmt.Sprintf("%d neighbours found", len(m.added))})
	}
	note(m.returned, device.SeverityNotice, "returned")
	note(m.gone, device.SeverityWarning, "vanished")
	return boundedEvents(events, d, "neighbours"), nil
}

// Neighbours lists what a device hears at its ports, what has vanished too, in
// the order in which it was found; an empty list for a device that does not exist.
func (s *Store) Neighbours(ctx context.Context, deviceID int64) ([]device.Neighbour, error) {
	return listOf(ctx, s, deviceID, "neighbours", []string{"id"}, func(r *neighbourRow) device.Neighbour {
		address, _ := netip.ParseAddr(r.RemoteAddress) // not valid when it is empty
		return device.Neighbour{
			ID: r.ID, DeviceID: r.DeviceID, PortID: r.PortID, IfIndex: r.IfIndex, Protocol: device.Protocol(r.Protocol), LocalPort: r.LocalPort,
			RemoteID: r.RemoteID, RemoteName: r.RemoteName, RemotePort: r.RemotePort, RemotePortDescr: r.RemotePortDescr,
			RemotePlatform: r.RemotePlatform, RemoteDescr: r.RemoteDescr, RemoteAddress: address, Stay: r.stay(),
		}
	})
}
