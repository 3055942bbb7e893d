package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pollux/config"
	"pollux/settings"
	"pollux/store"
)

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
			Long: `Goes back to a setting's default. A stored value whose key is none of this
version's is removed.`,
			RunE: do(func(command *cobra.Command, args []string) error { return p.configUnset(command, args[0]) }),
		},
		p.configListCommand(),
	)
	return command
}

func (p *program) configListCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "list [PREFIX]", Short: "List the settings, or those whose keys begin with PREFIX", Args: upTo(1),
		Long: `Lists the settings with their values. SOURCE is database when a value is
stored, else default. SCOPE says who may have a value of its own besides this
one: nobody (cluster), a node, or a device. A variable of a process wins over
the setting for that process: POLLUX_LOG_LEVEL over service_loglevel. A stored
value that is not in force is listed with the reason.`,
		Example: "  pollux config list snmp.",
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.configList(command, strings.Join(args, ""))
		}),
	})
}

func (p *program) configSetCommand(form string) *cobra.Command {
	command := &cobra.Command{
		Use: form, Short: "Change a setting on all nodes; it takes effect within 10 s", Args: words(2),
		RunE: do(func(command *cobra.Command, args []string) error { return p.configSet(command, args[0], args[1]) }),
	}
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w; a value that begins with - stands behind --, as in: pollux config set KEY -- -1; what a setting may be says: pollux config get KEY --json", flagError(command, err))
	})
	return command
}

type settingJSON struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Source  string `json:"source"`
	Default string `json:"default"`
	Scope   string `json:"scope"`
	Type    string `json:"type"`
	Range   string `json:"range"`
	Unit    string `json:"unit,omitempty"`
	Help    string `json:"help"`
	Note    string `json:"note,omitempty"` // why a stored value is not in force
}

const (
	fromDatabase = "database"
	fromDefault  = "default"
)

// shownSetting is a setting with its value; the note is there when something else is stored.
func shownSetting(s settings.Setting, values settings.Values) settingJSON {
	value, stored := values.Text(s.Key)
	shown := settingJSON{
		Key: s.Key, Value: value, Source: fromDefault, Default: s.Default, Scope: string(s.Scope), Type: string(s.Form), Range: s.Range(), Unit: s.Unit, Help: s.Help,
	}
	if stored {
		shown.Source = fromDatabase
	}
	ignored := values.Ignored()
	if i := slices.IndexFunc(ignored, func(i settings.Ignored) bool { return i.Key == s.Key }); i >= 0 {
		shown.Note = fmt.Sprintf("stored, but not in force: %v; remove it with: pollux config unset %s", ignored[i].Reason, s.Key)
	}
	return shown
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
	if value, err = s.Parse(value); err != nil {
		return usagef("%v", err)
	}
	if key == settings.KeyDistributedPoller && value == "true" {
		if c, err := p.boot(); err != nil {
			return err
		} else if c.Database.Connection == config.SQLite {
			return errSharedSQLite
		}
	}
	set := func(st *store.Store) error {
		err := st.SetSetting(command.Context(), key, value, actor())
		if key == settings.KeyDefaultPollerGroup && errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%w: there is no poller group %s; see: pollux group list", errNotFound, value)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s = %s; in effect on every node within 10 s\n", key, value)
		return nil
	}
	if key == settings.KeyRRDShards {
		return p.changeShards(command.Context(), value, set)
	}
	return p.withStore(command.Context(), func(st *store.Store, _ settings.Values, _ *slog.Logger) error { return set(st) })
}

func (p *program) configUnset(command *cobra.Command, key string) error {
	s, unknown := findSetting(key)
	unset := func(st *store.Store) error {
		if err := st.UnsetSetting(command.Context(), key, actor()); err != nil {
			return err
		}
		if unknown != nil {
			fmt.Fprintf(p.out, "removed %.60q, which is no setting of this version\n", key)
			return nil
		}
		fmt.Fprintf(p.out, "%s = %s (default); in effect on every node within 10 s\n", key, s.Default)
		return nil
	}
	if key == settings.KeyRRDShards {
		return p.changeShards(command.Context(), s.Default, unset)
	}
	return p.withStore(command.Context(), func(st *store.Store, values settings.Values, _ *slog.Logger) error {
		stale := slices.ContainsFunc(values.Ignored(), func(i settings.Ignored) bool { return i.Key == key })
		if unknown != nil && !stale {
			return unknown
		}
		return unset(st)
	})
}

func (p *program) configList(command *cobra.Command, prefix string) error {
	return p.withStore(command.Context(), func(_ *store.Store, values settings.Values, _ *slog.Logger) error {
		shown := listedSettings(values, prefix)
		if len(shown) == 0 {
			return fmt.Errorf("%w: no setting begins with %.60q; see: pollux config list", errNotFound, prefix)
		}
		if p.asJSON {
			return p.printJSON(items[settingJSON]{Items: shown})
		}
		rows := make([][]string, 0, len(shown))
		for _, s := range shown {
			meaning := s.Help
			if s.Note != "" {
				meaning = "! " + s.Note
			}
			rows = append(rows, []string{plain(s.Key), plain(s.Value), s.Source, s.Scope, s.Range, plain(meaning)})
		}
		return p.printTable([]string{"KEY", "VALUE", "SOURCE", "SCOPE", "TAKES", "MEANING"}, rows)
	})
}

// listedSettings are those whose keys begin with a text, and after them what is stored under keys that no setting has.
func listedSettings(values settings.Values, prefix string) []settingJSON {
	var shown []settingJSON
	for _, s := range settings.All() {
		if strings.HasPrefix(s.Key, prefix) {
			shown = append(shown, shownSetting(s, values))
		}
	}
	for _, i := range values.Ignored() {
		if !i.Known && strings.HasPrefix(i.Key, prefix) {
			shown = append(shown, settingJSON{
				Key: i.Key, Value: i.Value, Source: fromDatabase, Note: fmt.Sprintf("not in force: %v; remove it with: pollux config unset %s", i.Reason, i.Key),
			})
		}
	}
	return shown
}

// actor is who changes something from the command line, for the eventlog.
func actor() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return "cli"
}
