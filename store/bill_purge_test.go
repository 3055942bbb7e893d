package store

import (
	"testing"
	"time"

	"pollux/billing"
)

// TestPurgeOfSamples uses databases of its own, since it takes samples away from every bill.
func TestPurgeOfSamples(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			_, ports := billable(t, e, 50)
			b := addedBill(t, e, describedAs(billing.Quota, 1), ports[:49]...)
			gone := addedBill(t, e, describedAs(billing.Quota, 1), ports[49])
			next := billStart.AddDate(0, 1, 0)
			last := int(next.Sub(billStart) / (300 * time.Second))
			for _, n := range []int{0, 1, 2, 400, 401, last, last + 1} {
				var readings []billing.Reading
				for _, id := range ports {
					readings = append(readings, readAt(id, n, uint64(1000*n), 0))
				}
				if _, err := e.Collect(t.Context(), readings, readings[0].Read); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.RemoveBill(t.Context(), gone.ID, "anna"); err != nil {
				t.Fatal(err)
			}
			purged := func(before time.Time, want int64) {
				t.Helper()
				if got, err := e.PurgeBilling(t.Context(), before); err != nil || got != want {
					t.Errorf("before %v: %d, %v, want %d", before, got, err, want)
				}
			}
			calculated(t, e, next.Add(time.Minute), b)
			purged(next.AddDate(1, 0, 0), 0) // the period is open
			calculated(t, e, next.Add(CloseAfter), b)
			closed := historyOf(t, e, b)[1]
			purged(billStart.Add(10*time.Minute), 100)
			purged(next.AddDate(1, 0, 0), 150)
			purged(next.AddDate(1, 0, 0), 0)
			if got := historyOf(t, e, b)[1]; got != closed || got.Got != 5*49 || got.In != 401_000*49 {
				t.Errorf("%+v", got)
			}
			for table, want := range map[string]int64{"bill_samples": 100, "bill_counters": 50, "bill_data": 1} {
				if n, err := e.db.NewSelect().Table(table).Count(t.Context()); err != nil || n != want {
					t.Errorf("%s: %d rows, %v, want %d", table, n, err, want)
				}
			}
		})
	}
}
