package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pollux/billing"
	"pollux/polluxtest"
)

// The database is killed while it writes samples, again and again: whether a
// commit was carried out nobody knows, so the readings are handed in again, or
// given up. At the end each port's samples add up to what it carried.
func TestSamplesSurviveAKilledDatabase(t *testing.T) {
	t.Parallel()
	const ports, rounds = 3000, 16
	c, server := polluxtest.OwnMariaDB(t)
	e := openEngine(t, c)
	ids := manyPorts(t, e, ports)
	b := addedBill(t, e, describedAs(billing.Quota, 1e12), ids...)
	broken := 0
	for n := range rounds {
		readings := make([]billing.Reading, len(ids))
		for i, id := range ids {
			readings[i] = readAt(id, n, uint64(n)*uint64(1000+i), uint64(n)*7)
		}
		if n%4 == 2 {
			done := make(chan error)
			go func() {
				_, err := e.Collect(t.Context(), readings, readings[0].Read)
				done <- err
			}()
			polluxtest.Eventually(t, 10*time.Second, "the first samples of the round", func() bool {
				written, err := e.db.NewSelect().Table("bill_samples").Where("port_id = ?", ids[0]).Where("slot = ?", readings[0].Slot).Count(t.Context())
				return err == nil && written > 0
			})
			server.Kill()
			if err := <-done; err != nil {
				broken++
				if !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			}
			server.Start()
			if n%8 == 2 {
				continue // the node was killed as well: nobody hands them in again
			}
		}
		polluxtest.Eventually(t, 30*time.Second, "the samples of the round", func() bool {
			_, err := e.Collect(t.Context(), readings, readings[0].Read)
			return err == nil
		})
	}
	if broken == 0 {
		t.Error("the database was never killed while it wrote")
	}
	calculated(t, e, billStart.Add(rounds*5*time.Minute), b)
	var want uint64
	for i := range ids {
		want += (rounds - 1) * uint64(1000+i)
	}
	s := historyOf(t, e, b)[0]
	if s.In != want || s.Out != (rounds-1)*7*ports || s.Late != 0 {
		t.Errorf("%+v, want %d bytes in", s, want)
	}
	var wrong []string
	err := e.db.NewRaw("SELECT CONCAT(port_id, ': ', SUM(in_bytes), ', ', COUNT(*)) FROM bill_samples GROUP BY port_id HAVING SUM(out_bytes) <> ? LIMIT 5", (rounds-1)*7).Scan(t.Context(), &wrong)
	if err != nil || len(wrong) > 0 {
		t.Errorf("%q, %v", wrong, err)
	}
	if kept, again, err := e.VerifyPeriod(t.Context(), b.ID, b.PeriodFrom); err != nil || kept != again {
		t.Errorf("%s", fmt.Sprint(kept, again, err))
	}
}

// manyPorts makes a device with n ports and returns their ids.
func manyPorts(t testing.TB, e engine, n int) []int64 {
	t.Helper()
	d := added(t, e)
	for done := 0; done < n; done += 1000 {
		rows := make([]portRow, min(1000, n-done))
		for i := range rows {
			rows[i] = portRow{DeviceID: d.ID, stateRow: stateRow{IfIndex: int64(done + i + 1), IfName: fmt.Sprintf("xe-%d", done+i+1)}}
		}
		if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var ids []int64
	if err := e.db.NewSelect().Table("ports").Column("id").Where("device_id = ?", d.ID).Order("id").Scan(t.Context(), &ids); err != nil || len(ids) != n {
		t.Fatal(len(ids), err)
	}
	return ids
}
