package snmp

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// TestMaxObjects asks an agent that stays silent when a request names more objects than the target says.
func TestMaxObjects(t *testing.T) {
	t.Parallel()
	columns := []int{2, 8, 10, 13, 16, 20, 21}
	for _, most := range []int{2, 5, 0} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			m := interfaces(12, columns...)
			var longest atomic.Int64
			_, target := startScripted(t, func(r request) [][]byte {
				longest.Store(max(longest.Load(), int64(len(r.Variables))))
				if most > 0 && len(r.Variables) > most {
					return nil
				}
				return [][]byte{reply(t, r, m.answer(r))}
			})
			target.MaxObjects = most
			var oids []OID
			for _, v := range m {
				oids = append(oids, trimDot(v.Name))
			}
			got, err := dial(t, target).Get(t.Context(), oids...)
			if err != nil || len(got) != len(oids) || !got[len(got)-1].Value.Exists() {
				t.Errorf("%d of %d objects, %v", len(got), len(oids), err)
			}
			if want := int64(most); most > 0 && longest.Load() != want || most == 0 && longest.Load() != maxGet {
				t.Errorf("the longest request named %d objects, want %d", longest.Load(), want)
			}
			for _, version := range []Version{V2c, V1} {
				target.Credentials.Version = version
				cells, err := read(t, dial(t, target), TableRequest{Columns: ifColumns(columns...), ExpectedRows: 12})
				if err != nil {
					t.Errorf("%s: %v", version, err)
				}
				wantInterfaces(t, cells, 12, columns...)
			}
			if most > 0 && longest.Load() > int64(most) {
				t.Errorf("a table request named %d objects, want at most %d", longest.Load(), most)
			}
		})
	}
}
