package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/device"
	"pollux/settings"
)

func (p *program) nodeShowCommand() *cobra.Command {
	var windows int
	command := p.jsonFlag(&cobra.Command{
		Use: "show NODE", Short: "Show a node, what it is assigned to and its history", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			if windows < 1 || windows > maxWindows {
				return usagef("--history is a number from 1 to %d, not %d", maxWindows, windows)
			}
			return p.withNodes(command.Context(), func(v *nodesView) error {
				p.noteAway(v)
				found, err := findNode(v, args[0])
				if err != nil {
					return err
				}
				if len(found) > 1 {
					return usagef("%s is the name of several processes; name one: %s", args[0], strings.Join(fullNames(found), " or "))
				}
				shown, err := detailed(command.Context(), v, found[0], windows)
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.printJSON(shown)
				}
				return p.printNode(v, shown)
			})
		}),
	})
	command.Flags().IntVar(&windows, "history", 12, "how many windows of five minutes of its history to show")
	return command
}

const maxWindows = 10_000

// fullNames are the names of roles as NODE takes them.
func fullNames(processes []cluster.Process) (names []string) {
	for _, process := range processes {
		for _, s := range process.Roles {
			names = append(names, s.Row.Role+":"+process.NodeID)
		}
	}
	return names
}

// nodeDetailJSON is all that is known of a node.
type nodeDetailJSON struct {
	nodeJSON
	GroupsFrom    string         `json:"groups_from,omitempty"` // assignment, env, default, or all while poller groups are off
	Assigned      []int64        `json:"assigned_groups"`       // null when it was not assigned
	Own           []int64        `json:"own_groups"`            // DISTRIBUTED_POLLER_GROUP of its .env; null when missing
	Unknown       []int64        `json:"unknown_groups"`        // of own_groups: there are no such groups
	WorkersFrom   string         `json:"workers_from,omitempty"`
	WorkersWanted int            `json:"workers_wanted,omitempty"`
	History       []nodeWorkJSON `json:"history"`
}

// nodeWorkJSON is a window of a node's history.
type nodeWorkJSON struct {
	At     *string `json:"at"` // its end
	Role   string  `json:"role"`
	Groups []int64 `json:"groups"` // served then
	workJSON
}

func detailed(ctx context.Context, v *nodesView, process cluster.Process, windows int) (nodeDetailJSON, error) {
	n := nodeDetailJSON{nodeJSON: shownNode(v, process), Unknown: []int64{}, History: []nodeWorkJSON{}}
	groups, err := v.store.Groups(ctx)
	if err != nil {
		return n, err
	}
	for _, s := range process.Roles {
		if s.Row.Role == cluster.RoleConsumer {
			n.assignment(v, s.Row, groups)
		}
		history, err := v.store.NodeHistory(ctx, s.Row.Role, s.Row.NodeID, windows)
		if err != nil {
			return n, err
		}
		for _, h := range history {
			n.History = append(n.History, nodeWorkJSON{At: rfc3339(h.At), Role: h.Role, Groups: h.Groups, workJSON: shownWork(h.Work, h.Pending)})
		}
	}
	return n, nil
}

// assignment fills in which poller groups and workers a consumer is to have, and who says so.
func (n *nodeDetailJSON) assignment(v *nodesView, row device.Node, groups []device.Group) {
	n.Own, n.WorkersFrom, n.WorkersWanted = row.Own, "setting", v.values.Int(settings.KeyPollerWorkers)
	if row.Workers > 0 {
		n.WorkersFrom, n.WorkersWanted = "node", row.Workers
	}
	if row.Assigned {
		n.Assigned = row.Groups
	}
	for _, own := range row.Own {
		if !slices.ContainsFunc(groups, func(g device.Group) bool { return g.ID == own }) {
			n.Unknown = append(n.Unknown, own)
		}
	}
	switch {
	case !v.distributed():
		n.GroupsFrom = "all"
	case row.Assigned:
		n.GroupsFrom = "assignment"
	case len(row.Own) > 0:
		n.GroupsFrom = "env"
	default:
		n.GroupsFrom = "default"
	}
}

// why says in words where the poller groups of a node come from.
func (n *nodeDetailJSON) why() string {
	var text string
	switch n.GroupsFrom {
	case "all":
		text = "poller groups are off: every node serves all"
	case "assignment":
		text = "assigned: " + orDefault(joined(n.Assigned), "none")
	case "env":
		text = "its .env (DISTRIBUTED_POLLER_GROUP): " + joined(n.Own)
	case "default":
		text = "nothing says otherwise: 0"
	}
	if len(n.Unknown) > 0 {
		text += "; its .env names groups that do not exist: " + joined(n.Unknown)
	}
	return text
}

func (p *program) printNode(v *nodesView, n nodeDetailJSON) error {
	lines := [][2]string{
		{"node", n.NodeID}, {"roles", strings.Join(n.Roles, ", ")}, {"state", states(n.nodeJSON)}, {"leader", yes(n.Leader)},
		{"host", n.Host}, {"pid", strconv.Itoa(n.PID)}, {"version", n.Version}, {"started", moment(n.Started)}, {"last seen", moment(n.LastSeen)},
		{"groups", shownGroups(v, n.nodeJSON)}, {"", n.why()},
	}
	if n.WorkersFrom != "" {
		lines = append(lines, [2]string{"workers", fmt.Sprintf("%d (from the %s)", n.WorkersWanted, n.WorkersFrom)})
	}
	if n.Billing {
		lines = append(lines, [2]string{"billing", "serves the queue billing"})
	}
	if n.Draining {
		lines = append(lines, [2]string{"drain", "ordered; to have it work again: pollux node undrain " + n.NodeID})
	}
	for _, k := range n.Kinds {
		lines = append(lines, [2]string{k.Kind, fmt.Sprintf("%d done, %d errors, %s pending, %s worker seconds, lateness %s in the last %.0f s",
			k.Done, k.Errors, count(k.Pending), used(k.workJSON), lateness(k.workJSON), k.WindowSeconds)},
			[2]string{"", fmt.Sprintf("%d done, %d errors, %.0f worker seconds since it started", k.DoneTotal, k.ErrorsTotal, k.WorkerSecondsTotal)})
	}
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(p.out, "%-12s %s\n", line[0], line[1])
		}
	}
	if len(n.History) == 0 {
		return nil
	}
	fmt.Fprintln(p.out)
	rows := make([][]string, 0, len(n.History))
	for _, h := range n.History {
		rows = append(rows, []string{
			moment(h.At), h.Role, h.Kind, orDefault(joined(h.Groups), "none"), strconv.Itoa(h.Workers), strconv.FormatInt(h.Done, 10), count(h.Pending),
			used(h.workJSON), lateness(h.workJSON), strconv.FormatInt(h.Errors, 10),
		})
	}
	return p.printTable([]string{"FIVE MINUTES TO", "ROLE", "KIND", "GROUPS", "WORKERS", "DONE", "PENDING", "WORKER SECONDS", "LATENESS", "ERRORS"}, rows)
}

// moment is a time as people read it, in UTC.
func moment(text *string) string {
	if text == nil {
		return "never"
	}
	at, err := time.Parse(time.RFC3339, *text)
	if err != nil {
		return *text
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC")
}
