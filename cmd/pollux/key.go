package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/config"
	"pollux/secret"
	"pollux/store"
)

func (p *program) keyCommand() *cobra.Command {
	key := &cobra.Command{Use: "key", Short: "Make and change the key that encrypts stored credentials", Args: words(0), RunE: help}
	key.AddCommand(&cobra.Command{
		Use: "generate", Short: "Print a new APP_KEY", Args: words(0),
		RunE: do(func(*cobra.Command, []string) error {
			generated, err := secret.GenerateKey()
			if err != nil {
				return err
			}
			fmt.Fprintln(p.out, generated.Reveal())
			return nil
		}),
	}, p.keyRotateCommand())
	return key
}

func (p *program) keyRotateCommand() *cobra.Command {
	var prepare bool
	var told rotating
	command := &cobra.Command{
		Use: "rotate", Short: "Change the APP_KEY of the cluster while it runs", Args: words(0),
		Long: `Puts this node's APP_KEY in force for the whole cluster and encrypts every
stored credential with it anew, while polls go on. Every node must have it
first, and the former key in APP_PREVIOUS_KEYS; a live node without it is named
and nothing is changed, as is one that Redis does not know but the database has
seen within 2 minutes. A run that was cut short is finished by the next one.

--prepare makes a new APP_KEY in this node's file and moves the former one into
APP_PREVIOUS_KEYS, as the first step.`,
		RunE: do(func(command *cobra.Command, _ []string) error {
			switch ctx := command.Context(); {
			case prepare && (told.dryRun || told.stopped):
				return usagef("give --prepare or --dry-run, not both; --stopped does not go with --prepare")
			case prepare:
				return p.keyPrepare(ctx)
			default:
				return p.keyRotate(ctx, told)
			}
		}),
	}
	command.Flags().BoolVar(&prepare, "prepare", false, "make a new APP_KEY in this node's file, and keep the former one in APP_PREVIOUS_KEYS")
	command.Flags().BoolVar(&told.dryRun, "dry-run", false, "say what would be done, and change nothing")
	command.Flags().BoolVar(&told.stopped, "stopped", false, "every node is known to be stopped: do not wait until they were silent for 2 minutes, and do without Redis where that is stopped or empty")
	return command
}

// openKeys opens the inventory of a command that deals with keys.
func (p *program) openKeys(ctx context.Context) (config.Config, *store.Store, error) {
	c, err := p.boot()
	if err != nil {
		return c, nil, err
	}
	if err := needInventory(c); err != nil {
		return c, nil, err
	}
	s, err := store.Open(ctx, c.Database, c.AppKey, p.logger(c.LogLevel))
	return c, s, err
}

// rotating is what key rotate was told.
type rotating struct {
	dryRun  bool
	stopped bool // no node runs, says whoever asks
}

func (p *program) keyRotate(ctx context.Context, told rotating) (err error) {
	c, s, err := p.openKeys(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	id, err := s.ClusterID(ctx)
	if err != nil {
		return err
	}
	cluster.LibraryLog{Log: p.logger("error")}.Install()
	c.Redis.Timeout = min(c.Redis.Timeout, 5*time.Second) // somebody waits
	client, err := cluster.Connect(ctx, c.Redis, p.logger(c.LogLevel))
	switch {
	case err == nil:
		defer client.Close()
		err = knowRedis(ctx, s, client, id)
		if err != nil && (!told.stopped || errors.Is(err, cluster.ErrOtherCluster)) {
			return err
		}
	case !told.stopped:
		return fmt.Errorf("ask Redis which nodes are live: %w", err)
	default:
		client = nil
	}
	done, err := s.RotateKey(ctx, store.Rotation{Actor: actor(), DryRun: told.dryRun, Ready: func(ctx context.Context) error {
		return allHave(ctx, s, client, c.AppKey.ID(), told.stopped)
	}})
	if err == nil || done.Secrets+done.Lost > 0 {
		p.printRotated(done, told.dryRun)
	}
	if err == nil && !told.dryRun && done.Left == 0 {
		p.printLastStep(c)
	}
	return err
}

// allHave is nil when every live node has a key. The client is nil when Redis is away on purpose.
func allHave(ctx context.Context, s *store.Store, client cluster.Client, key string, stopped bool) error {
	var live []cluster.Node
	if client != nil {
		var err error
		if live, err = cluster.List(ctx, client); err != nil {
			return err
		}
	}
	if err := refuseLacking(live, key); err != nil || stopped {
		return err
	}
	rows, err := s.Nodes(ctx)
	if err != nil {
		return err
	}
	return refuseYoung(maybeAlive(cluster.Roster(rows, live)))
}

// maxNamedNodes bounds an error that names nodes.
const maxNamedNodes = 5

// refuseLacking names the live nodes that do not have a key.
func refuseLacking(nodes []cluster.Node, id string) error {
	lacking := slices.DeleteFunc(slices.Clone(nodes), func(n cluster.Node) bool { return slices.Contains(n.Keys, id) })
	if len(lacking) == 0 {
		return nil
	}
	var names []string
	for _, n := range lacking[:min(len(lacking), maxNamedNodes)] {
		names = append(names, fmt.Sprintf("%s %s (host %s, pid %d)", n.Role, n.NodeID, n.Host, n.PID))
	}
	if more := len(lacking) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%w: %d live nodes do not have the key %s: %s; give them this node's APP_KEY and APP_PREVIOUS_KEYS, restart them and run this again",
		config.ErrInvalid, len(lacking), id, strings.Join(names, ", "))
}

