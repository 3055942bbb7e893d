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
	var state, group string
	var overdue bool
	command := p.jsonFlag(&cobra.Command{
		Use: "list", Short: "List devices", Args: words(0),
		RunE: do(func(command *cobra.Command, _ []string) error {
			if filter.Status = device.Status(state); state != "" && !knownStatus(filter.Status) {
				return usagef("--status is up, down, auth, new or disabled, not %.40q", state)
			}
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				if command.Flags().Changed("group") {
					chosen, err := chosenGroup(command.Context(), s, values, group)
					if err != nil {
						return err
					}
					filter.Group = &chosen.ID
				}
				if overdue {
					return p.listOverdue(command, filter)
				}
				all, err := allDevices(command.Context(), s, filter)
				if err != nil {
					return err
				}
				names, err := groupNames(command.Context(), s, values)
				if err != nil {
					return err
				}
				return p.printDevices(all, names)
			})
		}),
	})
	command.Flags().StringVar(&state, "status", "", "only devices that are up, down, auth, new or disabled")
	command.Flags().StringVarP(&group, "group", "g", "", "only devices of this poller group, by id or name")
	command.Flags().BoolVar(&overdue, "overdue", false, "only devices that were not polled for more than 1.2 of their intervals, and for how long")
	return command
}

func knownStatus(s device.Status) bool {
	switch s {
	case device.StatusUp, device.StatusDown, device.StatusAuth, device.StatusNew, device.StatusDisabled:
		return true
	default:
		return false
	}
}

func allDevices(ctx context.Context, s *store.Store, filter store.Filter) ([]device.Device, error) {
	var all []device.Device
	filter.Limit = listPage
	for {
		page, err := s.Devices(ctx, filter)
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

// printDevices shows the group of each device by its name; nil names hide the groups.
func (p *program) printDevices(all []device.Device, names map[int64]string) error {
	if p.asJSON {
		list := items[deviceJSON]{Items: []deviceJSON{}}
		for _, d := range all {
			list.Items = append(list.Items, toJSON(d, nil))
		}
		return p.printJSON(list)
	}
	headings := []string{"ID", "HOSTNAME", "STATUS", "SYSNAME", "GROUP", "INTERVAL", "LAST POLLED", "REASON"}
	const groupColumn = 4
	rows := make([][]string, 0, len(all)+1)
	rows = append(rows, headings)
	for _, d := range all {
		rows = append(rows, []string{
			strconv.FormatInt(d.ID, 10), d.Hostname, statusInWords(d), d.Facts.SysName, names[d.Group],
			strconv.Itoa(d.Interval) + "s", ago(d.PolledAt), d.StatusReason,
		})
	}
	if names == nil {
		for i := range rows {
			rows[i] = slices.Delete(rows[i], groupColumn, groupColumn+1)
		}
	}
	return p.printTable(rows[0], rows[1:])
}

func (p *program) deviceShowCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "show HOST", Short: "Show one device and its ports", Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				ports, err := s.Ports(command.Context(), d.ID)
				if err != nil {
					return err
				}
				available, err := availabilityOf(command.Context(), s, d)
				if err != nil {
					return err
				}
				if p.asJSON {
					shown := toJSON(d, ports)
					shown.Availability = available
					return p.printJSON(shown)
				}
				names, err := groupNames(command.Context(), s, values)
				if err != nil {
					return err
				}
				return p.printDevice(d, ports, names, available)
			})
		}),
	})
}

func (p *program) printDevice(d device.Device, ports []device.Port, names map[int64]string, available []availabilityJSON) error {
	group, timeout, retries, off, unpolled := "", "", "", "", ""
	lacks := strings.Join(d.Lacks, ", ")
	set(len(d.DiscoveryOff) > 0, &off, "without "+strings.Join(d.DiscoveryOff, ", "))
	set(len(d.PollerOff) > 0, &unpolled, "without "+strings.Join(d.PollerOff, ", "))
	set(names != nil, &group, fmt.Sprintf("%d (%s)", d.Group, names[d.Group]))
	set(d.Timeout > 0, &timeout, d.Timeout.String())
	set(d.Retries >= 0, &retries, strconv.Itoa(d.Retries))
	for _, line := range [][2]string{
		{"id", strconv.FormatInt(d.ID, 10)}, {"hostname", d.Hostname}, {"address", d.Address}, {"status", statusInWords(d)}, {"reason", d.StatusReason},
		{"asked by", askedBy(d)},
		{"timeout", timeout}, {"retries", retries}, {"group", group}, {"interval", strconv.Itoa(d.Interval) + " s"}, {"discovery", off}, {"polls", unpolled}, {"last polled", ago(d.PolledAt)},
		{"took", d.PollDuration.String()}, {"sysName", d.Facts.SysName}, {"sysDescr", d.Facts.SysDescr}, {"sysObjectID", d.Facts.SysObjectID},
		{"OS", d.Facts.OS}, {"hardware", d.Facts.Hardware}, {"version", d.Facts.Version}, {"serial", d.Facts.Serial}, {"features", d.Facts.Features},
		{"discovered", ago(d.DiscoveredAt)}, {"lacks", lacks}, {"selected ports", string(d.SelectedPorts)}, {"location", d.Facts.SysLocation}, {"contact", d.Facts.SysContact}, {"uptime", days(d.Facts.Uptime)}, {"available", availabilityInWords(available)}, {"RRD files", filesOf(d)},
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

// statusInWords is the status with what else is to be known of it.
func statusInWords(d device.Device) string {
	if d.Ignored {
		return string(status(d)) + ", ignored"
	}
	return string(status(d))
}

// askedBy is how a device is asked.
func askedBy(d device.Device) string {
	if d.PingOnly {
		return "ICMP only"
	}
	return strings.Join(strings.Fields(fmt.Sprintf("SNMP %s %s on %s port %d", d.Credentials.Version, d.Credentials.Level(), d.Transport, d.Port)), " ")
}

// filesOf is where a device's files are: the directory, and the shard when it is another than that of RRDCACHED.
func filesOf(d device.Device) string {
	if d.Shard == 0 {
		return d.RRDDir
	}
	return fmt.Sprintf("%s, in shard %d", d.RRDDir, d.Shard)
}
