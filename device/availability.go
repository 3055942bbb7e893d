package device

import "time"

// Outage is a time during which a device gave no answer.
type Outage struct {
	Down time.Time // sample time of the first poll without an answer
	Up   time.Time // of the next one with an answer; zero while it goes on
}

// MaxOutages bounds the outages of a device that its availability is computed from: the latest count.
const MaxOutages = 5000

// AvailabilityPeriods are the times before now that availability is computed over, as LibreNMS has them.
func AvailabilityPeriods() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{day, 7 * day, 30 * day, 365 * day}
}

// Availability is the share in percent of the period before now in which a device was not down. The
// period begins when the device was added, if that was later. Outages are ordered by their begin.
// It is not known of a device that was added just now.
func Availability(outages []Outage, added, now time.Time, period time.Duration) (percent float64, known bool) {
	begin := now.Add(-period)
	if added.After(begin) {
		begin = added
	}
	whole := now.Sub(begin)
	if whole <= 0 {
		return 0, false
	}
	var down time.Duration
	counted := begin // what lies before it is counted already
	for _, outage := range outages {
		from, to := outage.Down, outage.Up
		if to.IsZero() || to.After(now) {
			to = now
		}
		if from.Before(counted) {
			from = counted
		}
		if to.After(from) {
			down += to.Sub(from)
			counted = to
		}
	}
	return 100 * (1 - down.Seconds()/whole.Seconds()), true
}
