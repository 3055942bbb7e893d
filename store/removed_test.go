package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/uptrace/bun"
)

// TestManyRemovedDevices is apart from the other behaviours, which list those that they removed. More were removed than one page holds.
func TestManyRemovedDevices(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listMany(t, openEngine(t, database(t)))
		})
	}
}

func listMany(t *testing.T, e engine) {
	const many, old, chunk = maxPageSize + 700, 500, 1500
	began := time.Now()
	err := e.db.RunInTx(t.Context(), nil, func(_ context.Context, tx bun.Tx) error {
		for first := 1; first <= many; first += chunk {
			rows := make([]removedRow, 0, chunk)
			for id := first; id < first+chunk && id <= many; id++ {
				at := began.Add(-time.Duration(id) * time.Millisecond) // the later ids were removed earlier
				if id <= old {
					at = began.Add(-time.Hour)
				}
				rows = append(rows, removedRow{ID: int64(id), Hostname: "sw", RRDDir: fmt.Sprintf("sw~%d", id), RemovedAt: millis(at)})
			}
			if _, err := tx.NewInsert().Model(&rows).Exec(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	after, seen, pages := int64(0), 0, 0
	for {
		list, err := e.Removed(t.Context(), began.Add(-time.Minute), after)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		pages++
		for _, r := range list {
			if r.ID != after+1 && (after != 0 || r.ID != old+1) {
				t.Fatalf("device %d follows %d", r.ID, after)
			}
			after = r.ID
			seen++
		}
	}
	if seen != many-old || pages < 2 {
		t.Errorf("%d devices in %d pages, want %d", seen, pages, many-old)
	}
}
