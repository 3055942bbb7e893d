package rrdcached

import (
	"errors"
	"testing"
)

// Each type of source goes on after a Restate as if it had not been, whatever the update's milliseconds are.
func TestRestateChangesNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"DERIVE", "COUNTER", "GAUGE"} {
		for _, ms := range []int64{0, 117, 999} {
			d := startDaemon(t)
			c := d.dial()
			source := Source{Name: "ds", Type: kind, Heartbeat: 600, Min: NoLimit, Max: NoLimit}
			schema := portSchema(10)
			schema.Sources = []Source{source}
			must(t, c.Create(t.Context(), "a.rrd", schema, at(0), ""))
			line := func(i int64) Update {
				when := i*10_000 + ms
				value := Counter(uint64(when))
				if kind == "GAUGE" {
					value = Gauge(1000)
				}
				return Update{File: "a.rrd", Time: at(when), Values: []Value{value}, Sources: schema.Sources}
			}
			for i := int64(1); i <= 40; i++ {
				must(t, c.Update(t.Context(), line(i)))
				if i%10 == 0 { // as after two restarts that wrote nothing between them
					must(t, c.Restate(t.Context(), []Update{line(i)}, int(i/10)))
					must(t, c.Restate(t.Context(), []Update{line(i)}, MaxAgain))
				}
			}
			must(t, c.Flush(t.Context(), "a.rrd"))
			series, err := c.Fetch(t.Context(), "a.rrd", "AVERAGE", at(0), at(400_000))
			must(t, err)
			if good, unknown := rates(t, series, at(20_000), at(400_000), 1000); good != 38 || unknown != 0 {
				t.Errorf("%s at %d ms: %d good, %d unknown values", kind, ms, good, unknown)
			}
		}
	}
}

func TestRestateIsBounded(t *testing.T) {
	t.Parallel()
	c := startDaemon(t).dial()
	for _, again := range []int{-1, MaxAgain + 1} {
		if err := c.Restate(t.Context(), nil, again); !errors.Is(err, ErrLimit) {
			t.Errorf("repetition %d: %v", again, err)
		}
	}
	if err := c.Restate(t.Context(), make([]Update, MaxRestate+1), 0); !errors.Is(err, ErrLimit) {
		t.Errorf("too many: %v", err)
	}
}
