package store

import (
	"context"
	"time"

	"github.com/uptrace/bun/dialect"
)

// clocks ask each engine for its time in Unix milliseconds, whatever its time
// zone. SQLite has that of this machine.
var clocks = map[dialect.Name]string{
	dialect.SQLite: "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
	dialect.MySQL:  "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
	dialect.PG:     "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
}

// DatabaseTime is what the database's clock shows, to the millisecond: the one
// clock that people on any machine share. ErrUnavailable when it does not say.
func (s *Store) DatabaseTime(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var at int64
	if err := s.db.NewRaw(clocks[s.db.Dialect().Name()]).Scan(ctx, &at); err != nil {
		return time.Time{}, s.fail("ask the database for its time", err)
	}
	return fromMillis(at), nil
}
