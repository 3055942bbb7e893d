package store

import (
	"context"

	"pollux/billing"
)

// BillTally counts bills by what their open periods say.
type BillTally struct {
	Bills      int64 // all of them
	Near       int64 // that used more than 80 % of their allowance, those that are over it too; of a percentile once there is a day of it
	Over       int64 // that used more than their allowance
	Incomplete int64 // with less than 99 % of the expected samples, 100 or more
}

// rated holds of periods whose use of their allowance says something: as warnings have it.
const rated = "allowed > 0 AND (bill_type <> ? OR measured_seconds >= ?)"

// TallyBills counts the bills, by the figures that were calculated last.
func (s *Store) TallyBills(ctx context.Context) (BillTally, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var row struct {
		Bills      int64 `bun:"bills"`
		Near       int64 `bun:"near_allowed"`
		Over       int64 `bun:"over_allowed"`
		Incomplete int64 `bun:"incomplete"`
	}
	// Subtractions, since a product of two large figures has no room in 64 bits.
	err := s.reads.NewSelect().Table("bill_history").ColumnExpr("COUNT(*) AS bills").
		ColumnExpr("COALESCE(SUM(CASE WHEN "+rated+" AND used > allowed - allowed / 5 THEN 1 ELSE 0 END), 0) AS near_allowed", string(billing.CDR), leastRated).
		ColumnExpr("COALESCE(SUM(CASE WHEN "+rated+" AND overuse > 0 THEN 1 ELSE 0 END), 0) AS over_allowed", string(billing.CDR), leastRated).
		ColumnExpr("COALESCE(SUM(CASE WHEN expected >= 100 AND got < expected - expected / 100 THEN 1 ELSE 0 END), 0) AS incomplete").
		Where("closed = ?", false).Scan(ctx, &row)
	if err != nil {
		return BillTally{}, s.fail("count the bills", err)
	}
	return BillTally(row), nil
}
