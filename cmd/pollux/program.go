package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"pollux/config"
	"pollux/standalone"
)

// program is one run of the command line.
type program struct {
	in          io.Reader
	out, errout io.Writer
	environ     []string

	envFile string // --env-file
	dataDir string // --data-dir
	asJSON  bool   // --json of the command that runs

	level slog.LevelVar // least level that is logged where POLLUX_LOG_LEVEL says nothing

	lines *bufio.Reader // of in, once a secret was read from it
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pollux",
		Short: "Poll a network by SNMP into RRD files, from one machine or many",
		Long: `Pollux polls network devices by SNMP and files what it measures in RRD files.
A producer decides which device is due, consumers on any number of nodes poll;
"pollux standalone" is all of it on one machine.`,
		SilenceUsage: true, SilenceErrors: true, Args: words(0),
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&p.envFile, "env-file", "", "configuration file (default $POLLUX_ENV_FILE, ./.env, "+config.DefaultFile+")")
	root.PersistentFlags().StringVar(&p.dataDir, "data-dir", "", "data directory of a standalone installation (default $POLLUX_DATA_DIR)")
	alias := p.configSetCommand("config:set KEY VALUE") // as LibreNMS's lnms has it
	alias.Hidden = true
	root.AddCommand(
		alias, p.producerCommand(), p.consumerCommand(), p.standaloneCommand(), p.demoCommand(), p.migrateCommand(),
		p.deviceCommand(), p.discoverCommand(), p.credentialCommand(), p.groupCommand(), p.nodeCommand(), p.billCommand(), p.queueCommand(), p.journalCommand(), p.rrdCommand(), p.eventCommand(), p.inspectCommand(), p.definitionsCommand(), p.simulateCommand(), p.configCommand(), p.keyCommand(), p.initCommand(),
		p.doctorCommand(), p.healthcheckCommand(), p.versionCommand(),
	)
	return root
}

// do makes a command's function of one whose errors are failures and not wrong usage.
func do(work func(command *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		if err := work(command, args); err != nil {
			return &failure{err}
		}
		return nil
	}
}

// jsonFlag gives a command that lists or shows its --json.
func (p *program) jsonFlag(command *cobra.Command) *cobra.Command {
	command.Flags().BoolVar(&p.asJSON, "json", false, "print JSON")
	return command
}

// boot reads the configuration and fills in what a data directory knows: the
// key, the name, and the addresses of the servers that standalone runs.
func (p *program) boot() (config.Config, error) {
	c, err := config.Load(p.envFile, p.environ)
	if err != nil {
		return config.Config{}, err
	}
	if p.dataDir != "" {
		c.DataDir = p.dataDir
	}
	if c.DataDir == "" {
		return c, nil
	}
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return config.Config{}, fmt.Errorf("find the data directory: %w", err)
	}
	place, err := standalone.Locate(c.DataDir)
	if err != nil {
		return config.Config{}, err
	}
	if c.Database.Connection == config.SQLite && c.Database.Name == "" {
		c.Database.Name = filepath.Join(c.DataDir, "pollux.db")
	}
	if !configured(c.Redis) {
		c.Redis.Socket = place.RedisSocket
	}
	if !c.JournalOwn {
		c.JournalRedis = c.Redis
	}
	if len(c.RRDCached) == 0 {
		c.RRDCached = []string{place.RRDCached}
	}
	if config.HasIdentity(c.DataDir) {
		return p.withIdentity(c)
	}
	return c, nil
}

// withIdentity takes key and name from the data directory, which keeps those
// that it was made with: they belong to its database, wherever a command is
// typed. A new directory takes over those of the environment, or makes its own.
func (p *program) withIdentity(c config.Config) (config.Config, error) {
	if _, err := os.Stat(filepath.Join(c.DataDir, "pollux.db")); err == nil && !config.HasIdentity(c.DataDir) && c.AppKey.ID() == "" {
		return config.Config{}, fmt.Errorf("%w: %s holds a database but no node.env; name the file with the APP_KEY it was made with by --env-file", config.ErrInvalid, c.DataDir)
	}
	key, id, err := config.Identity(c.DataDir, c.AppKey, c.NodeID)
	if err == nil {
		err = c.SameKey(key, p.envFile, p.environ)
	}
	c.AppKey, c.NodeID = key, id
	return c, err
}

// configured says whether an address of a Redis was given.
func configured(r config.Redis) bool {
	return r.Host != "" || r.Socket != "" || len(r.Sentinels) > 0
}

// printJSON writes one value, indented.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// items is how every list looks in JSON.
type items[T any] struct {
	Items []T `json:"items"`
}

// printTable writes rows under their headings.
func (p *program) printTable(headings []string, rows [][]string) error {
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{headings}, rows...) {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(table, "\t")
			}
			fmt.Fprint(table, cell)
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
