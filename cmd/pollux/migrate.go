package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"pollux/migrations"
	"pollux/store"
)

func (p *program) migrateCommand() *cobra.Command {
	command := &cobra.Command{Use: "migrate", Short: "Bring the database schema up to date, or back", Args: words(0), RunE: help}
	var wait time.Duration
	up := &cobra.Command{
		Use: "up", Short: "Apply the migrations that are missing", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error { return p.migrateUp(command.Context(), wait) }),
	}
	up.Flags().DurationVar(&wait, "wait", 0, "how long to wait for servers that do not answer yet: the database, and the Redis and RRDCached that are configured")
	var all, yes bool
	down := &cobra.Command{
		Use: "down", Short: "Take the last group of migrations back, with the data in its tables", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			if !yes {
				return usagef("this removes tables and what is in them; say --yes")
			}
			return p.withMigrator(command.Context(), 0, func(m *store.Migrator) error {
				gone, err := m.Down(command.Context(), all)
				for _, name := range gone {
					fmt.Fprintln(p.out, "took back", name)
				}
				return err
			})
		}),
	}
	down.Flags().BoolVar(&all, "all", false, "take back every migration")
	down.Flags().BoolVar(&yes, "yes", false, "really")
	command.AddCommand(up, down, p.migrateStatusCommand(), p.migrateUnlockCommand())
	return command
}

// migrateUp applies what is missing. With a time to wait, it ends when all
// servers that the roles need have answered, so that they can be started after it.
func (p *program) migrateUp(ctx context.Context, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	err := p.withMigrator(ctx, wait, func(m *store.Migrator) error {
		applied, err := m.Up(ctx)
		for _, name := range applied {
			fmt.Fprintln(p.out, "applied", name)
		}
		if err == nil && len(applied) == 0 {
			fmt.Fprintln(p.out, "the schema is up to date")
		}
		return err
	})
	if err != nil || wait <= 0 {
		return err
	}
	return p.awaitServers(ctx, deadline)
}

func (p *program) migrateStatusCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "status", Short: "List the migrations and when they were applied", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.withMigrator(command.Context(), 0, func(m *store.Migrator) error {
				all, err := m.Status(command.Context())
				if err != nil {
					return err
				}
				return p.printMigrations(all)
			})
		}),
	})
}

func (p *program) printMigrations(all []migrations.Status) error {
	type migrationJSON struct {
		Name      string  `json:"name"`
		AppliedAt *string `json:"applied_at"`
	}
	list := items[migrationJSON]{Items: []migrationJSON{}}
	var rows [][]string
	for _, m := range all {
		when := "missing"
		if !m.At.IsZero() {
			when = m.At.UTC().Format(time.RFC3339)
		}
		list.Items = append(list.Items, migrationJSON{m.Name, rfc3339(m.At)})
		rows = append(rows, []string{m.Name, when})
	}
	if p.asJSON {
		return p.printJSON(list)
	}
	return p.printTable([]string{"MIGRATION", "APPLIED"}, rows)
}

func (p *program) migrateUnlockCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unlock", Short: "Remove the lock that a crashed migration left", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.withMigrator(command.Context(), 0, func(m *store.Migrator) error {
				held, err := m.Unlock(command.Context())
				if err != nil {
					return err
				}
				if !held {
					fmt.Fprintln(p.out, "there was no lock")
					return nil
				}
				fmt.Fprintln(p.out, "the lock is removed")
				return nil
			})
		}),
	}
}

// withMigrator opens the database without looking at its schema, and tries for as long as wait says while it does not answer.
func (p *program) withMigrator(ctx context.Context, wait time.Duration, work func(*store.Migrator) error) (err error) {
	c, err := p.boot()
	if err != nil {
		return err
	}
	if err := needInventory(c); err != nil {
		return err
	}
	log, deadline := p.logger(c.LogLevel), time.Now().Add(wait)
	var m *store.Migrator
	for {
		m, err = store.OpenMigrator(ctx, c.Database, c.AppKey, log)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) || time.Now().After(deadline) {
			return err
		}
		log.Info("the database does not answer yet", "err", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return work(m)
}
