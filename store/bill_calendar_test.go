package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pollux/billing"
)

// calendarFrom begins what is compared, and calendarTo ends it.
var (
	calendarFrom = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)
	calendarTo   = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
)

// calendarZones change their clocks at midnight, to midnight or over it, by half an hour, or are odd otherwise.
// Where governments change their minds, only years that are over are compared: 2015 to 2021.
var calendarZones = []struct {
	name    string
	settled bool // until 2021 only
}{
	{"UTC", false}, {"Europe/Berlin", false}, {"America/New_York", false}, {"America/Havana", true}, {"Atlantic/Azores", true}, {"Australia/Lord_Howe", false},
	{"Asia/Kathmandu", false}, {"Pacific/Chatham", true}, {"America/Sao_Paulo", true}, {"Asia/Beirut", true}, {"America/Asuncion", true}, {"Asia/Tehran", true}, {"Pacific/Apia", true},
	{"Asia/Amman", true}, {"America/Scoresbysund", true}, {"Africa/Casablanca", true},
}

// calendarSQL makes a calendar in PostgreSQL: a date begins in a zone when AT TIME ZONE shows it for the first
// time, looked for each quarter of an hour around what AT TIME ZONE takes for its midnight; a billing period
// begins with the first date at or after its day, or the last day of a shorter month.
const calendarSQL = `
WITH zone AS (SELECT ?::text AS name),
quarters AS (
	SELECT (d::timestamp AT TIME ZONE zone.name) + k * interval '15 minutes' AS g
	FROM zone, generate_series(?::date - 40, ?::date + 40, interval '1 day') AS d, generate_series(-8, 8) AS k
),
dates AS (SELECT (g AT TIME ZONE zone.name)::date AS shown, MIN(g) AS begins FROM zone, quarters GROUP BY 1),
days AS (
	SELECT d AS day, make_date(y, m, LEAST(d, EXTRACT(DAY FROM make_date(y, m, 1) + interval '1 month' - interval '1 day')::int)) AS wanted
	FROM generate_series(1, 31) AS d, generate_series(EXTRACT(YEAR FROM ?::timestamptz)::int, EXTRACT(YEAR FROM ?::timestamptz)::int) AS y, generate_series(1, 12) AS m
)
SELECT days.day, EXTRACT(EPOCH FROM MIN(dates.begins))::bigint AS begins
FROM days CROSS JOIN generate_series(0, 2) AS later JOIN dates ON dates.shown = days.wanted + later
WHERE days.wanted >= ?::date AND days.wanted < ?::date
GROUP BY days.day, days.wanted ORDER BY days.day, days.wanted`

// TestPeriodsEqualTheDatabasesCalendar compares the periods of each billing day with those that PostgreSQL makes by its own dates and zones.
func TestPeriodsEqualTheDatabasesCalendar(t *testing.T) {
	t.Parallel()
	e := openEngine(t, databases()["pgsql"](t))
	for _, zone := range calendarZones {
		to := calendarTo
		if zone.settled {
			to = time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		var rows []struct {
			Day    int   `bun:"day"`
			Begins int64 `bun:"begins"`
		}
		if err := e.db.NewRaw(calendarSQL, zone.name, calendarFrom, to, calendarFrom, to, calendarFrom, to).Scan(t.Context(), &rows); err != nil {
			t.Fatal(err)
		}
		begins := map[int][]int64{}
		for _, row := range rows {
			begins[row.Day] = append(begins[row.Day], row.Begins)
		}
		wrong := 0
		for day := 1; day <= 31; day++ {
			wrong += comparePeriods(t, zone.name, day, begins[day], to.Year()-calendarFrom.Year())
		}
		if wrong > 0 {
			t.Errorf("%s: %d periods are wrong", zone.name, wrong)
		}
	}
}

// comparePeriods compares the periods of a billing day with when they must begin, and says how many are wrong.
func comparePeriods(t *testing.T, zone string, day int, begins []int64, years int) (wrong int) {
	t.Helper()
	location, err := billing.Bill{Zone: zone}.Location()
	if err != nil {
		t.Fatal(err)
	}
	if len(begins) < 12*years-1 {
		t.Fatalf("%s day %d: %d periods in %d years", zone, day, len(begins), years)
	}
	for i, from := range begins[:len(begins)-1] {
		want := billing.Period{From: from, To: begins[i+1]}
		for _, at := range []int64{want.From, (want.From + want.To) / 2, want.To - 1} {
			if got := billing.PeriodAt(time.Unix(at, 0), day, location); got != want {
				if wrong++; wrong < 3 {
					t.Errorf("%s day %d at %s: %s, want %s", zone, day, shownTime(at, location), shownPeriod(got, location), shownPeriod(want, location))
				}
			}
		}
	}
	return wrong
}

func shownTime(at int64, zone *time.Location) string {
	return time.Unix(at, 0).In(zone).Format(time.RFC3339)
}

// beginsOf are the begins of the billing periods around a time, found by looking at the clock each quarter of an hour.
func beginsOf(around time.Time, day int, zone *time.Location) (begins []int64) {
	last := time.Time{}
	for at := around.AddDate(0, -2, 0).Truncate(time.Hour); at.Before(around.AddDate(0, 2, 0)); at = at.Add(15 * time.Minute) {
		local := at.In(zone)
		year, month, today := local.Date()
		if date := time.Date(year, month, today, 0, 0, 0, 0, time.UTC); date.After(last) {
			if long := date.AddDate(0, 1, -today).Day(); !last.IsZero() && today == min(day, long) {
				begins = append(begins, at.Unix())
			}
			last = date
		}
	}
	return begins
}

// checkPeriods compares the periods of all bills with the calendar.
func (o *oracle) checkPeriods(t *testing.T) {
	t.Helper()
	var rows []struct {
		ID   int64  `bun:"bill_id"`
		From int64  `bun:"period_from"`
		To   int64  `bun:"period_to"`
		Day  int    `bun:"bill_day"`
		Zone string `bun:"time_zone"`
	}
	err := o.db.NewSelect().TableExpr("bill_history AS h").Join("JOIN bills AS b ON b.id = h.bill_id").
		Column("h.bill_id", "h.period_from", "h.period_to", "b.bill_day", "b.time_zone").Order("h.bill_id", "h.period_from").Scan(t.Context(), &rows)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]int64{}
	wrong, last := 0, map[int64]int64{}
	for _, row := range rows {
		key := fmt.Sprint(row.Zone, row.Day)
		if known[key] == nil {
			zone, err := time.LoadLocation(row.Zone)
			if err != nil {
				t.Fatal(err)
			}
			known[key] = beginsOf(oracleStart, row.Day, zone)
		}
		i := slices.Index(known[key], row.From)
		follows := last[row.ID] == row.From || last[row.ID] == 0 && row.From <= oracleStart.Unix() && row.To > oracleStart.Unix()
		if i < 0 || i+1 >= len(known[key]) || known[key][i+1] != row.To || !follows {
			if wrong++; wrong < 5 {
				t.Errorf("bill %d, day %d %s: %d to %d after %d, want two of %d", row.ID, row.Day, row.Zone, row.From, row.To, last[row.ID], known[key])
			}
		}
		last[row.ID] = row.To
	}
	if wrong > 0 || len(rows) < oracleBills {
		t.Errorf("%d of %d periods are wrong", wrong, len(rows))
	}
}
