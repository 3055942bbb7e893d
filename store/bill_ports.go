package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
	"pollux/device"
)

// billed holds where a port p is to be read for bills: it is in one, or was
// taken out before its last slot there was read. That is waited for until the
// bill was calculated an hour later; a port that was never read has nothing to wait for.
const billed = "EXISTS (SELECT 1 FROM bill_ports AS bp JOIN bills AS b ON b.id = bp.bill_id LEFT JOIN bill_counters AS bc ON bc.port_id = bp.port_id " +
	"WHERE bp.port_id = p.id AND (bp.until_slot = 0 OR (bc.slot > 0 AND bp.until_slot > bc.slot + bc.slot_seconds AND b.calculated_at < (bp.until_slot + 3600) * 1000)))"

// BilledPorts lists the ports of a device that are to be read for bills, in the
// order of their ifIndex: those that are in a bill, or left one in a slot that is not read yet, and not disabled. Vanished
// ones are among them, since they may be back. An empty list for a device without such ports.
func (s *Store) BilledPorts(ctx context.Context, deviceID int64) ([]billing.Port, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []struct {
		ID      int64  `bun:"id"`
		IfIndex int64  `bun:"if_index"`
		IfName  string `bun:"if_name"`
		Row     string `bun:"if_row"`
		IfSpeed int64  `bun:"if_speed"`
		Slot    int64  `bun:"slot"`
		Bits    int    `bun:"counter_bits"`
	}
	err := s.reads.NewSelect().TableExpr("ports AS p").Join("LEFT JOIN bill_counters AS c ON c.port_id = p.id").
		Column("p.id", "p.if_index", "p.if_name", "p.if_row", "p.if_speed").ColumnExpr("COALESCE(c.slot, 0) AS slot").ColumnExpr("COALESCE(c.counter_bits, 0) AS counter_bits").
		Where("p.device_id = ?", deviceID).Where("p.disabled = ?", false).Where(billed).Order("p.if_index", "p.id").Scan(ctx, &rows)
	if err != nil {
		return nil, s.fail("list the billed ports", err)
	}
	ports := make([]billing.Port, len(rows))
	for i, row := range rows {
		ports[i] = billing.Port{ID: row.ID, Device: deviceID, Index: row.IfIndex, Name: row.IfName, Row: row.Row, Speed: unsigned(row.IfSpeed), Last: row.Slot, Bits: row.Bits}
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

// maxBillPorts bounds how many ports one bill has.
const maxBillPorts = 10_000

// AddBillPorts adds ports to a bill: their samples count from now on. A port
// may be in several bills. Errors: ErrNotFound for the bill or a port, ErrDuplicate for a port that is in it.
func (s *Store) AddBillPorts(ctx context.Context, billID int64, ports []int64, now time.Time, actor string) error {
	return s.MoveBillPorts(ctx, billID, nil, ports, now, actor)
}

// RemoveBillPorts takes ports out of a bill: their samples count until now,
// and what they were counts on, also where now is before samples that were counted. ErrNotFound for the bill, or a port that is not in it.
func (s *Store) RemoveBillPorts(ctx context.Context, billID int64, ports []int64, now time.Time, actor string) error {
	return s.MoveBillPorts(ctx, billID, ports, nil, now, actor)
}

// MoveBillPorts takes ports out of a bill as RemoveBillPorts does and adds
// others as AddBillPorts does: all of it, or on an error nothing.
func (s *Store) MoveBillPorts(ctx context.Context, billID int64, leaving, joining []int64, now time.Time, actor string) error {
	leaving = sortedOnce(leaving)
	return s.tx(ctx, fmt.Sprintf("change the ports of the bill %d", billID), func(ctx context.Context, tx bun.Tx) error {
		row, err := s.lockedBill(ctx, tx, billID)
		if err != nil {
			return err
		}
		var events []device.Event
		if len(leaving) > 0 {
			if err := leaveBill(ctx, tx, billID, leaving, now.Unix()); err != nil {
				return err
			}
			events = append(events, billEvent(actor, "%s: removed the ports %s", titledBill(&row), listed(leaving)))
		}
		if len(joining) > 0 {
			from := max(now.Unix(), row.PeriodFrom) // whatever the clock says, closed periods get no port
			if err := s.joinBill(ctx, tx, billID, joining, time.Unix(from, 0)); err != nil {
				return err
			}
			events = append(events, billEvent(actor, "%s: added the ports %s", titledBill(&row), listed(joining)))
		}
		return addEvents(ctx, tx, events)
	})
}

// leaveBill takes ports, each once, out of a locked bill.
func leaveBill(ctx context.Context, tx bun.Tx, billID int64, ports []int64, now int64) error {
	result, err := tx.NewUpdate().Table("bill_ports").Set("until_slot = CASE WHEN done_slot >= ? THEN done_slot + 1 ELSE ? END", now, now).
		Where("bill_id = ?", billID).Where("until_slot = 0").Where("port_id IN (?)", bun.List(ports)).Exec(ctx)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows != int64(len(ports)) {
		return cmp.Or(err, fmt.Errorf("%w: not all of the ports %s are in the bill", ErrNotFound, listed(ports)))
	}
	// What counted for no time would keep the port from coming again in the same second.
	_, err = tx.NewDelete().Table("bill_ports").Where("bill_id = ?", billID).Where("until_slot > 0").Where("until_slot <= from_slot").Exec(ctx)
	return err
}

// joinBill adds ports to a locked bill.
func (s *Store) joinBill(ctx context.Context, tx bun.Tx, billID int64, ports []int64, now time.Time) error {
	if ports = sortedOnce(ports); len(ports) == 0 {
		return nil
	}
	var in []int64
	if err := tx.NewSelect().Table("bill_ports").Column("port_id").Where("bill_id = ?", billID).Where("until_slot = 0").Scan(ctx, &in); err != nil {
		return err
	}
	if len(in)+len(ports) > maxBillPorts {
		return fmt.Errorf("%w ports: %d, want at most %d in a bill", ErrInvalid, len(in)+len(ports), maxBillPorts)
	}
	for _, id := range in {
		if _, found := slices.BinarySearch(ports, id); found {
			return fmt.Errorf("%w: port %d is in the bill", ErrDuplicate, id)
		}
	}
	for ; len(ports) > 0; ports = ports[min(len(ports), portBatch):] {
		if err := s.joinBatch(ctx, tx, billID, ports[:min(len(ports), portBatch)], now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) joinBatch(ctx context.Context, tx bun.Tx, billID int64, ports []int64, now time.Time) error {
	var found []memberRow
	err := tx.NewSelect().TableExpr("ports AS p").Join("JOIN devices AS d ON d.id = p.device_id").
		ColumnExpr("? AS bill_id, p.id AS port_id, ? AS from_slot, 0 AS until_slot, ? AS done_slot", billID, now.Unix(), now.Unix()-1).
		ColumnExpr("d.hostname AS device_name, p.if_name AS port_name").Where("p.id IN (?)", bun.List(ports)).OrderExpr("p.id").Scan(ctx, &found)
	if err != nil {
		return err
	}
	for i, id := range ports {
		if i >= len(found) || found[i].PortID != id {
			return fmt.Errorf("port %d: %w", id, ErrNotFound)
		}
	}
	var left []memberRow // memberships never overlap, or samples would count twice
	if err := tx.NewSelect().Model(&left).Where("bill_id = ?", billID).Where("port_id IN (?)", bun.List(ports)).Where("until_slot > ?", now.Unix()).Scan(ctx); err != nil {
		return err
	}
	for _, m := range left {
		i, _ := slices.BinarySearch(ports, m.PortID)
		found[i].FromSlot = max(found[i].FromSlot, m.UntilSlot)
		found[i].DoneSlot = found[i].FromSlot - 1
	}
	if _, err := tx.NewInsert().Model(&found).Returning("NULL").Exec(ctx); err != nil {
		return err
	}
	return s.beginCounters(ctx, tx, billID, ports, now)
}

// stale is how old a last reading may be for what a port carried since to
// count: a port that no bill had for longer begins anew.
const stale = time.Hour

// beginCounters makes the rows that Collect compares with. They are there
// before the first reading, so that two first readings wait for each other.
// What another bill waits for is left alone, however long the port was silent.
func (s *Store) beginCounters(ctx context.Context, tx bun.Tx, billID int64, ports []int64, now time.Time) error {
	var old []counterRow
	if err := s.locked(tx.NewSelect().Model(&old).Where("port_id IN (?)", bun.List(ports)).Order("port_id")).Scan(ctx); err != nil {
		return err
	}
	var others []int64
	err := tx.NewSelect().Table("bill_ports").ColumnExpr("DISTINCT port_id").Where("port_id IN (?)", bun.List(ports)).
		Where("NOT (bill_id = ? AND until_slot = 0)", billID).Where("(until_slot = 0 OR until_slot > ?)", now.Add(-stale).Unix()).Scan(ctx, &others)
	if err != nil {
		return err
	}
	var added, reset []counterRow
	for _, id := range ports {
		i := slices.IndexFunc(old, func(r counterRow) bool { return r.PortID == id })
		switch {
		case i < 0:
			added = append(added, counterRow{PortID: id})
		case fromMillis(old[i].ReadAt).Add(stale).Before(now) && !slices.Contains(others, id):
			reset = append(reset, counterRow{PortID: id, Slot: old[i].Slot}) // the slot stays: samples are unique
		}
	}
	if len(added) > 0 { // unless another bill got it just now
		if _, err := tx.NewInsert().Model(&added).Ignore().Returning("NULL").Exec(ctx); err != nil {
			return err
		}
	}
	if len(reset) == 0 {
		return nil
	}
	_, err = s.upsert(tx.NewInsert().Model(&reset), "port_id").Exec(ctx)
	return err
}

// BillPorts lists the ports that a bill has or had, the earliest first; at most 10,000.
func (s *Store) BillPorts(ctx context.Context, billID int64) ([]billing.Membership, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []struct {
		memberRow
		Present  bool   `bun:"present"`
		Hostname string `bun:"hostname"`
		IfName   string `bun:"if_name"`
	}
	err := s.reads.NewSelect().TableExpr("bill_ports AS bp").Join("LEFT JOIN ports AS p ON p.id = bp.port_id").Join("LEFT JOIN devices AS d ON d.id = p.device_id").
		ColumnExpr("bp.*, d.id IS NOT NULL AS present, COALESCE(d.hostname, '') AS hostname, COALESCE(p.if_name, '') AS if_name").
		Where("bp.bill_id = ?", billID).OrderExpr("bp.from_slot, bp.port_id").Limit(maxPageSize).Scan(ctx, &rows)
	if err != nil {
		return nil, s.fail("list the ports of the bill", err)
	}
	list := make([]billing.Membership, len(rows))
	for i, r := range rows {
		list[i] = billing.Membership{Port: r.PortID, From: r.FromSlot, Until: r.UntilSlot, Device: r.DeviceName, Name: r.PortName, Present: r.Present, Done: r.DoneSlot}
		if r.Present {
			list[i].Device, list[i].Name = r.Hostname, r.IfName
		}
	}
	return list, nil
}

func sortedOnce(ids []int64) []int64 { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// listed names ids in an event, not more than a line has room for.
func listed(ids []int64) string {
	var names []string
	for _, id := range ids[:min(len(ids), 20)] {
		names = append(names, strconv.FormatInt(id, 10))
	}
	if len(ids) > len(names) {
		names = append(names, fmt.Sprintf("and %d more", len(ids)-len(names)))
	}
	return strings.Join(names, ", ")
}
