package store

import (
	"context"

	"pollux/billing"
)

// billed holds where a port p is in a bill now.
const billed = "EXISTS (SELECT 1 FROM bill_ports AS bp WHERE bp.port_id = p.id AND bp.until_slot = 0)"

// BilledPorts lists the ports of a device that are to be read for bills, in the
// order of their ifIndex: those that are in a bill, and not disabled. Vanished
// ones are among them, since they may be back. An empty list for a device without such ports.
func (s *Store) BilledPorts(ctx context.Context, deviceID int64) ([]billing.Port, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []struct {
		ID      int64  `bun:"id"`
		IfIndex int64  `bun:"if_index"`
		IfName  string `bun:"if_name"`
		IfSpeed int64  `bun:"if_speed"`
	}
	err := s.reads.NewSelect().TableExpr("ports AS p").Column("p.id", "p.if_index", "p.if_name", "p.if_speed").
		Where("p.device_id = ?", deviceID).Where("p.disabled = ?", false).Where(billed).Order("p.if_index", "p.id").Scan(ctx, &rows)
	if err != nil {
		return nil, s.fail("list the billed ports", err)
	}
	ports := make([]billing.Port, len(rows))
	for i, row := range rows {
		ports[i] = billing.Port{ID: row.ID, Device: deviceID, Index: row.IfIndex, Name: row.IfName, Speed: uint64(max(row.IfSpeed, 0))} //nolint:gosec // not negative
	}
	return ports, nil
}

// BilledDevices lists the devices with ports that are to be read for bills, in
// the order of their ids, those with ids above afterID only: 1,000 for a limit
// of 0, 10,000 at most. Disabled devices and those that are asked by ICMP only are left out.
func (s *Store) BilledDevices(ctx context.Context, afterID int64, limit int) ([]billing.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []struct {
		ID    int64 `bun:"id"`
		Group int64 `bun:"poller_group"`
		Ports int   `bun:"ports"`
	}
	err := s.reads.NewSelect().TableExpr("devices AS d").Join("JOIN ports AS p ON p.device_id = d.id").
		Column("d.id", "d.poller_group").ColumnExpr("COUNT(*) AS ports").
		Where("d.id > ?", afterID).Where("d.disabled = ?", false).Where("d.snmp_disable = ?", false).Where("p.disabled = ?", false).Where(billed).
		Group("d.id", "d.poller_group").Order("d.id").Limit(page(limit)).Scan(ctx, &rows)
	if err != nil {
		return nil, s.fail("list the devices with billed ports", err)
	}
	devices := make([]billing.Device, len(rows))
	for i, row := range rows {
		devices[i] = billing.Device{ID: row.ID, Group: row.Group, Ports: row.Ports}
	}
	return devices, nil
}
