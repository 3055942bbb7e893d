package store

import (
	"strings"
	"testing"

	"github.com/uptrace/bun/dialect"

	"pollux/billing"
)

// reference makes the figures of every period of every bill from the raw
// samples, in SQL: DIV stands for a division that rounds down. Rates are bit/s.
const reference = `
WITH RECURSIVE back (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM back WHERE n < 63),
counted AS (
	SELECT h.bill_id, h.period_from, h.period_to, bp.from_slot, s.*,
		CASE WHEN s.slot - (s.slots - 1) * s.slot_seconds < bp.from_slot THEN (s.slot - bp.from_slot) DIV s.slot_seconds + 1 ELSE s.slots END AS share
	FROM bill_history AS h
	JOIN bill_ports AS bp ON bp.bill_id = h.bill_id
	JOIN bill_samples AS s ON s.port_id = bp.port_id
	WHERE s.slot >= h.period_from AND s.slot < h.period_to AND s.slot < h.calculated_to
	  AND s.slot >= bp.from_slot AND (bp.until_slot = 0 OR s.slot < bp.until_slot)
),
totals AS (
	SELECT bill_id, period_from, SUM((in_bytes * share) DIV slots) AS in_bytes, SUM((out_bytes * share) DIV slots) AS out_bytes, COUNT(*) AS got
	FROM counted GROUP BY bill_id, period_from
),
slots AS (
	SELECT c.bill_id, c.period_from, c.slot - back.n * c.slot_seconds AS slot, MAX(c.slot_seconds) AS width,
		SUM((c.in_bytes * 8000) DIV c.span_ms) AS in_rate, SUM((c.out_bytes * 8000) DIV c.span_ms) AS out_rate
	FROM counted AS c JOIN back ON back.n < c.slots
	WHERE c.span_ms > 0 AND c.slot - back.n * c.slot_seconds >= c.period_from AND c.slot - back.n * c.slot_seconds >= c.from_slot
	GROUP BY c.bill_id, c.period_from, c.slot - back.n * c.slot_seconds
),
ranked AS (
	SELECT bill_id, period_from, in_rate, out_rate, in_rate + out_rate AS both_rate,
		ROW_NUMBER() OVER (PARTITION BY bill_id, period_from ORDER BY in_rate) AS in_rank,
		ROW_NUMBER() OVER (PARTITION BY bill_id, period_from ORDER BY out_rate) AS out_rank,
		ROW_NUMBER() OVER (PARTITION BY bill_id, period_from ORDER BY in_rate + out_rate) AS both_rank,
		SUM(width) OVER (PARTITION BY bill_id, period_from ORDER BY in_rate ROWS UNBOUNDED PRECEDING) AS in_time,
		SUM(width) OVER (PARTITION BY bill_id, period_from ORDER BY out_rate ROWS UNBOUNDED PRECEDING) AS out_time,
		SUM(width) OVER (PARTITION BY bill_id, period_from ORDER BY in_rate + out_rate ROWS UNBOUNDED PRECEDING) AS both_time,
		COUNT(*) OVER (PARTITION BY bill_id, period_from) AS n,
		SUM(width) OVER (PARTITION BY bill_id, period_from) AS seconds
	FROM slots
),
percentiles AS (
	SELECT bill_id, period_from, MAX(seconds) AS seconds, PERCENTILE(in) AS in_95, PERCENTILE(out) AS out_95, PERCENTILE(both) AS both_95,
		MAX(in_rate) AS in_peak, MAX(out_rate) AS out_peak, MAX(both_rate) AS both_peak
	FROM ranked GROUP BY bill_id, period_from
)
SELECT h.bill_id, h.period_from, COALESCE(t.in_bytes, 0) AS in_bytes, COALESCE(t.out_bytes, 0) AS out_bytes, COALESCE(t.got, 0) AS got,
	COALESCE(p.seconds, 0) AS seconds, COALESCE(p.in_95, 0) AS in_95, COALESCE(p.out_95, 0) AS out_95, COALESCE(p.both_95, 0) AS both_95,
	COALESCE(p.in_peak, 0) AS in_peak, COALESCE(p.out_peak, 0) AS out_peak, COALESCE(p.both_peak, 0) AS both_peak
FROM bill_history AS h
LEFT JOIN totals AS t ON t.bill_id = h.bill_id AND t.period_from = h.period_from
LEFT JOIN percentiles AS p ON p.bill_id = h.bill_id AND p.period_from = h.period_from`

