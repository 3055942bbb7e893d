package poller

import (
	"context"
	"fmt"
	"slices"
)

// count reads the counters that every port should have, with its name; those of
// 32 bits that stand in for missing ones of 64 follow, see standIn. Only a column that was read
// to its end says that a counter is missing: a port must not change its width
// because a packet was lost.
func (r *reader) count(ctx context.Context) error {
	if len(r.rows) == 0 {
		return nil
	}
	if err := r.walk(ctx, counters(r.lacks), false); err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	return nil
}

// standIn reads 32-bit columns for the ports that lack the 64-bit ones. When
// the 64-bit octets of all ports are zero although one of them is up, the agent
// only pretends to have them: the 32-bit ones are read for all ports, and
// returned true. What a port did not have at the last poll is not asked for again.
func (r *reader) standIn(ctx context.Context, rows []int, memory *Memory) (narrow bool, err error) {
	if len(rows) == 0 {
		return false, nil
	}
	narrow = r.pretends(rows)
	for _, family := range families {
		fields := without(family.narrow, r.walked|r.lacks)
		var need []int
		for _, i := range rows {
			missing := family.misses(&r.rows[i], r.walked) || narrow && family.wide[0] != fieldHighSpeed
			if missing && !r.rows[i].skipped && maskOf(fields)&^memory.absent(&r.rows[i]) != 0 {
				need = append(need, i)
			}
		}
		if len(fields) == 0 || len(need) == 0 {
			continue
		}
		asked := maskOf(fields)
		if slices.Contains(fields, narrowInOctets) && r.named(need) {
			fields = append(slices.Clone(fields), fieldName) // whose they are, see counterFields
		}
		if err := r.fetch(ctx, fields, need); err != nil {
			return narrow, fmt.Errorf("read 32-bit counters: %w", err)
		}
		for _, i := range need {
			r.rows[i].absent |= asked &^ r.rows[i].seen
		}
	}
	return narrow, nil
}

// named says whether one of the rows has an ifName.
func (r *reader) named(rows []int) bool {
	return slices.ContainsFunc(rows, func(i int) bool { return r.rows[i].has(fieldName) })
}

func (r *reader) pretends(rows []int) bool {
	up := false
	for _, i := range rows {
		row := &r.rows[i]
		if row.number(wideInOctets) > 0 || row.number(wideOutOctets) > 0 {
			return false
		}
		up = up || row.has(wideInOctets) && row.number(fieldOperStatus) == operUp
	}
	return up
}

// operUp is the ifOperStatus of a port that works (RFC 2863).
const operUp = 1
