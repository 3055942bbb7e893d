package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/cluster"
	"pollux/device"
	"pollux/tasks"
)

func (p *program) nodeListCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List all nodes with what they did in the last five minutes", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.withNodes(command.Context(), func(v *nodesView) error {
				p.noteAway(v)
				if p.asJSON {
					list := items[nodeJSON]{Items: []nodeJSON{}}
					for _, process := range v.processes {
						list.Items = append(list.Items, shownNode(v, process))
					}
					return p.printJSON(list)
				}
				return p.printNodes(v)
			})
		}),
	})
}

// nodeJSON is one process of the cluster.
type nodeJSON struct {
	NodeID   string            `json:"node_id"`
	Roles    []string          `json:"roles"`
	State    string            `json:"state"`  // of all roles, mixed, or unknown
	States   map[string]string `json:"states"` // by role
	Draining bool              `json:"draining"`
	Leader   bool              `json:"leader"`
	Billing  bool              `json:"billing"` // it serves the queue billing
	Groups   []int64           `json:"groups"`  // served now
	Kinds    []kindJSON        `json:"kinds"`
	Host     string            `json:"host"`
	PID      int               `json:"pid"`
	Version  string            `json:"version"`
	Started  *string           `json:"started"`
	LastSeen *string           `json:"last_seen"`
}

// workJSON is the work of a node of one kind in a window.
type workJSON struct {
	Kind             string  `json:"kind"`
	Workers          int     `json:"workers"`
	WindowSeconds    float64 `json:"window_seconds"`
	Done             int64   `json:"done"`
	Pending          *int64  `json:"pending"` // tasks that wait in the queues of its groups; null when not known
	WorkerSeconds    float64 `json:"worker_seconds"`
	WorkerSecondsMax float64 `json:"worker_seconds_max"`
	LatenessMean     float64 `json:"lateness_mean_seconds"`
	LatenessMax      float64 `json:"lateness_max_seconds"`
	Errors           int64   `json:"errors"`
}

// kindJSON is the last window of a live node, and what it did since its start.
type kindJSON struct {
	workJSON
	DoneTotal          int64   `json:"done_total"`
	ErrorsTotal        int64   `json:"errors_total"`
	WorkerSecondsTotal float64 `json:"worker_seconds_total"`
}

const (
	stateMixed   = "mixed"   // of a process whose roles are in different states
	stateUnknown = "unknown" // of all while Redis does not answer
)

func shownNode(v *nodesView, process cluster.Process) nodeJSON {
	n := nodeJSON{
		NodeID: process.NodeID, Host: process.Host, PID: process.PID, Version: process.Version, States: map[string]string{}, Kinds: []kindJSON{},
		Started: rfc3339(process.Started), LastSeen: rfc3339(process.LastSeen),
	}
	for _, s := range process.Roles {
		state := string(s.State())
		if v.away != nil {
			state = stateUnknown
		}
		n.Roles, n.States[s.Row.Role] = append(n.Roles, s.Row.Role), state
		if n.State == "" {
			n.State = state
		} else if n.State != state {
			n.State = stateMixed
		}
		n.Draining = n.Draining || s.Row.Draining
		if s.Live == nil {
			continue
		}
		n.Leader = n.Leader || s.Live.Leader
		n.Billing = n.Billing || s.Row.Role == cluster.RoleConsumer && v.billing == process.NodeID
		if s.Live.Groups != nil {
			n.Groups = s.Live.Groups
		}
		for _, work := range s.Live.Work {
			n.Kinds = append(n.Kinds, shownKind(work, waiting(v.pending[work.Kind], s.Live.Groups)))
		}
	}
	return n
}

func shownKind(w device.Work, pending int64) kindJSON {
	return kindJSON{workJSON: shownWork(w, pending), DoneTotal: w.DoneTotal, ErrorsTotal: w.ErrorsTotal, WorkerSecondsTotal: w.BusyTotal.Seconds()}
}

