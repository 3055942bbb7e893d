package store

import (
	"context"

	"github.com/uptrace/bun"

	"pollux/device"
)

// portRow is a row of ports.
type portRow struct {
	bun.BaseModel `bun:"table:ports"`

	ID       int64 `bun:"id,pk,autoincrement"`
	DeviceID int64 `bun:"device_id"`
	stateRow
	Disabled   bool  `bun:"disabled"`
	Vanished   bool  `bun:"vanished"`
	Missed     int   `bun:"missed"`
	MissedSlot int64 `bun:"missed_slot"` // the slot in which it was missed last: two reads of one slot count once
	Generation int   `bun:"generation"`
	RRDMax     int64 `bun:"rrd_max"`
	VLAN       int   `bun:"vlan"` // a discovery's to say
}

// stateRow are the columns that a read of the interface tables fills. Two of them can be compared with ==.
type stateRow struct {
	IfIndex       int64  `bun:"if_index"`
	IfName        string `bun:"if_name"`
	IfDescr       string `bun:"if_descr"`
	IfAlias       string `bun:"if_alias"`
	IfType        string `bun:"if_type"`
	IfMTU         int64  `bun:"if_mtu"`
	IfSpeed       int64  `bun:"if_speed"`
	IfAdminStatus string `bun:"if_admin_status"`
	IfOperStatus  string `bun:"if_oper_status"`
	IfPhysAddress string `bun:"if_phys_address"`
	IfLastChange  int64  `bun:"if_last_change"`
	Row           string `bun:"if_row"`
}

func stateColumns(p device.PortState) stateRow {
	return stateRow{
		IfIndex: p.IfIndex, IfName: line(p.IfName, maxName), IfDescr: line(p.IfDescr, maxName), IfAlias: line(p.IfAlias, maxName),
		IfType: line(p.IfType, maxShort), IfMTU: p.IfMTU, IfSpeed: bounded(p.IfSpeed), IfAdminStatus: line(p.IfAdminStatus, 32),
		IfOperStatus: line(p.IfOperStatus, 32), IfPhysAddress: line(p.IfPhysAddress, maxShort), IfLastChange: p.IfLastChange,
		Row: line(p.Row, maxShort),
	}
}

func (r *portRow) port() device.Port {
	return device.Port{
		ID: r.ID, DeviceID: r.DeviceID, Disabled: r.Disabled, Vanished: r.Vanished, Missed: r.Missed,
		Generation: r.Generation, RRDMax: uint64(max(r.RRDMax, 0)), VLAN: r.VLAN,
		State: device.PortState{
			IfIndex: r.IfIndex, IfName: r.IfName, IfDescr: r.IfDescr, IfAlias: r.IfAlias, IfType: r.IfType, IfMTU: r.IfMTU,
			IfSpeed: uint64(max(r.IfSpeed, 0)), IfAdminStatus: r.IfAdminStatus, IfOperStatus: r.IfOperStatus,
			IfPhysAddress: r.IfPhysAddress, IfLastChange: r.IfLastChange, Row: r.Row,
		},
	}
}

// Ports lists every port of a device, vanished and disabled ones too, in the
// order of ifIndex; an empty list for a device that does not exist.
func (s *Store) Ports(ctx context.Context, deviceID int64) ([]device.Port, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := portRows(ctx, s.reads, deviceID)
	if err != nil {
		return nil, s.fail("read the ports", err)
	}
	list := make([]device.Port, len(rows))
	for i := range rows {
		list[i] = rows[i].port()
	}
	return list, nil
}

func portRows(ctx context.Context, db bun.IDB, deviceID int64) ([]portRow, error) {
	var rows []portRow
	err := db.NewSelect().Model(&rows).Where("device_id = ?", deviceID).Order("if_index", "id").Scan(ctx)
	return rows, err
}

// PollTarget reads what one poll needs, in two queries: the device with its
// credentials opened, and its ports. The ports are read first: should the
// interval change in between, the poll knows the old files of the ports under
// the new interval, never new files under the old one. Errors as those of Device.
func (s *Store) PollTarget(ctx context.Context, id int64) (device.Device, []device.Port, error) {
	ports, err := s.Ports(ctx, id)
	if err != nil {
		return device.Device{}, nil, err
	}
	d, err := s.Device(ctx, id)
	if err != nil {
		return device.Device{}, nil, err
	}
	return d, ports, nil
}

// LastPort is the highest id of a port, 0 when there is none.
func (s *Store) LastPort(ctx context.Context) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := s.reads.NewSelect().Table("ports").ColumnExpr("COALESCE(MAX(id), 0)").Scan(ctx, &id); err != nil {
		return 0, s.fail("read the highest id of a port", err)
	}
	return id, nil
}
