package migrations_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
)

// schema describes every table of the database but those of bun/migrate, in the engine's own words.
func schema(t *testing.T, db *bun.DB) string {
	t.Helper()
	switch db.Dialect().Name() {
	case dialect.SQLite:
		return strings.Join(column(t, db, "SELECT sql || char(59, 10) FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'bun_%' AND name NOT LIKE 'sqlite_%' ORDER BY name"), "")
	case dialect.MySQL:
		return mysqlSchema(t, db)
	default:
		return strings.Join(column(t, db, pgColumns), "") + strings.Join(column(t, db, pgConstraints), "") + strings.Join(column(t, db, pgIndexes), "")
	}
}

const (
	pgColumns = `SELECT table_name || '.' || column_name || ' ' || data_type || COALESCE('(' || character_maximum_length || ')', '') ||
		CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END || CASE is_identity WHEN 'YES' THEN ' IDENTITY' ELSE '' END || COALESCE(' DEFAULT ' || column_default, '') || E'\n'
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT LIKE 'bun_%' ORDER BY table_name, ordinal_position`
	pgConstraints = `SELECT conrelid::regclass || ' CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid) || E'\n'
		FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND conrelid::regclass::text NOT LIKE 'bun_%' ORDER BY conrelid::regclass::text, conname`
	pgIndexes = `SELECT indexdef || E'\n' FROM pg_indexes WHERE schemaname = current_schema() AND tablename NOT LIKE 'bun_%' ORDER BY indexname`
)

var counterOption = regexp.MustCompile(` AUTO_INCREMENT=\d+`)

func mysqlSchema(t *testing.T, db *bun.DB) string {
	t.Helper()
	var all strings.Builder
	for _, table := range column(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name NOT LIKE 'bun%' ORDER BY table_name") {
		var name, text string
		if err := db.QueryRow("SHOW CREATE TABLE "+table).Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		all.WriteString(counterOption.ReplaceAllString(text, "") + ";\n")
	}
	return all.String()
}

func column(t *testing.T, db *bun.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
