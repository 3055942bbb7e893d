package store

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/uptrace/bun"

	"pollux/device"
)

// saveInventory writes what a discovery found beside components, and returns
// the events of it. A module that was not complete takes nothing away.
func (s *Store) saveInventory(ctx context.Context, tx bun.Tx, d device.Discovery) ([]device.Event, error) {
	if len(d.Whole) == 0 && len(d.Addresses)+len(d.Entities)+len(d.Neighbours)+len(d.VLANs)+len(d.PortVLANs) == 0 {
		return nil, nil
	}
	ports, err := portRows(ctx, tx, d.DeviceID)
	if err != nil {
		return nil, err
	}
	byIndex := make(map[int64]int64, len(ports))
	for i := range ports {
		if !ports[i].Vanished && ports[i].Row == "" { // what tells of ports by ifIndex means those of the IF-MIB
			byIndex[ports[i].IfIndex] = ports[i].ID
		}
	}
	if err := s.saveAddresses(ctx, tx, d, byIndex); err != nil {
		return nil, err
	}
	if err := s.saveVLANs(ctx, tx, d, ports); err != nil {
		return nil, err
	}
	events, err := s.saveEntities(ctx, tx, d)
	if err != nil {
		return nil, err
	}
	about, err := s.saveNeighbours(ctx, tx, d, byIndex)
	return append(events, about...), err
}

// addressRow is a row of addresses.
type addressRow struct {
	bun.BaseModel `bun:"table:addresses"`
	idRow

	PortID  int64  `bun:"port_id"`
	IfIndex int64  `bun:"if_index"`
	Address string `bun:"address"`
	Prefix  int    `bun:"prefix_length"`
	stayRow
}

// key tells link-local addresses apart by their interface, since they are valid there only.
func (r *addressRow) key() string {
	if a, err := netip.ParseAddr(r.Address); err == nil && a.IsLinkLocalUnicast() {
		return r.Address + "%" + strconv.FormatInt(r.IfIndex, 10)
	}
	return r.Address
}

func (r *addressRow) fill(old *addressRow) {
	r.PortID, r.IfIndex, r.Prefix = cmp.Or(r.PortID, old.PortID), cmp.Or(r.IfIndex, old.IfIndex), cmp.Or(r.Prefix, old.Prefix)
}

func (s *Store) saveAddresses(ctx context.Context, tx bun.Tx, d device.Discovery, ports map[int64]int64) error {
	rows, err := rowsOf[addressRow](ctx, tx, d.DeviceID, "id")
	if err != nil {
		return err
	}
	found := make([]addressRow, 0, len(d.Addresses))
	for _, a := range d.Addresses {
		if a.Address.IsValid() {
			found = append(found, addressRow{PortID: ports[a.IfIndex], IfIndex: a.IfIndex, Address: a.Address.WithZone("").String(), Prefix: a.Prefix})
		}
	}
	m := mergeStaying(rows, found, d, d.Whole[device.ModuleAddresses])
	return writeStaying(ctx, s, tx, &m)
}

// Addresses lists the IP addresses of a device, those that have vanished too,
// in the order in which they were found; an empty list for a device that does not exist.
func (s *Store) Addresses(ctx context.Context, deviceID int64) ([]device.Address, error) {
	return listOf(ctx, s, deviceID, "addresses", []string{"id"}, func(r *addressRow) device.Address {
		address, _ := netip.ParseAddr(r.Address) // as it was written
		return device.Address{
			ID: r.ID, DeviceID: r.DeviceID, PortID: r.PortID, IfIndex: r.IfIndex, Address: address, Prefix: r.Prefix, Stay: r.stay(),
		}
	})
}

// vlanRow is a row of vlans.
type vlanRow struct {
	bun.BaseModel `bun:"table:vlans"`
	idRow

	VLAN  int    `bun:"vlan"`
	Name  string `bun:"name"`
	State string `bun:"state"`
	stayRow
}

func (r *vlanRow) key() string { return strconv.Itoa(r.VLAN) }

func (r *vlanRow) fill(old *vlanRow) {
	r.Name, r.State = cmp.Or(r.Name, old.Name), cmp.Or(r.State, old.State)
}

// saveVLANs writes the VLANs of a device, and which ones its ports are in.
func (s *Store) saveVLANs(ctx context.Context, tx bun.Tx, d device.Discovery, ports []portRow) error {
	rows, err := rowsOf[vlanRow](ctx, tx, d.DeviceID, "id")
	if err != nil {
		return err
	}
	found := make([]vlanRow, len(d.VLANs))
	for i, v := range d.VLANs {
		found[i] = vlanRow{VLAN: v.VLAN, Name: line(v.Name, maxName), State: line(v.State, 32)}
	}
	whole := d.Whole[device.ModuleVLANs]
	m := mergeStaying(rows, found, d, whole)
	if err := writeStaying(ctx, s, tx, &m); err != nil {
		return err
	}
	var changed []portRow
	for i := range ports {
		port := ports[i]
		vlan, told := d.PortVLANs[port.IfIndex]
		if port.Vanished || port.Row != "" || port.VLAN == vlan || !told && !whole {
			continue
		}
		port.VLAN = vlan
		changed = append(changed, port)
	}
	return s.writePorts(ctx, tx, portMerge{changed: changed})
}

// VLANs lists the VLANs that a device knows, those that have vanished too, by
// their numbers; an empty list for a device that does not exist.
func (s *Store) VLANs(ctx context.Context, deviceID int64) ([]device.VLAN, error) {
	return listOf(ctx, s, deviceID, "VLANs", []string{"vlan", "id"}, func(r *vlanRow) device.VLAN {
		return device.VLAN{ID: r.ID, DeviceID: r.DeviceID, VLAN: r.VLAN, Name: r.Name, State: r.State, Stay: r.stay()}
	})
}

// boundedEvents adds a last event that says how many more there were than may be
// written, and fills in what all have.
func boundedEvents(events []device.Event, d device.Discovery, of string) []device.Event {
	if more := len(events) - maxComponentEvents; more > 0 {
		events = append(events[:maxComponentEvents], device.Event{Type: "system", Severity: device.SeverityNotice, Message: fmt.Sprintf("%d further changes of %s", more, of)})
	}
	for i := range events {
		events[i].DeviceID, events[i].Time, events[i].Node = d.DeviceID, d.At, d.Node
	}
	return events
}
