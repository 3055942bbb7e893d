package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/uptrace/bun"
)

// queryLog writes each statement to the log at debug level: what kind, which
// table, how long. Never the statement itself, since bun writes the arguments into it.
type queryLog struct{ log *slog.Logger }

// BeforeQuery implements bun.QueryHook.
func (q queryLog) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }

// AfterQuery implements bun.QueryHook.
func (q queryLog) AfterQuery(ctx context.Context, event *bun.QueryEvent) {
	if !q.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	table := ""
	if named, ok := event.IQuery.(interface{ GetTableName() string }); ok && event.IQuery != nil {
		table = named.GetTableName()
	}
	failed := event.Err != nil && !errors.Is(event.Err, sql.ErrNoRows)
	q.log.DebugContext(ctx, "sql", "operation", event.Operation(), "table", table,
		"duration", time.Since(event.StartTime), "failed", failed)
}
