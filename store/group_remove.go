package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/settings"
)

// GroupRemoval says what the removal of a poller group changed.
type GroupRemoval struct {
	Group        device.Group  // the one that is gone
	Devices      int           // that were in it
	To           device.Group  // where they are now
	WasDefault   bool          // it was default_poller_group, which is 0 again
	Unassigned   []device.Node // nodes whose assignment named it, with the groups that are left
	NamedInFiles []device.Node // nodes whose own .env names it, with the groups of that
}

// RemoveGroup removes a poller group in one transaction: its devices go to
// default_poller_group, or to group 0 when that is the group that goes; the
// assignments of nodes lose it, and one that named nothing else is left empty,
// so that its node consumes nothing; credential sets lose it in the same way; events name who did it. What nodes have in
// their own .env cannot be changed from here. Errors: ErrNotFound, ErrInvalid for group 0.
func (s *Store) RemoveGroup(ctx context.Context, id int64, actor string) (GroupRemoval, error) {
	doing := fmt.Sprintf("remove the poller group %d", id)
	if id == device.GeneralGroup {
		return GroupRemoval{}, s.fail(doing, fmt.Errorf("%w group: group 0 is always there", ErrInvalid))
	}
	var removal GroupRemoval
	err := s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) (err error) {
		removal, err = s.removeGroup(ctx, tx, id, actor)
		return err
	})
	if err != nil {
		return GroupRemoval{}, err
	}
	return removal, nil
}

func (s *Store) removeGroup(ctx context.Context, tx bun.Tx, id int64, actor string) (r GroupRemoval, err error) {
	if err := s.lockGroups(ctx, tx); err != nil {
		return r, err
	}
	// From here on no device can be put into it: the foreign key waits for its row.
	if r.Group, err = s.lockedGroup(ctx, tx, id); err != nil {
		return r, err
	}
	last, err := s.lastGroup(ctx, tx)
	if err != nil {
		return r, err
	}
	if r.To, r.WasDefault, err = s.heirGroup(ctx, tx, id, actor); err != nil {
		return r, err
	}
	moved, err := tx.NewUpdate().Table("devices").Set("poller_group = ?", r.To.ID).Where("poller_group = ?", id).Exec(ctx)
	if err != nil {
		return r, err
	}
	devices, err := moved.RowsAffected()
	if err != nil {
		return r, err
	}
	r.Devices = int(devices)
	if r.Unassigned, r.NamedInFiles, err = s.unassign(ctx, tx, id); err != nil {
		return r, err
	}
	if err := s.unbindSets(ctx, tx, id); err != nil {
		return r, err
	}
	if _, err := tx.NewDelete().Table("poller_groups").Where("id = ?", id).Exec(ctx); err != nil {
		return r, err
	}
	if err := s.writeSetting(ctx, tx, lastGroup, strconv.FormatInt(last, 10), actor); err != nil {
		return r, err
	}
	return r, addEvents(ctx, tx, removalEvents(r, actor))
}

// heirGroup is the group that gets the devices. When the one that goes is the default group, the setting goes too.
func (s *Store) heirGroup(ctx context.Context, tx bun.Tx, id int64, actor string) (heir device.Group, wasDefault bool, err error) {
	const key = settings.KeyDefaultPollerGroup
	text, stored, err := s.lockedSetting(ctx, tx, key)
	if err != nil {
		return heir, false, err
	}
	chosen := int64(settings.NewValues(map[string]string{key: text}).Int(key)) // 0 when nothing is stored, or nonsense
	if stored && chosen == id {
		setting, err := settings.Find(key)
		if err != nil {
			return heir, false, err
		}
		if err := dropSetting(ctx, tx, key, settingEvent(key, text, shownValue(setting, "", false), actor)); err != nil {
			return heir, false, err
		}
		wasDefault, chosen = true, device.GeneralGroup
	}
	heir, err = s.lockedGroup(ctx, tx, chosen)
	if missing(err) { // a hand in the table
		heir, err = s.lockedGroup(ctx, tx, device.GeneralGroup)
	}
	return heir, wasDefault, err
}

// unassign takes a group out of the assignments of nodes. It returns those
// nodes with what is left, and the ones whose .env names the group.
func (s *Store) unassign(ctx context.Context, tx bun.Tx, id int64) (unassigned, named []device.Node, err error) {
	var rows []nodeRow
	query := tx.NewSelect().Model(&rows).Column("role", "node_id", "assigned_groups", "own_groups").Order("role", "node_id")
	if err := s.locked(query).Scan(ctx); err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		node := device.Node{Role: row.Role, NodeID: row.NodeID, Assigned: row.Assigned.Valid}
		if node.Groups = splitGroups(row.Own); slices.Contains(node.Groups, id) {
			named = append(named, node)
		}
		if node.Groups = splitGroups(row.Assigned); !slices.Contains(node.Groups, id) {
			continue
		}
		node.Groups = slices.DeleteFunc(node.Groups, func(group int64) bool { return group == id })
		row.Assigned = joinGroups(node.Groups)
		_, err := tx.NewUpdate().Model(&row).Column("assigned_groups").Where("role = ?", row.Role).Where("node_id = ?", row.NodeID).Exec(ctx)
		if err != nil {
			return nil, nil, err
		}
		unassigned = append(unassigned, node)
	}
	return unassigned, named, nil
}

func removalEvents(r GroupRemoval, actor string) []device.Event {
	events := []device.Event{groupEvent(actor, "removed %s: %d devices went to %s", titled(r.Group), r.Devices, titled(r.To))}
	for _, node := range r.Unassigned {
		event := groupEvent(actor, "%s %s is no longer assigned to %s", node.Role, node.NodeID, titled(r.Group))
		if len(node.Groups) == 0 {
			event.Severity = device.SeverityWarning
			event.Message += ", and to no other group: it polls nothing"
		}
		events = append(events, event)
	}
	return events
}
