package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pollux/producer"
	"pollux/store"
)

// overdueJSON is a device that was not polled for too long.
type overdueJSON struct {
	deviceJSON
	Seconds   int64   `json:"unpolled_seconds"`
	Intervals float64 `json:"unpolled_intervals"`
}

// listOverdue lists the devices of a filter that were not polled for 1.2 of their intervals.
func (p *program) listOverdue(command *cobra.Command, filter store.Filter) error {
	return p.withDesk(command.Context(), func(n *node, desk *producer.Desk) error {
		late, err := desk.Late(command.Context())
		if err != nil {
			return err
		}
		unpolled := make(map[int64]producer.Unpolled, len(late))
		for _, u := range late {
			unpolled[u.DeviceID] = u
		}
		all, err := allDevices(command.Context(), n.store, filter)
		if err != nil {
			return err
		}
		list := items[overdueJSON]{Items: []overdueJSON{}}
		var rows [][]string
		for _, d := range all {
			u, found := unpolled[d.ID]
			if !found {
				continue
			}
			list.Items = append(list.Items, overdueJSON{toJSON(d, nil), int64(u.For / time.Second), u.Intervals()})
			rows = append(rows, []string{
				strconv.FormatInt(d.ID, 10), d.Hostname, string(status(d)), strconv.FormatInt(d.Group, 10), strconv.Itoa(d.Interval) + "s",
				u.For.String(), fmt.Sprintf("%.1f", u.Intervals()),
			})
		}
		if p.asJSON {
			return p.printJSON(list)
		}
		return p.printTable([]string{"ID", "HOSTNAME", "STATUS", "GROUP", "INTERVAL", "NOT POLLED FOR", "INTERVALS"}, rows)
	})
}
