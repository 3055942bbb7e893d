package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/producer"
	"pollux/settings"
	"pollux/store"
)

func (p *program) groupListCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the poller groups with their devices, and how well they are served", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			return p.withGroups(command.Context(), func(s *store.Store, values settings.Values) error {
				groups, err := s.Groups(command.Context())
				if err != nil {
					return err
				}
				devices, err := s.GroupDevices(command.Context())
				if err != nil {
					return err
				}
				covered, err := p.coverage(command.Context())
				if err != nil { // the inventory's part is worth showing all the same
					fmt.Fprintf(p.errout, "pollux: how groups are served is not known: %v\n", plain(err.Error()))
				}
				return p.printGroups(groups, devices, covered, values)
			})
		}),
	})
}

// coverage says how well each poller group is served, by its id; nil where no Redis is configured, which alone knows.
func (p *program) coverage(ctx context.Context) (map[int64]producer.GroupCoverage, error) {
	if c, err := p.boot(); err != nil || !configured(c.Redis) {
		return nil, err
	}
	covered := map[int64]producer.GroupCoverage{}
	return covered, p.withDesk(ctx, func(_ *node, desk *producer.Desk) error {
		list, err := desk.Coverage(ctx)
		for _, g := range list {
			covered[g.Group.ID] = g
		}
		return err
	})
}

// coveredGroupJSON is a poller group and how well it is served.
type coveredGroupJSON struct {
	groupJSON
	Nodes   []string `json:"nodes"` // live ones that serve it
	Pending int      `json:"pending"`
	Late    int      `json:"late"`    // devices that were not polled for 1.2 of their intervals
	Overdue int      `json:"overdue"` // of those, for 3
	Paused  bool     `json:"paused"`
	Note    string   `json:"note,omitempty"` // what is wrong
}

// printGroups prints groups; covered is nil when it is not known how they are served.
func (p *program) printGroups(groups []device.Group, devices map[int64]int, covered map[int64]producer.GroupCoverage, values settings.Values) error {
	list := items[any]{Items: []any{}}
	rows := make([][]string, 0, len(groups))
	for _, group := range groups {
		shown := groupToJSON(group, devices, values)
		mark := ""
		set(shown.Default, &mark, "default")
		row := []string{strconv.FormatInt(shown.ID, 10), shown.Name, strconv.Itoa(shown.Devices), mark, "?", "?", "?", "", shown.Description}
		if c, known := covered[group.ID]; known {
			list.Items = append(list.Items, coveredGroupJSON{shown, notNull(c.Nodes), c.Pending, c.Late, c.Overdue, c.Paused, c.Note})
			row[4], row[5], row[6], row[7] = strconv.Itoa(len(c.Nodes)), strconv.Itoa(c.Pending), fmt.Sprintf("%d/%d", c.Late, c.Overdue), c.Note
		} else {
			list.Items = append(list.Items, shown)
		}
		rows = append(rows, row)
	}
	if p.asJSON {
		return p.printJSON(list)
	}
	return p.printTable([]string{"ID", "NAME", "DEVICES", "", "LIVE NODES", "PENDING", "LATE/OVERDUE", "NOTE", "DESCRIPTION"}, rows)
}
