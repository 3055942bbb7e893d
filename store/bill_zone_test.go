package store

import (
	"fmt"
	"strings"
	"testing"

	"pollux/billing"
)

// TestABillWhoseZoneIsNotThereIsNotClosed has two bills whose zones this node
// cannot load, and one that is well. No period of the former may end by another zone's midnight.
func TestABillWhoseZoneIsNotThereIsNotClosed(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			_, ports := billable(t, e, 1)
			well := addedBill(t, e, describedAs(billing.Quota, 1), ports[0])
			ids := []int64{well.ID}
			var sick []billing.Bill
			for _, zone := range []string{"Mars/Base", "right/Europe/Berlin"} {
				b := addedBill(t, e, describedAs(billing.Quota, 1), ports[0])
				if _, err := e.db.NewUpdate().Table("bills").Set("time_zone = ?", zone).Where("id = ?", b.ID).Exec(t.Context()); err != nil {
					t.Fatal(err)
				}
				sick, ids = append(sick, b), append(ids, b.ID)
			}
			c := billing.Calculation{Now: billStart.AddDate(0, 1, 0).Add(CloseAfter), Interval: 300, Method: billing.Nearest}
			err := e.CalculateBills(t.Context(), ids, c)
			for _, b := range sick {
				if want := fmt.Sprintf("pollux bill set %d --time-zone", b.ID); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
				if list := historyOf(t, e, b); len(list) != 1 || list[0].Closed {
					t.Errorf("%+v", list)
				}
			}
			if list := historyOf(t, e, well); len(list) != 2 || !list[1].Closed {
				t.Errorf("%+v", list)
			}
			mended := sick[0]
			mended.Zone = "Europe/Berlin"
			if mended, err = e.UpdateBill(t.Context(), mended, c.Now, "anna"); err != nil {
				t.Fatal(err)
			}
			calculated(t, e, c.Now, mended)
			if list := historyOf(t, e, mended); len(list) != 2 || !list[1].Closed {
				t.Errorf("%+v", list)
			}
		})
	}
}
