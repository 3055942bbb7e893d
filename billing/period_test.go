package billing

import (
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := (Bill{Zone: name}).Location()
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// zones put their clocks forward or back at midnight, leave out whole days, or are odd otherwise.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "America/Havana", "Asia/Beirut", "Asia/Tehran", "Africa/Cairo",
	"Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Asuncion", "Asia/Amman", "America/Scoresbysund", "Pacific/Chatham", "Antarctica/Troll",
}

// Hour by hour over 40 years: each time lies in one period, the periods follow
// each other, and each begins with the first second of its billing day.
func TestPeriodsHaveNoGapOrOverlap(t *testing.T) {
	t.Parallel()
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone(t, name)
			for _, day := range []int{1, 15, 28, 29, 30, 31} {
				from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
				p := PeriodAt(from, day, z)
				for at := from; at.Year() < 2040; at = at.Add(17*time.Hour + 59*time.Second) {
					if at.Unix() >= p.To {
						next := PeriodAt(time.Unix(p.To, 0), day, z)
						if next.From != p.To || next.To <= next.From || next.To-next.From > 33*86400 {
							t.Fatalf("day %d: %v is followed by %v", day, p, next)
						}
						p = next
						checkBegin(t, p.From, day, z)
					}
					if got := PeriodAt(at, day, z); got != p || at.Unix() < p.From || at.Unix() >= p.To {
						t.Fatalf("day %d: %v lies in %v, not %v", day, at, got, p)
					}
				}
			}
		})
	}
}

// checkBegin compares a billing day with what the clock shows around it.
func checkBegin(t *testing.T, from int64, day int, z *time.Location) {
	t.Helper()
	at, before := time.Unix(from, 0).In(z), time.Unix(from-1, 0).In(z)
	last := time.Date(at.Year(), at.Month()+1, 0, 12, 0, 0, 0, time.UTC).Day()
	if z.String() == "Pacific/Apia" && at.Year() == 2011 && at.Month() == 12 && day == 30 {
		day = 31 // it had no 30 December
	}
	if at.Day() != min(day, last) || before.Day() == at.Day() {
		t.Errorf("day %d begins at %v, after %v", day, at, before)
	}
}

func TestPeriodsOfShortMonthsAndChangedClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone     string
		day      int
		at       string
		from, to string
	}{
		{"UTC", 1, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"}, // LibreNMS has the day itself in the period before
		{"UTC", 1, "2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"UTC", 31, "2026-02-15T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"},
		{"UTC", 31, "2024-02-29T12:00:00Z", "2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"},
		{"UTC", 30, "2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-30T00:00:00Z"},
		{"UTC", 15, "2026-01-14T23:00:00Z", "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z"},
		{"Europe/Berlin", 1, "2026-03-15T00:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"},      // an hour shorter
		{"Europe/Berlin", 1, "2026-10-15T00:00:00Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"},      // an hour longer
		{"America/Sao_Paulo", 4, "2018-11-05T00:00:00Z", "2018-11-04T03:00:00Z", "2018-12-04T02:00:00Z"},  // 4 November began at 1:00
		{"America/Sao_Paulo", 18, "2018-02-18T12:00:00Z", "2018-02-18T03:00:00Z", "2018-03-18T03:00:00Z"}, // put back to 17 February, 23:00
		{"Asia/Beirut", 29, "2026-03-29T12:00:00Z", "2026-03-28T22:00:00Z", "2026-04-28T21:00:00Z"},       // begins at 1:00
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		p := PeriodAt(at, c.day, zone(t, c.zone))
		from, to := time.Unix(p.From, 0).UTC().Format(time.RFC3339), time.Unix(p.To, 0).UTC().Format(time.RFC3339)
		if from != c.from || to != c.to {
			t.Errorf("%s day %d at %s: %s to %s, want %s to %s", c.zone, c.day, c.at, from, to, c.from, c.to)
		}
	}
}

func TestBillsThatCannotBe(t *testing.T) {
	t.Parallel()
	good := Bill{Type: CDR, Direction: Max, Day: 31, Zone: "Europe/Berlin", Allowed: 1e9}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"Etc/GMT+12", "America/Argentina/ComodRivadavia", "America/Port-au-Prince", "EST5EDT", "W-SU"} {
		b := good
		if b.Zone = name; b.Validate() != nil {
			t.Errorf("%s: refused", name)
		}
	}
	for name, change := range map[string]func(*Bill){
		"day 0": func(b *Bill) { b.Day = 0 }, "day 32": func(b *Bill) { b.Day = 32 }, "negative": func(b *Bill) { b.Allowed = -1 },
		"absurd rate": func(b *Bill) { b.Allowed = 1e15 }, "absurd quota": func(b *Bill) { b.Type, b.Allowed = Quota, 2e18 },
		"type": func(b *Bill) { b.Type = "flat" }, "direction": func(b *Bill) { b.Direction = "up" },
		"no zone": func(b *Bill) { b.Zone = "" }, "a zone that is another on each node": func(b *Bill) { b.Zone = "Local" },
		"a zone that is none": func(b *Bill) { b.Zone = "Europe/Atlantis" }, "a path": func(b *Bill) { b.Zone = "../../etc/passwd" },
		"a zone with leap seconds": func(b *Bill) { b.Zone = "right/Europe/Berlin" }, "a zone of some systems": func(b *Bill) { b.Zone = "posix/Europe/Berlin" },
		"the system's own zone": func(b *Bill) { b.Zone = "localtime" }, "the system's own rules": func(b *Bill) { b.Zone = "posixrules" },
		"a zone with a space": func(b *Bill) { b.Zone = "Europe/Berlin " },
	} {
		b := good
		if change(&b); b.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
