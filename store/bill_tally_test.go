package store

import (
	"testing"
	"time"

	"pollux/billing"
)

// TestWhatIsAskedOfBills counts bills by what their open periods say, and tells of each port what was read of it last.
func TestWhatIsAskedOfBills(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			d, ports := billable(t, e, 4)
			quota := func(allowed int64, port int64) billing.Bill {
				b := describedAs(billing.Quota, allowed)
				b.Direction = billing.Aggregate
				return addedBill(t, e, b, port)
			}
			// 300,000 bytes are used of each.
			bills := []billing.Bill{quota(1_000_000_000_000_000_000, ports[0]), quota(320_000, ports[1]), quota(290_000, ports[2]), quota(0, ports[3])}
			bills = append(bills, addedBill(t, e, describedAs(billing.CDR, 1), ports[0])) // whose percentile is not of a day yet
			if got, err := e.TallyBills(t.Context()); err != nil || got != (BillTally{Bills: 5}) {
				t.Errorf("before the first calculation: %+v, %v", got, err)
			}
			for i, port := range ports {
				samples := 150
				if i == 0 {
					samples = 140 // of the 149 that there are to be
				}
				for n := 1; n < samples; n++ {
					collected(t, e, readAt(port, n, uint64(1000*min(n-1, 100)), uint64(2000*min(n-1, 100))))
				}
			}
			calculated(t, e, billStart.Add(150*300*time.Second), bills...)
			if got, err := e.TallyBills(t.Context()); err != nil || got != (BillTally{Bills: 5, Near: 2, Over: 1, Incomplete: 2}) {
				t.Errorf("%+v, %v", got, err)
			}
			billed, err := e.BilledPorts(t.Context(), d.ID)
			if err != nil || len(billed) != 4 {
				t.Fatal(len(billed), err)
			}
			for i, p := range billed {
				want := billStart.Unix() + 149*300
				if p.ID == ports[0] {
					want = billStart.Unix() + 139*300
				}
				if p.Last != want || p.Bits != 64 {
					t.Errorf("port %d was read in %d with %d bits, want %d", i, p.Last, p.Bits, want)
				}
			}
		})
	}
}
