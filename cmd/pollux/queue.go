package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/producer"
	"pollux/settings"
)

// askLimit is how long a command for people waits for a Redis that does not answer.
const askLimit = 5 * time.Second

func (p *program) queueCommand() *cobra.Command {
	command := &cobra.Command{Use: "queue", Short: "List, pause, resume and clear the queues of the poller groups", Args: words(0), RunE: help}
	command.AddCommand(
		p.jsonFlag(&cobra.Command{
			Use: "list", Short: "List the queues, who serves them and what is wrong with them", Args: words(0),
			RunE: do(func(command *cobra.Command, _ []string) error { return p.queueList(command.Context()) }),
		}),
		p.queueSwitch("pause [QUEUE]", "Keep the nodes from taking tasks of a queue; running polls go on", "paused", (*producer.Desk).Pause),
		p.queueSwitch("resume [QUEUE]", "Let the nodes take tasks of a queue again", "resumed", (*producer.Desk).Resume),
		p.queueClearCommand(),
	)
	return command
}

// withDesk opens the inventory, Redis and the journal for one command.
func (p *program) withDesk(ctx context.Context, work func(n *node, desk *producer.Desk) error) (err error) {
	c, err := p.boot()
	if err != nil {
		return err
	}
	if err := needInventory(c); err != nil {
		return err
	}
	c.Redis.Timeout = min(c.Redis.Timeout, askLimit)
	c.JournalRedis.Timeout = min(c.JournalRedis.Timeout, askLimit)
	n, err := openNode(ctx, c, p.logger(orDefault(c.LogLevel, "error")), knowRedis)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	values := n.settings.Values()
	return work(n, producer.NewDesk(producer.DeskDeps{
		Store: n.store, Events: n.store, Journal: n.journal, Redis: n.redis, Distributed: values.Bool(settings.KeyDistributedPoller),
		Billed: n.store, DistributedBilling: values.Bool(settings.KeyDistributedBilling), CollectInterval: values.Int(settings.KeyBillingFrequency),
	}))
}

// queueJSON is a queue in JSON.
type queueJSON struct {
	Queue       string   `json:"queue"`
	PollerGroup *int64   `json:"poller_group"`
	State       string   `json:"state"`
	PausedSince *string  `json:"paused_since"`
	Pending     int      `json:"pending"`
	Active      int      `json:"active"`
	Retry       int      `json:"retry"`
	Scheduled   int      `json:"scheduled"`
	Archived    int      `json:"archived"`
	Completed   int      `json:"completed"`
	Latency     float64  `json:"oldest_waiting_seconds"`
	Devices     int      `json:"devices"`
	Nodes       []string `json:"nodes"`
	Drained     []string `json:"drained_nodes"`
	Skewed      []string `json:"skewed_nodes"`
	Note        string   `json:"note,omitempty"`
}

func shownQueue(q producer.QueueState) queueJSON {
	shown := queueJSON{
		Queue: q.Name, State: "active", Pending: q.Pending, Active: q.Active, Retry: q.Retry, Scheduled: q.Scheduled, Archived: q.Archived,
		Completed: q.Completed, Latency: q.Latency.Seconds(), Devices: q.Devices, Nodes: notNull(q.Nodes), Drained: notNull(q.Drained), Skewed: notNull(q.Skewed), Note: q.Note,
	}
	if q.Paused {
		shown.State, shown.PausedSince = "paused", rfc3339(q.PausedSince)
	}
	if q.Group >= 0 {
		shown.PollerGroup = &q.Group
	}
	return shown
}

// notNull is a list as JSON has it: never null.
func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (p *program) queueList(ctx context.Context) error {
	return p.withDesk(ctx, func(_ *node, desk *producer.Desk) error {
		queues, err := desk.Queues(ctx)
		if err != nil {
			return err
		}
		list := items[queueJSON]{Items: []queueJSON{}}
		var rows [][]string
		for _, q := range queues {
			shown := shownQueue(q)
			list.Items = append(list.Items, shown)
			state := shown.State
			if q.Paused && !q.PausedSince.IsZero() {
				state += " " + ago(q.PausedSince)
			}
			rows = append(rows, []string{
				q.Name, q.GroupName, state, strconv.Itoa(q.Pending), strconv.Itoa(q.Active), strconv.Itoa(q.Retry), strconv.Itoa(q.Scheduled),
				strconv.Itoa(q.Archived), strconv.Itoa(q.Completed), waited(q.Latency), strconv.Itoa(q.Devices), strconv.Itoa(len(q.Nodes)), q.Note,
			})
		}
		if p.asJSON {
			return p.printJSON(list)
		}
		return p.printTable([]string{
			"QUEUE", "GROUP", "STATE", "PENDING", "ACTIVE", "RETRY", "SCHEDULED", "ARCHIVED", "COMPLETED", "OLDEST", "DEVICES", "NODES", "NOTE",
		}, rows)
	})
}

// waited is how long something waits, nothing when it does not.
func waited(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.Round(time.Second).String()
}

// queueSwitch is the command that pauses or resumes.
func (p *program) queueSwitch(form, short, done string, turn func(*producer.Desk, context.Context, string, string) ([]producer.Switched, error)) *cobra.Command {
	var all bool
	command := &cobra.Command{
		Use: form, Short: short,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 || all == (len(args) == 1) {
				return usagef("name one queue, or give --all; see: pollux queue list")
			}
			return nil
		},
		RunE: do(func(command *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			return p.withDesk(command.Context(), func(_ *node, desk *producer.Desk) error {
				switched, err := turn(desk, command.Context(), name, actor())
				for _, q := range switched {
					switch {
					case q.Changed:
						fmt.Fprintf(p.out, "%s %s\n", q.Name, done)
					case done == "paused":
						fmt.Fprintf(p.out, "%s was paused already\n", q.Name)
					default:
						fmt.Fprintf(p.out, "%s was not paused\n", q.Name)
					}
				}
				return err
			})
		}),
	}
	command.Flags().BoolVar(&all, "all", false, "all queues")
	return command
}
