package device_test

import (
	"math"
	"testing"
	"time"

	"pollux/device"
)

func TestAvailability(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_795_340_123_456)
	ago := func(hours float64) time.Time { return now.Add(-time.Duration(hours * float64(time.Hour))) }
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		outages []device.Outage
		added   time.Time
		period  time.Duration
		want    float64 // -1: not known
	}{
		"never down":                    {nil, ago(1000), day, 100},
		"an hour of a day":              {[]device.Outage{{Down: ago(5), Up: ago(4)}}, ago(1000), day, 100 - 100.0/24},
		"the same hour of a week":       {[]device.Outage{{Down: ago(5), Up: ago(4)}}, ago(1000), 7 * day, 100 - 100.0/168},
		"before the period":             {[]device.Outage{{Down: ago(50), Up: ago(40)}}, ago(1000), day, 100},
		"across its begin":              {[]device.Outage{{Down: ago(50), Up: ago(18)}}, ago(1000), day, 75},
		"it goes on":                    {[]device.Outage{{Down: ago(5), Up: ago(4)}, {Down: ago(5.0 / 24)}}, ago(1000), day, 100 - 100.0/24 - 100*5.0/24/24},
		"down for the whole period":     {[]device.Outage{{Down: ago(100)}}, ago(1000), day, 0},
		"added within it":               {[]device.Outage{{Down: ago(5), Up: ago(4)}}, ago(10), 365 * day, 90},
		"two that overlap":              {[]device.Outage{{Down: ago(6), Up: ago(0.5)}, {Down: ago(5), Up: ago(4)}, {Down: ago(1)}}, ago(1000), day, 75},
		"it ends after now":             {[]device.Outage{{Down: ago(6), Up: ago(-6)}}, ago(1000), day, 75},
		"it begins after now":           {[]device.Outage{{Down: ago(-6), Up: ago(-7)}}, ago(1000), day, 100},
		"down before it was added":      {[]device.Outage{{Down: ago(20), Up: ago(9)}}, ago(10), day, 90},
		"added just now":                {nil, now, day, -1},
		"added by a clock that is late": {nil, ago(-1), day, -1},
	} {
		got, known := device.Availability(c.outages, c.added, now, c.period)
		if known != (c.want >= 0) || known && math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v %v, want %v", name, got, known, c.want)
		}
	}
}
