package main

import (
	"fmt"
	"log/slog"
	"os/user"

	"github.com/spf13/cobra"

	"pollux/config"
	"pollux/settings"
	"pollux/store"
)

// needKey refuses to go on without an APP_KEY, which everything stored hangs on.
func needKey(c config.Config) error {
	if c.AppKey.ID() == "" {
		return fmt.Errorf("%w: APP_KEY is missing; make a configuration with: pollux init, or name a data directory with --data-dir", config.ErrInvalid)
	}
	return nil
}

// needInventory refuses to go on without a key or a database.
func needInventory(c config.Config) error {
	if err := needKey(c); err != nil {
		return err
	}
	if c.Database.Connection == config.SQLite && c.Database.Name == "" {
		return fmt.Errorf("%w: there is no database: set DB_HOST and its login, or DB_DATABASE to a file for SQLite, or name a data directory with --data-dir", config.ErrInvalid)
	}
	return nil
}

// needIdentity refuses to run a role without a name.
func needIdentity(c config.Config) error {
	if err := needKey(c); err != nil {
		return err
	}
	if c.NodeID == "" {
		return fmt.Errorf("%w: NODE_ID is missing; set one that no other node has, or auto", config.ErrInvalid)
	}
	return nil
}

func (p *program) configCommand() *cobra.Command {
	command := &cobra.Command{Use: "config", Short: "Get, set and list the settings of the cluster", Args: words(0), RunE: help}
	command.AddCommand(
		p.jsonFlag(&cobra.Command{
			Use: "get KEY", Short: "Print a setting", Args: words(1),
			RunE: do(func(command *cobra.Command, args []string) error { return p.configGet(command, args[0]) }),
		}),
		p.configSetCommand("set KEY VALUE"),
		&cobra.Command{
			Use: "unset KEY", Short: "Go back to a setting's default", Args: words(1),
			RunE: do(func(command *cobra.Command, args []string) error { return p.configUnset(command, args[0]) }),
		},
		p.jsonFlag(&cobra.Command{
			Use: "list", Short: "List all settings with their source", Args: words(0),
			RunE: do(func(command *cobra.Command, _ []string) error { return p.configList(command) }),
		}),
	)
	return command
}

func (p *program) configSetCommand(form string) *cobra.Command {
	return &cobra.Command{
		Use: form, Short: "Change a setting on all nodes; it takes effect within 10 s", Args: words(2),
		RunE: do(func(command *cobra.Command, args []string) error { return p.configSet(command, args[0], args[1]) }),
	}
}

type settingJSON struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Source  string `json:"source"`
	Default string `json:"default"`
	Unit    string `json:"unit,omitempty"`
	Help    string `json:"help"`
}

func shownSetting(s settings.Setting, values settings.Values) settingJSON {
	value, stored := values.Text(s.Key)
	source := "default"
	if stored {
		source = "database"
	}
	return settingJSON{Key: s.Key, Value: value, Source: source, Default: s.Default, Unit: s.Unit, Help: s.Help}
}

// findSetting is settings.Find with an exit code of its own.
func findSetting(key string) (settings.Setting, error) {
	s, err := settings.Find(key)
	if err != nil {
		return s, fmt.Errorf("%w: %w", errNotFound, err)
	}
	return s, nil
}

func (p *program) configGet(command *cobra.Command, key string) error {
	s, err := findSetting(key)
	if err != nil {
		return err
	}
	return p.withStore(command.Context(), func(_ *store.Store, values settings.Values, _ *slog.Logger) error {
		shown := shownSetting(s, values)
		if p.asJSON {
			return p.printJSON(shown)
		}
		fmt.Fprintln(p.out, shown.Value)
		return nil
	})
}

func (p *program) configSet(command *cobra.Command, key, value string) error {
	s, err := findSetting(key)
	if err != nil {
		return err
	}
	if err := s.Check(value); err != nil {
		return usagef("%v", err)
	}
	if key == settings.KeyDistributedPoller && value == "true" {
		if c, err := p.boot(); err != nil {
			return err
		} else if c.Database.Connection == config.SQLite {
			return errSharedSQLite
		}
	}
	return p.withStore(command.Context(), func(st *store.Store, _ settings.Values, _ *slog.Logger) error {
		if err := st.SetSetting(command.Context(), key, value, actor()); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s = %s; in effect on every node within 10 s\n", key, value)
		return nil
	})
}

func (p *program) configUnset(command *cobra.Command, key string) error {
	s, err := findSetting(key)
	if err != nil {
		return err
	}
	return p.withStore(command.Context(), func(st *store.Store, _ settings.Values, _ *slog.Logger) error {
		if err := st.UnsetSetting(command.Context(), key, actor()); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s = %s (default); in effect on every node within 10 s\n", key, s.Default)
		return nil
	})
}

func (p *program) configList(command *cobra.Command) error {
	return p.withStore(command.Context(), func(_ *store.Store, values settings.Values, _ *slog.Logger) error {
		list := items[settingJSON]{}
		var rows [][]string
		for _, s := range settings.All() {
			shown := shownSetting(s, values)
			list.Items = append(list.Items, shown)
			rows = append(rows, []string{shown.Key, shown.Value, shown.Unit, shown.Source, shown.Help})
		}
		if p.asJSON {
			return p.printJSON(list)
		}
		return p.printTable([]string{"KEY", "VALUE", "UNIT", "SOURCE", "MEANING"}, rows)
	})
}

// actor is who changes something from the command line, for the eventlog.
func actor() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return "cli"
}
