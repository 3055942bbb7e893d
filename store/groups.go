package store

import (
	"context"
	"fmt"
	"strings"

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
		list[i] = device.Group{ID: rows[i].ID, Name: rows[i].Name, Description: rows[i].Description}
	}
	return list, nil
}

// AddGroup adds a poller group and returns it with its id, the lowest above
// all others. Errors: ErrInvalid for a name that is empty or longer than 64 bytes, ErrDuplicate.
func (s *Store) AddGroup(ctx context.Context, g device.Group) (device.Group, error) {
	doing := fmt.Sprintf("add the poller group %.80q", g.Name)
	g.Name, g.Description = strings.TrimSpace(g.Name), line(g.Description, maxMessage)
	if g.Name == "" || len(g.Name) > maxShort || g.Name != line(g.Name, maxShort) {
		return device.Group{}, s.fail(doing, fmt.Errorf("%w name: want 1 to %d bytes of printable text", ErrInvalid, maxShort))
	}
	err := s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) error {
		taken, err := tx.NewSelect().Table("poller_groups").Where("name = ?", g.Name).Count(ctx)
		if err != nil {
			return err
		}
		if taken > 0 {
			return fmt.Errorf("%w: a poller group with this name", ErrDuplicate)
		}
		if err := tx.NewSelect().Table("poller_groups").ColumnExpr("MAX(id) + 1").Scan(ctx, &g.ID); err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(&groupRow{ID: g.ID, Name: g.Name, Description: g.Description}).Exec(ctx)
		if duplicate(err) {
			return errAgain // somebody else added one just now
		}
		return err
	})
	if err != nil {
		return device.Group{}, err
	}
	return g, nil
}