// How a percentile is taken of the ranked slots. PART stands for the direction. The nearest rank goes
// by time, which is by number where all slots are of one width; LibreNMS's index from 0 is round(0.95 n) - 2.
const (
	nearestSQL  = "MIN(CASE WHEN 100 * PART_time >= 95 * seconds THEN PART_rate END)"
	libreNMSSQL = "MAX(CASE WHEN PART_rank = (95 * n + 50) DIV 100 - 1 THEN PART_rate ELSE 0 END)"
)

type referenceRow struct {
	BillID     int64 `bun:"bill_id"`
	PeriodFrom int64 `bun:"period_from"`
	In         int64 `bun:"in_bytes"`
	Out        int64 `bun:"out_bytes"`
	Got        int64 `bun:"got"`
	Seconds    int64 `bun:"seconds"` // of slots with a rate
	In95       int64 `bun:"in_95"`
	Out95      int64 `bun:"out_95"`
	Both95     int64 `bun:"both_95"`
	InPeak     int64 `bun:"in_peak"`
	OutPeak    int64 `bun:"out_peak"`
	BothPeak   int64 `bun:"both_peak"`
}

func referenceOf(t *testing.T, e engine, percentile string) []referenceRow {
	t.Helper()
	div := "/"
	if e.db.Dialect().Name() == dialect.MySQL {
		div = "DIV"
	}
	query := reference
	for _, part := range []string{"in", "out", "both"} {
		query = strings.ReplaceAll(query, "PERCENTILE("+part+")", strings.ReplaceAll(percentile, "PART", part))
	}
	query = strings.ReplaceAll(query, "DIV", div)
	var rows []referenceRow
	if err := e.db.NewRaw(query).Scan(t.Context(), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// checkBills compares every period with the reference, by both methods.
func (o *oracle) checkBills(t *testing.T) {
	t.Helper()
	closed := o.compare(t, nearestSQL)
	if closed < oracleBills/20 {
		t.Errorf("only %d periods are closed", closed)
	}
	now := o.end()
	for _, id := range o.bills {
		if _, err := o.db.NewDelete().Table("bill_history").Where("bill_id = ?", id).Where("closed = ?", true).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range o.bills[:200] { // from the samples again, and the other method
		if err := o.RecalculateBill(t.Context(), id, billing.Calculation{Now: now, Interval: 300, Method: billing.LibreNMS}); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.CalculateBills(t.Context(), o.bills, billing.Calculation{Now: now, Interval: 300, Method: billing.LibreNMS}); err != nil {
		t.Fatal(err)
	}
	o.compare(t, libreNMSSQL)
}

func (o *oracle) compare(t *testing.T, percentile string) (closed int) {
	t.Helper()
	rows := referenceOf(t, o.engine, percentile)
	wrong, busy := 0, 0
	for _, want := range rows {
		var got periodRow
		if err := o.db.NewSelect().Model(&got).Where("bill_id = ?", want.BillID).Where("period_from = ?", want.PeriodFrom).Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got.Closed {
			closed++
		}
		if want.Seconds > 6000 {
			busy++
		}
		rate, peak, bytes := max(want.In95, want.Out95), max(want.InPeak, want.OutPeak), max(want.In, want.Out)
		switch billing.Direction(got.Direction) {
		case billing.In:
			rate, peak, bytes = want.In95, want.InPeak, want.In
		case billing.Out:
			rate, peak, bytes = want.Out95, want.OutPeak, want.Out
		case billing.Aggregate:
			rate, peak, bytes = want.Both95, want.BothPeak, want.In+want.Out
		case billing.Max:
		}
		used := rate
		if got.Type == string(billing.Quota) {
			used = bytes
		}
		average := int64(0)
		if want.Seconds > 0 {
			average = want.In * 8 / want.Seconds
		}
		made := referenceRow{
			BillID: got.BillID, PeriodFrom: got.PeriodFrom, In: got.In, Out: got.Out, Got: got.Got, Seconds: got.MeasuredSeconds,
			In95: got.Rate95In, Out95: got.Rate95Out, Both95: want.Both95, InPeak: got.PeakIn, OutPeak: got.PeakOut, BothPeak: want.BothPeak,
		}
		if made != want || got.Rate95 != rate || got.Peak != peak || got.Used != used || got.Overuse != max(0, used-got.Allowed) || got.AverageIn != average || got.Late != 0 || got.Got > got.Expected {
			if wrong++; wrong < 5 {
				t.Errorf("got  %+v\nwant %+v, 95th %d, peak %d, used %d, average %d", got, want, rate, peak, used, average)
			}
		}
	}
	if len(rows) < oracleBills || wrong > 0 || busy < oracleBills/2 {
		t.Errorf("%d of %d periods are wrong; %d have more than 6,000 s of slots", wrong, len(rows), busy)
	}
	return closed
}
