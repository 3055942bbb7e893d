package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"pollux/producer"
)

// clearNames is how many queues one command line may name.
const clearNames = 100

// queueClearCommand deletes what failed for good, and shows it.
func (p *program) queueClearCommand() *cobra.Command {
	var all bool
	command := &cobra.Command{
		Use: "clear [QUEUE...]", Short: "Delete the tasks of queues that failed for good",
		Long: `Deletes the tasks that failed for good ("archived") of the queues that are
named, and shows up to 10 of each queue with their last errors. What waits or
runs is not touched.`,
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) || len(args) > clearNames {
				return usagef("name up to %d queues, or give --all; see: pollux queue list", clearNames)
			}
			return nil
		},
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withDesk(command.Context(), func(_ *node, desk *producer.Desk) error {
				cleared, err := desk.Clear(command.Context(), args, actor())
				for _, q := range cleared {
					p.showCleared(q)
				}
				return err
			})
		}),
	}
	command.Flags().BoolVar(&all, "all", false, "all queues")
	return command
}

// showCleared says what was deleted of a queue. Any program that reaches Redis may have written its texts.
func (p *program) showCleared(q producer.Cleared) {
	switch q.Deleted {
	case 0:
		fmt.Fprintf(p.out, "%s had no failed tasks\n", q.Name)
		return
	case 1:
		fmt.Fprintf(p.out, "%s: 1 failed task deleted\n", q.Name)
	default:
		fmt.Fprintf(p.out, "%s: %d failed tasks deleted\n", q.Name, q.Deleted)
	}
	for _, task := range q.Some {
		what := task.ID
		if !strings.HasPrefix(task.ID, task.Type+":") { // of ours the id begins with the type
			what = task.Type + " " + task.ID
		}
		if !task.Failed.IsZero() {
			what += " failed " + ago(task.Failed)
		}
		because := plain(task.LastError)
		if because == "" { // somebody archived it by hand
			because = "without an error"
		}
		fmt.Fprintf(p.out, "  %s: %s\n", plain(what), because)
	}
	if more := q.Deleted - len(q.Some); more > 0 {
		fmt.Fprintf(p.out, "  and %d more\n", more)
	}
}
