package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/uptrace/bun"

	"pollux/device"
)

// groupRow is a row of poller_groups.
type groupRow struct {
	bun.BaseModel `bun:"table:poller_groups"`

	ID          int64  `bun:"id,pk"`
	Name        string `bun:"name"`
	Description string `bun:"description"`
}

func (r groupRow) group() device.Group {
	return device.Group{ID: r.ID, Name: r.Name, Description: r.Description}
}

// lastGroup is the row of settings that holds the highest id that a group ever
// had: the queue of a removed group may still hold tasks, so its id is not given again.
const lastGroup = internal + "last_poller_group"

// Groups lists the poller groups in the order of their ids. The first is 0, General.
func (s *Store) Groups(ctx context.Context) ([]device.Group, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []groupRow
	if err := s.reads.NewSelect().Model(&rows).Order("id").Scan(ctx); err != nil {
		return nil, s.fail("list the poller groups", err)
	}
	list := make([]device.Group, len(rows))
	for i := range rows {
		list[i] = rows[i].group()
	}
	return list, nil
}

// Group returns the poller group of an id or of a name; ErrNotFound when there is none.
func (s *Store) Group(ctx context.Context, idOrName string) (device.Group, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	doing := fmt.Sprintf("find the poller group %.80q", idOrName)
	var row groupRow
	query := s.reads.NewSelect().Model(&row)
	if id, err := strconv.ParseInt(idOrName, 10, 64); err == nil {
		query = query.Where("id = ?", id) // no group has a number for a name
	} else if idOrName != line(idOrName, maxShort) {
		return device.Group{}, s.fail(doing, ErrNotFound) // no group has such a name, and an engine might not take it
	} else {
		query = query.Where("name = ?", idOrName)
	}
	if err := query.Scan(ctx); err != nil {
		return device.Group{}, s.fail(doing, err)
	}
	return row.group(), nil
}

// GroupDevices counts the devices of each poller group, disabled ones included. Groups without devices are left out.
func (s *Store) GroupDevices(ctx context.Context) (map[int64]int, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var rows []struct {
		Group int64 `bun:"poller_group"`
		Count int   `bun:"count"`
	}
	err := s.reads.NewSelect().Table("devices").Column("poller_group").ColumnExpr("COUNT(*) AS count").Group("poller_group").Scan(ctx, &rows)
	if err != nil {
		return nil, s.fail("count the devices of the poller groups", err)
	}
	counts := make(map[int64]int, len(rows))
	for _, row := range rows {
		counts[row.Group] = row.Count
	}
	return counts, nil
}

// AddGroup adds a poller group, writes an event that names who did it, and
// returns the group with its id, which is above every one that a group ever had.
// Errors: ErrInvalid for a name that is empty, longer than 64 bytes, not printable, a number or has a comma, ErrDuplicate.
func (s *Store) AddGroup(ctx context.Context, g device.Group, actor string) (device.Group, error) {
	doing := fmt.Sprintf("add the poller group %.80q", g.Name)
	g, err := describedGroup(g)
	if err != nil {
		return device.Group{}, s.fail(doing, err)
	}
	err = s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockGroups(ctx, tx); err != nil {
			return err
		}
		if err := checkGroupName(ctx, tx, g.Name, -1); err != nil {
			return err
		}
		last, err := s.lastGroup(ctx, tx)
		if err != nil {
			return err
		}
		g.ID = last + 1
		if _, err := tx.NewInsert().Model(&groupRow{ID: g.ID, Name: g.Name, Description: g.Description}).Exec(ctx); err != nil {
			return err
		}
		if err := s.writeSetting(ctx, tx, lastGroup, strconv.FormatInt(g.ID, 10), actor); err != nil {
			return err
		}
		return addEvents(ctx, tx, []device.Event{groupEvent(actor, "added %s", titled(g))})
	})
	if err != nil {
		return device.Group{}, err
	}
	return g, nil
}

// UpdateGroup changes name and description of a poller group, and writes an
// event that names who did it. change gets the group and may run several times;
// its error ends everything. Group 0 keeps its name: ErrInvalid. Other errors: ErrNotFound,
// ErrInvalid and ErrDuplicate as those of AddGroup, and that of change.
func (s *Store) UpdateGroup(ctx context.Context, id int64, change func(*device.Group) error, actor string) (device.Group, error) {
	var changed device.Group
	err := s.tx(ctx, fmt.Sprintf("change the poller group %d", id), func(ctx context.Context, tx bun.Tx) error {
		if err := s.lockGroups(ctx, tx); err != nil {
			return err
		}
		old, err := s.lockedGroup(ctx, tx, id)
		if err != nil {
			return err
		}
		g := old
		if err := change(&g); err != nil {
			return err
		}
		if g.ID = id; g.Name == old.Name && g.Description == old.Description {
			changed = old
			return nil
		}
		if id == device.GeneralGroup {
			return fmt.Errorf("%w change: group 0 is always there and stays as it is", ErrInvalid)
		}
		if g, err = redescribedGroup(old, g); err != nil {
			return err
		}
		if err := checkGroupName(ctx, tx, g.Name, id); err != nil {
			return err
		}
		row := groupRow{ID: id, Name: g.Name, Description: g.Description}
		if _, err := tx.NewUpdate().Model(&row).Column("name", "description").Where("id = ?", id).Exec(ctx); err != nil {
			return err
		}
		changed = g
		return addEvents(ctx, tx, groupChanges(old, g, actor))
	})
	if err != nil {
		return device.Group{}, err
	}
	return changed, nil
}