func shownWork(w device.Work, pending int64) workJSON {
	shown := workJSON{
		Kind: w.Kind, Workers: w.Workers, WindowSeconds: w.Window.Seconds(), Done: w.Done, WorkerSeconds: w.Busy.Seconds(), WorkerSecondsMax: w.Capacity.Seconds(),
		LatenessMean: w.LatenessMean.Seconds(), LatenessMax: w.LatenessMax.Seconds(), Errors: w.Errors,
	}
	if pending >= 0 { // else it was not known
		shown.Pending = &pending
	}
	return shown
}

// waiting adds up the tasks that wait in the queues of poller groups; -1 when that was not asked.
func waiting(pending map[int64]int64, groups []int64) (sum int64) {
	if pending == nil {
		return -1
	}
	for _, group := range groups {
		sum += pending[group]
	}
	return sum
}

// nodesNote stands below the list; pollux node list --help and docs/scale.md say more.
const nodesNote = `
DONE, ERRORS, WORKER SECONDS and LATENESS are those of polls in the last five minutes; pollux node show NODE has those of discoveries.
Worker seconds near their maximum: give the node more workers (pollux node set NODE --workers N), start
another node, or move poller groups. Tasks PENDING while few worker seconds are used: the machine, its network
or the queue holds the node up; look at its CPU and its log.
`

func (p *program) printNodes(v *nodesView) error {
	rows := make([][]string, 0, len(v.processes))
	for _, process := range v.processes {
		n := shownNode(v, process)
		row := []string{n.NodeID, strings.Join(n.Roles, ","), states(n), yes(n.Leader), shownGroups(v, n)}
		if len(n.Kinds) > 0 {
			k := n.Kinds[0]
			row = append(row, strconv.Itoa(k.Workers), strconv.FormatInt(k.Done, 10), count(k.Pending), used(k.workJSON), lateness(k.workJSON), strconv.FormatInt(k.Errors, 10))
		} else {
			row = append(row, "-", "-", "-", "-", "-", "-")
		}
		rows = append(rows, append(row, n.Version, ago(process.LastSeen)))
	}
	err := p.printTable([]string{
		"NODE", "ROLES", "STATE", "LEADER", "GROUPS", "WORKERS", "DONE", "PENDING", "WORKER SECONDS", "LATENESS", "ERRORS", "VERSION", "LAST SEEN",
	}, rows)
	if err != nil {
		return err
	}
	fmt.Fprint(p.out, nodesNote)
	return nil
}

// states is the state of a node in words.
func states(n nodeJSON) string {
	if n.State != stateMixed {
		return n.State
	}
	var all []string
	for _, role := range n.Roles {
		all = append(all, role+" "+n.States[role])
	}
	return strings.Join(all, ", ")
}

// shownGroups are the poller groups that a node serves now.
func shownGroups(v *nodesView, n nodeJSON) string {
	switch {
	case n.Groups == nil:
		return "-"
	case len(n.Groups) == 0:
		return "none"
	case !v.distributed():
		return "all"
	default:
		return joined(n.Groups)
	}
}

// joined writes poller groups with commas between them.
func joined(groups []int64) string {
	sorted := slices.Sorted(slices.Values(groups))
	texts := make([]string, len(sorted))
	for i, group := range sorted {
		texts[i] = strconv.FormatInt(group, 10)
	}
	return strings.Join(texts, ",")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

func count(n *int64) string {
	if n == nil {
		return "?"
	}
	return strconv.FormatInt(*n, 10)
}

func used(k workJSON) string { return fmt.Sprintf("%.1f/%.0f", k.WorkerSeconds, k.WorkerSecondsMax) }

func lateness(k workJSON) string {
	if k.Kind == tasks.KindDiscovery { // nobody waits for one
		return "-"
	}
	short := func(seconds float64) string {
		return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
	}
	return short(k.LatenessMean) + " (max " + short(k.LatenessMax) + ")"
}
