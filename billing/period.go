package billing

import "time"

// Period is a bill's time from one billing day to the next, in Unix seconds. A
// sample belongs to it when its slot begins at or after From and before To.
type Period struct{ From, To int64 }

// PeriodAt is the period of a billing day that a time lies in. The periods of
// a day and a zone follow each other without gap or overlap.
func PeriodAt(at time.Time, day int, zone *time.Location) Period {
	local := at.In(zone)
	// Three months and not one, because a zone may leave out a day.
	for month := 1; month > -3; month-- {
		if from := billingDay(local.Year(), local.Month()+time.Month(month), day, zone); from <= at.Unix() {
			return Period{From: from, To: NextBoundary(at, day, zone)}
		}
	}
	return Period{From: at.Unix(), To: NextBoundary(at, day, zone)} // not reached
}

// NextBoundary is when the first billing day after a time begins, in Unix seconds.
func NextBoundary(after time.Time, day int, zone *time.Location) int64 {
	local := after.In(zone)
	month := 0
	for {
		if to := billingDay(local.Year(), local.Month()+time.Month(month), day, zone); to > after.Unix() {
			return to
		}
		month++
	}
}

// billingDay is when a day of a month begins; months may be out of 1 to 12. A
// month that is shorter has its last day instead.
func billingDay(year int, month time.Month, day int, zone *time.Location) int64 {
	last := time.Date(year, month+1, 0, 12, 0, 0, 0, time.UTC)
	return dayBegins(last.Year(), last.Month(), min(day, last.Day()), zone)
}

// dayBegins is the first second of a date. Clocks may be put forward at
// midnight, so that the date begins at 1:00, or back to the day before, or to
// midnight; and a zone may leave out a date, which then begins with the next one.
func dayBegins(year int, month time.Month, day int, zone *time.Location) int64 {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	begins, ends := t.ZoneBounds()
	if t.Day() == day {
		if before := t.Add(-time.Second); before.Day() == day {
			return before.Unix() - int64(sinceMidnight(before)/time.Second) // put back to midnight: the first time it was
		}
		if sinceMidnight(t) > 0 {
			return begins.Unix() // put forward over midnight, and the time after that is meant
		}
		return t.Unix()
	}
	if u := t.Add(24*time.Hour - sinceMidnight(t)); u.Day() == day && u.Before(ends) || ends.IsZero() {
		return u.Unix() // put back over midnight: the second time it is midnight
	}
	return ends.Unix() // put forward over midnight, and the time before that is meant
}

// sinceMidnight is what the clock shows.
func sinceMidnight(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
}
