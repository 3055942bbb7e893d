package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

func (p *program) eventCommand() *cobra.Command {
	command := &cobra.Command{Use: "event", Short: "List what happened: changes by people, alarms, devices, nodes", Args: words(0), RunE: help}
	command.AddCommand(p.eventListCommand())
	return command
}

// eventFlags are those of event list.
type eventFlags struct {
	kind, host, node, severity, since string
	limit                             int
}

const (
	defaultEvents = 100
	maxEvents     = 10_000
	maxSinceDays  = 3650 // no event is kept for longer
)

func (p *program) eventListCommand() *cobra.Command {
	var flags eventFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the events of the eventlog, the newest first", Args: words(0),
		Long: `Lists the events of the eventlog, the newest first: who changed which setting,
group, node or queue, what keeps devices from being polled, when devices went
down and came back, and what changed on them. Several flags must hold together.`,
		Example: "  pollux event list --type settings\n  pollux event list --since 7d --severity warning",
		RunE: do(func(command *cobra.Command, _ []string) error {
			filter, err := flags.filter(time.Now())
			if err != nil {
				return err
			}
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				if command.Flags().Changed("device") {
					d, err := findDevice(command.Context(), s, flags.host)
					if err != nil {
						return err
					}
					filter.DeviceID = d.ID
				}
				return p.listEvents(command.Context(), s, filter)
			})
		}),
	})
	command.Flags().StringVar(&flags.kind, "type", "", "only events of this type: "+listed(device.EventTypes()))
	command.Flags().StringVar(&flags.host, "device", "", "only events of this device, by hostname or id")
	command.Flags().StringVar(&flags.node, "node", "", "only events of this node, by its NODE_ID")
	command.Flags().StringVar(&flags.severity, "severity", "", "only events of this severity or a graver one: "+listed(severities()))
	command.Flags().StringVar(&flags.since, "since", "", "only events of this last time, such as 90m, 24h or 7d")
	command.Flags().IntVar(&flags.limit, "limit", defaultEvents, fmt.Sprintf("at most so many events, up to %d", maxEvents))
	for flag, choices := range map[string][]string{"type": device.EventTypes(), "severity": severities()} {
		_ = command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	}
	return command
}

// severities are the words of --severity.
func severities() []string {
	var names []string
	for _, s := range device.Severities() {
		names = append(names, string(s))
	}
	return names
}

// filter is what the flags choose, the device apart.
func (f eventFlags) filter(now time.Time) (store.EventFilter, error) {
	filter := store.EventFilter{Type: f.kind, Node: f.node, Least: device.Severity(f.severity), Limit: f.limit}
	switch {
	case f.kind != "" && !slices.Contains(device.EventTypes(), f.kind):
		return filter, usagef("--type is one of %s, not %.40q", listed(device.EventTypes()), f.kind)
	case f.severity != "" && !slices.Contains(severities(), f.severity):
		return filter, usagef("--severity is one of %s, not %.40q", listed(severities()), f.severity)
	case strings.Contains(f.node, ":"):
		return filter, usagef("--node is a NODE_ID without a role, not %.80q", f.node)
	case f.limit < 1 || f.limit > maxEvents:
		return filter, usagef("--limit is a number from 1 to %d, not %d", maxEvents, f.limit)
	}
	if f.since != "" {
		span, ok := parseSpan(f.since)
		if !ok {
			return filter, usagef("--since is a time such as 90m, 24h or 7d, up to %dd, not %.40q", maxSinceDays, f.since)
		}
		filter.Since = now.Add(-span)
	}
	return filter, nil
}

// parseSpan reads a time back as people give it: in Go's form, or in whole days.
func parseSpan(text string) (time.Duration, bool) {
	const longest = maxSinceDays * 24 * time.Hour
	if number, inDays := strings.CutSuffix(text, "d"); inDays {
		n, err := strconv.Atoi(number)
		return time.Duration(min(n, maxSinceDays)) * 24 * time.Hour, err == nil && n > 0 && n <= maxSinceDays
	}
	span, err := time.ParseDuration(text)
	return span, err == nil && span > 0 && span <= longest
}

// loggedJSON is an event of the whole log.
type loggedJSON struct {
	ID int64 `json:"id"`
	eventJSON
	DeviceID int64  `json:"device_id,omitempty"` // only of an event that concerns one
	Hostname string `json:"hostname,omitempty"`  // of a device that is still there
	PortID   int64  `json:"port_id,omitempty"`   // only of an event that concerns one
}

func (p *program) listEvents(ctx context.Context, s *store.Store, filter store.EventFilter) error {
	events, err := s.Events(ctx, filter)
	if err != nil {
		return err
	}
	names, err := s.Hostnames(ctx, devicesOf(events))
	if err != nil {
		return err
	}
	list := items[loggedJSON]{Items: []loggedJSON{}}
	rows := make([][]string, 0, len(events))
	for _, e := range events {
		list.Items = append(list.Items, loggedJSON{ID: e.ID, eventJSON: shownEvent(e), DeviceID: e.DeviceID, Hostname: names[e.DeviceID], PortID: e.PortID})
		rows = append(rows, []string{
			e.Time.UTC().Format(time.DateTime), oneLine(e.Type), oneLine(string(e.Severity)), subject(e, names), oneLine(e.Node), oneLine(e.Actor), oneLine(e.Message),
		})
	}
	if p.asJSON {
		return p.printJSON(list)
	}
	return p.printTable([]string{"TIME (UTC)", "TYPE", "SEVERITY", "DEVICE", "NODE", "ACTOR", "MESSAGE"}, rows)
}

// devicesOf are the devices that events concern, each once.
func devicesOf(events []device.Event) []int64 {
	var ids []int64
	for _, e := range events {
		if e.DeviceID != 0 {
			ids = append(ids, e.DeviceID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// subject is the device of an event, and its port by the id that device show gives it.
func subject(e device.Event, names map[int64]string) string {
	if e.DeviceID == 0 {
		return ""
	}
	text := oneLine(orDefault(names[e.DeviceID], fmt.Sprintf("%d (removed)", e.DeviceID)))
	if e.PortID != 0 {
		text += fmt.Sprintf(" port %d", e.PortID)
	}
	return text
}
