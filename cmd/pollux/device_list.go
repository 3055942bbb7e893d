package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

const listPage = 1000 // devices read from the inventory at once

func (p *program) deviceListCommand() *cobra.Command {
	var filter store.Filter
	var state string
	var group int64
	var overdue bool
	command := p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List devices", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			if filter.Status = device.Status(state); state != "" && !knownStatus(filter.Status) {
				return usagef("--status is up, down, auth, new or disabled, not %.40q", state)
			}
			if command.Flags().Changed("group") {
				filter.Group = &group
			}
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				if err := findGroup(command.Context(), s, filter.Group); err != nil {
					return err
				}
				if overdue {
					return p.listOverdue(command, filter)
				}
				all, err := allDevices(command, s, filter)
				if err != nil {
					return err
				}
				return p.printDevices(all)
			})
		}),
	})
	command.Flags().StringVar(&state, "status", "", "only devices that are up, down, auth, new or disabled")
	command.Flags().Int64VarP(&group, "group", "g", 0, "only devices of this poller group")
	command.Flags().BoolVar(&overdue, "overdue", false, "only devices that were not polled for more than 1.2 of their intervals, and for how long")
	return command
}

// findGroup refuses a poller group that does not exist; nil is none.
func findGroup(ctx context.Context, s *store.Store, id *int64) error {
	if id == nil {
		return nil
	}
	groups, err := s.Groups(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(groups, func(g device.Group) bool { return g.ID == *id }) {
		return fmt.Errorf("%w: there is no poller group %d", errNotFound, *id)
	}
	return nil
}

func knownStatus(s device.Status) bool {
	switch s {
	case device.StatusUp, device.StatusDown, device.StatusAuth, device.StatusNew, device.StatusDisabled:
		return true
	default:
		return false
	}
}

func allDevices(command *cobra.Command, s *store.Store, filter store.Filter) ([]device.Device, error) {
	var all []device.Device
	filter.Limit = listPage
	for {
		page, err := s.Devices(command.Context(), filter)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < listPage {
			return all, nil
		}
		filter.AfterID = page[len(page)-1].ID
	}
}

func (p *program) printDevices(all []device.Device) error {
	if p.asJSON {
		list := items[deviceJSON]{Items: []deviceJSON{}}
		for _, d := range all {
			list.Items = append(list.Items, toJSON(d, nil))
		}
		return p.printJSON(list)
	}
	rows := make([][]string, 0, len(all))
	for _, d := range all {
		rows = append(rows, []string{
			strconv.FormatInt(d.ID, 10), d.Hostname, string(status(d)), d.Facts.SysName, strconv.FormatInt(d.Group, 10),
			strconv.Itoa(d.Interval) + "s", ago(d.PolledAt), d.StatusReason,
		})
	}
	return p.printTable([]string{"ID", "HOSTNAME", "STATUS", "SYSNAME", "GROUP", "INTERVAL", "LAST POLLED", "REASON"}, rows)
}

func (p *program) deviceShowCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "show HOST", Short: "Show one device and its ports", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				ports, err := s.Ports(command.Context(), d.ID)
				if err != nil {
					return err
				}
				if p.asJSON {
					return p.printJSON(toJSON(d, ports))
				}
				return p.printDevice(d, ports)
			})
		}),
	})
}

func (p *program) printDevice(d device.Device, ports []device.Port) error {
	for _, line := range [][2]string{
		{"id", strconv.FormatInt(d.ID, 10)}, {"hostname", d.Hostname}, {"address", d.Address}, {"status", string(status(d))}, {"reason", d.StatusReason},
		{"SNMP", strings.Join(strings.Fields(fmt.Sprintf("%s %s on %s port %d", d.Credentials.Version, d.Credentials.Level(), d.Transport, d.Port)), " ")},
		{"group", strconv.FormatInt(d.Group, 10)}, {"interval", strconv.Itoa(d.Interval) + " s"}, {"last polled", ago(d.PolledAt)},
		{"took", d.PollDuration.String()}, {"sysName", d.Facts.SysName}, {"sysDescr", d.Facts.SysDescr}, {"sysObjectID", d.Facts.SysObjectID},
		{"location", d.Facts.SysLocation}, {"contact", d.Facts.SysContact}, {"uptime", days(d.Facts.Uptime)}, {"RRD files", d.RRDDir},
	} {
		if line[1] != "" {
			fmt.Fprintf(p.out, "%-12s %s\n", line[0], line[1])
		}
	}
	fmt.Fprintln(p.out)
	rows := make([][]string, 0, len(ports))
	for _, port := range ports {
		s, note := port.State, ""
		switch {
		case port.Vanished:
			note = "vanished"
		case port.Disabled:
			note = "disabled"
		}
		rows = append(rows, []string{
			strconv.FormatInt(port.ID, 10), strconv.FormatInt(s.IfIndex, 10), s.IfName, s.IfAlias, s.IfType, rate(s.IfSpeed), s.IfAdminStatus, s.IfOperStatus, note,
		})
	}
	return p.printTable([]string{"PORT", "IFINDEX", "IFNAME", "IFALIAS", "IFTYPE", "SPEED", "ADMIN", "OPER", ""}, rows)
}
