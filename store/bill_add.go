package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// part is a stretch of samples that several memberships lack: above after, below before.
type part struct{ after, before int64 }

// seat is a membership that lacks the samples of a part.
type seat struct {
	*account
	*memberRow
	part
}

// partBatch bounds how many parts one query names. SQLite takes an expression
// of 1,000 levels, and each part is one.
const partBatch = 200

// addSamples counts the samples that are not in the figures yet, and returns
// the memberships whose progress that changed. More says that there are others.
func addSamples(ctx context.Context, tx bun.Tx, accounts []*account, now time.Time) (changed []memberRow, more bool, err error) {
	parts, seats := lacking(accounts)
	left := int64(sampleBatch)
	for batch := range slices.Chunk(parts, partBatch) {
		read, err := addParts(ctx, tx, batch, seats, left)
		if err != nil {
			return nil, false, err
		}
		if left -= read; left <= 0 {
			more = true
			break
		}
	}
	for _, list := range seats {
		for _, seat := range list {
			// No sample can come any more of a port that left long ago.
			if until := seat.UntilSlot; !more && until > 0 && until <= seat.to && now.Unix() >= until+int64(CloseAfter/time.Second) {
				seat.DoneSlot = max(seat.DoneSlot, until-1)
			}
			if seat.DoneSlot > seat.after {
				changed = append(changed, *seat.memberRow)
			}
		}
	}
	slices.SortFunc(changed, func(a, b memberRow) int {
		return cmp.Or(cmp.Compare(a.BillID, b.BillID), cmp.Compare(a.PortID, b.PortID), cmp.Compare(a.FromSlot, b.FromSlot))
	})
	return changed, more, nil
}

// lacking are the parts that memberships lack, in the order of time, and who lacks them.
func lacking(accounts []*account) ([]part, map[part][]seat) {
	seats := map[part][]seat{}
	for _, a := range accounts {
		for _, m := range a.members {
			p := part{after: m.DoneSlot, before: a.to}
			if m.UntilSlot > 0 {
				p.before = min(p.before, m.UntilSlot)
			}
			if p.after+1 < p.before {
				seats[p] = append(seats[p], seat{a, m, p})
			}
		}
	}
	parts := make([]part, 0, len(seats))
	for p := range seats {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.after, b.after), cmp.Compare(a.before, b.before)) })
	return parts, seats
}

// addParts counts the samples of some parts, at most limit of them, and says how many it read.
func addParts(ctx context.Context, tx bun.Tx, parts []part, seats map[part][]seat, limit int64) (int64, error) {
	byPort := map[int64][]seat{} // only of these parts: a sample of another one is read with that
	var rows []sampleRow
	query := tx.NewSelect().Model(&rows).Order("port_id", "slot").Limit(limit)
	for _, p := range parts {
		ports := make([]int64, len(seats[p]))
		for i, seat := range seats[p] {
			ports[i] = seat.PortID
			byPort[seat.PortID] = append(byPort[seat.PortID], seat)
		}
		query = query.WhereOr("(port_id IN (?) AND slot > ? AND slot < ?)", bun.List(sortedOnce(ports)), p.after, p.before)
	}
	if err := query.Scan(ctx); err != nil {
		return 0, err
	}
	for i := range rows {
		sample := rows[i].sample()
		for _, seat := range byPort[sample.Port] {
			if sample.Slot > seat.after && sample.Slot < seat.before {
				seat.add(seat.memberRow, sample)
			}
		}
	}
	return int64(len(rows)), nil
}