func groupChanges(old, g device.Group, actor string) []device.Event {
	var events []device.Event
	if g.Name != old.Name {
		events = append(events, groupEvent(actor, "group %d: name: %s -> %s", g.ID, old.Name, g.Name))
	}
	if g.Description != old.Description {
		events = append(events, groupEvent(actor, "group %d: description: %s -> %s", g.ID, old.Description, g.Description))
	}
	return events
}

// describedGroup gives name and description the form in which they are kept.
func describedGroup(g device.Group) (device.Group, error) {
	g.Name, g.Description = strings.TrimSpace(g.Name), strings.TrimSpace(line(g.Description, maxMessage))
	if g.Name == "" || len(g.Name) > maxShort || g.Name != line(g.Name, maxShort) || strings.ContainsFunc(g.Name, hidden) {
		return g, fmt.Errorf("%w name: want 1 to %d bytes of printable text", ErrInvalid, maxShort)
	}
	if strings.Contains(g.Name, ",") {
		return g, fmt.Errorf("%w name: a comma stands between the groups of a list, such as that of node set --groups", ErrInvalid)
	}
	if _, err := strconv.ParseInt(g.Name, 10, 64); err == nil {
		return g, fmt.Errorf("%w name: %s would be taken for the id of a group", ErrInvalid, g.Name)
	}
	return g, nil
}

// redescribedGroup is describedGroup for a group that is there: a name that an
// earlier version allowed does not keep it from being described.
func redescribedGroup(old, g device.Group) (device.Group, error) {
	if g.Name != old.Name {
		return describedGroup(g)
	}
	g.Description = strings.TrimSpace(line(g.Description, maxMessage))
	return g, nil
}

// hidden are the characters of which a terminal shows something else than the text.
func hidden(r rune) bool { return !unicode.IsPrint(r) }

// checkGroupName refuses the name of a group other than except.
func checkGroupName(ctx context.Context, tx bun.Tx, name string, except int64) error {
	taken, err := tx.NewSelect().Table("poller_groups").Where("name = ?", name).Where("id <> ?", except).Count(ctx)
	if err == nil && taken > 0 {
		return fmt.Errorf("%w: a poller group with the name %s", ErrDuplicate, name)
	}
	return err
}

// lockGroups lets one transaction at a time change which groups there are, or
// what hangs on that: it holds the row of group 0, which is always there.
// Adding a device to a group takes no part in it; the foreign key does.
func (s *Store) lockGroups(ctx context.Context, tx bun.Tx) error {
	_, err := s.lockedGroup(ctx, tx, device.GeneralGroup)
	return err
}

func (s *Store) lockedGroup(ctx context.Context, tx bun.Tx, id int64) (device.Group, error) {
	var row groupRow
	err := s.locked(tx.NewSelect().Model(&row).Where("id = ?", id)).Scan(ctx)
	if missing(err) {
		err = fmt.Errorf("poller group %d: %w", id, ErrNotFound)
	}
	return row.group(), err
}

// lastGroup is the highest id that a group has or had.
func (s *Store) lastGroup(ctx context.Context, tx bun.Tx) (int64, error) {
	var highest int64
	if err := tx.NewSelect().Table("poller_groups").ColumnExpr("MAX(id)").Scan(ctx, &highest); err != nil {
		return 0, err
	}
	text, stored, err := s.lockedSetting(ctx, tx, lastGroup)
	if err != nil || !stored {
		return highest, err
	}
	noted, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return highest, nil //nolint:nilerr // a hand in the table must not keep groups from being added
	}
	return max(highest, noted), nil
}

// titled names a group in an event.
func titled(g device.Group) string { return fmt.Sprintf("group %d (%s)", g.ID, g.Name) }

func groupEvent(actor, format string, args ...any) device.Event {
	return device.Event{
		Time: time.Now(), Type: "poller_group", Severity: device.SeverityNotice, Actor: actor, Message: fmt.Sprintf(format, args...),
	}
}