func (p *program) printRotated(done store.Rotated, dryRun bool) {
	for _, u := range done.Unopened {
		fmt.Fprintf(p.out, "cannot open: %s %d %s %s\n", u.Of, u.ID, u.Name, u.Column)
	}
	switch {
	case done.From == done.To && done.Left+done.Secrets == 0:
		fmt.Fprintf(p.out, "nothing to do: every credential is under the key %s, which is in force\n", done.To)
	case dryRun:
		fmt.Fprintf(p.out, "in force: %s; would be in force: %s\nwould encrypt anew: %d credentials of %s\n", done.From, done.To, done.Secrets, done.Holders())
	default:
		fmt.Fprintf(p.out, "in force before: %s; this node's APP_KEY: %s\nencrypted anew: %d credentials of %s; left under another key: %d\n",
			done.From, done.To, done.Secrets, done.Holders(), done.Left)
	}
}

// printLastStep says what is to be done once no credential is under another key.
func (p *program) printLastStep(c config.Config) {
	if len(c.AppKey.IDs()) > 1 {
		fmt.Fprintln(p.out, "next: remove APP_PREVIOUS_KEYS on every node and restart it; keep a copy of APP_KEY")
	}
}

// keyPrepare makes a new APP_KEY in this node's file, unless a rotation is under way.
func (p *program) keyPrepare(ctx context.Context) (err error) {
	c, s, err := p.openKeys(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	use, err := s.KeyUse(ctx)
	if err != nil {
		return err
	}
	file, key := c.KeyFile(p.environ), c.AppKey
	switch {
	case use.InForce == key.ID() && use.NotUnder(key.ID()) > 0:
		return fmt.Errorf("%w: %d credentials are still under a former key; finish that first: pollux key rotate", config.ErrInvalid, use.NotUnder(key.ID()))
	case file == "":
		return fmt.Errorf("%w: APP_KEY or APP_PREVIOUS_KEYS comes from the environment, which is not changed here; set APP_KEY to what pollux key generate prints, and APP_PREVIOUS_KEYS to the present APP_KEY", config.ErrInvalid)
	case use.InForce != key.ID():
		fmt.Fprintf(p.out, "%s has a new APP_KEY already: %s is not in force yet, %s is\n", file, key.ID(), use.InForce)
	default:
		if key, err = config.NextKey(file); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "wrote %s: APP_KEY is the new key %s, and APP_PREVIOUS_KEYS holds %s, which is still in force\n", file, key.ID(), use.InForce)
	}
	fmt.Fprint(p.out, `next:
 1. copy the lines APP_KEY and APP_PREVIOUS_KEYS of this file to every other node
 2. restart every node, one after the other; each lets its polls finish
 3. run: pollux key rotate
 4. remove APP_PREVIOUS_KEYS on every node and restart it
Keep a copy of the new APP_KEY.
`)
	return nil
}

func (p *program) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Write a .env with a new APP_KEY and NODE_ID; one that is there stays as it is", Args: words(0),
		RunE: do(func(*cobra.Command, []string) error {
			file := p.envFile
			if file == "" {
				file = ".env"
			}
			nodeID, err := config.Init(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "wrote %s with a new APP_KEY and NODE_ID %s; on further nodes copy it and change NODE_ID\n", file, nodeID)
			return nil
		}),
	}
}
