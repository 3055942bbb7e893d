package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"pollux/billing"
	"pollux/settings"
	"pollux/store"
)

// billFlags are those of bill add and bill set.
type billFlags struct {
	name, kind, allowed, direction, zone, ref, customer, notes string
	day                                                        int
	version                                                    int64
	ports                                                      []string
}

func (f *billFlags) register(command *cobra.Command) {
	command.Flags().StringVar(&f.kind, "type", string(billing.CDR), "cdr (95th percentile) or quota (bytes of a period)")
	command.Flags().StringVar(&f.allowed, "allowed", "0", "allowance: of a cdr bit/s such as 500M or 1.5Gbps, of a quota bytes such as 10T or 2TiB")
	command.Flags().StringVar(&f.direction, "direction", string(billing.Max), "what counts: in, out, max (the larger of both) or aggregate (the sum)")
	command.Flags().IntVar(&f.day, "day", 1, "day of the month on which periods begin, 1 to 31; the last day of shorter months")
	command.Flags().StringVar(&f.zone, "time-zone", "UTC", "time zone in which that day begins, such as Europe/Berlin")
	command.Flags().StringVar(&f.ref, "ref", "", "reference of the one who bills")
	command.Flags().StringVar(&f.customer, "customer", "", "the customer")
	command.Flags().StringVar(&f.notes, "notes", "", "notes")
}

// apply changes what the flags say; all of them for a new bill.
func (f *billFlags) apply(command *cobra.Command, b *billing.Bill, base int, all bool) error {
	changed := func(name string) bool { return all || command.Flags().Changed(name) }
	kind := b.Type
	set(changed("type"), &b.Type, billing.Type(f.kind))
	if changed("allowed") {
		var err error
		if b.Allowed, err = billing.ParseAmount(f.allowed, b.Type, base); err != nil {
			return usagef("%v", err)
		}
	} else if b.Type != kind {
		return usagef("an allowance of another type is of another unit: give --allowed with --type")
	}
	set(changed("direction"), &b.Direction, billing.Direction(f.direction))
	set(changed("day"), &b.Day, f.day)
	set(changed("time-zone"), &b.Zone, f.zone)
	set(changed("ref"), &b.Ref, f.ref)
	set(changed("customer"), &b.Customer, f.customer)
	set(changed("notes"), &b.Notes, f.notes)
	if err := b.Validate(); err != nil {
		return usagef("%v", err)
	}
	return nil
}

func (p *program) billAddCommand() *cobra.Command {
	var flags billFlags
	command := p.jsonFlag(&cobra.Command{
		Use: "add NAME", Short: "Add a bill; its ports are billed from now on", Args: words(1),
		Example: "  pollux bill add 'Example Ltd' --type cdr --allowed 500M --port sw1.example.net/ge-0/0/1 --time-zone Europe/Berlin\n  pollux bill add Archive --type quota --allowed 10T --direction aggregate --day 15 --port 17",
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, values settings.Values, _ *slog.Logger) error {
				b := billing.Bill{Name: args[0]}
				if err := flags.apply(command, &b, base(values), true); err != nil {
					return err
				}
				ports, err := findPorts(command.Context(), s, flags.ports)
				if err != nil {
					return err
				}
				now, err := billTime(command.Context(), s)
				if err != nil {
					return err
				}
				if b, err = s.AddBill(command.Context(), b, ports, now, actor()); err != nil {
					return err
				}
				if p.asJSON {
					return p.printJSON(billToJSON(b, nil))
				}
				fmt.Fprintf(p.out, "added bill %d (%s) with %d ports\n", b.ID, b.Name, len(ports))
				return nil
			})
		}),
	})
	flags.register(command)
	command.Flags().StringArrayVar(&flags.ports, "port", nil, "port by id or as HOST/IFNAME; may be repeated")
	return command
}

func (p *program) billSetCommand() *cobra.Command {
	var flags billFlags
	changing := []string{"name", "type", "allowed", "direction", "day", "time-zone", "ref", "customer", "notes"}
	command := p.jsonFlag(&cobra.Command{
		Use: "set BILL", Short: "Change a bill; only the flags that are given change anything", Args: words(1),
		Long: `Changes a bill. Closed periods stay as they are, and so does one that is over
and waits to be closed; the one that runs is calculated by the new terms. Another billing day or time zone ends the open period at its next
such day. With --version the bill is changed only if it is still of that
version, which bill show names: nobody overwrites what somebody else changed.`,
	})
	command.RunE = p.onBill(func(ctx context.Context, s *store.Store, values settings.Values, b billing.Bill) error {
		if !given(command, changing) {
			return usagef("say what to change; see: %s --help", command.CommandPath())
		}
		if err := flags.apply(command, &b, base(values), false); err != nil {
			return err
		}
		set(command.Flags().Changed("name"), &b.Name, flags.name)
		set(command.Flags().Changed("version"), &b.Version, flags.version)
		now, err := billTime(ctx, s)
		if err != nil {
			return err
		}
		if b, err = s.UpdateBill(ctx, b, now, actor()); err != nil {
			return err
		}
		if p.asJSON {
			return p.printJSON(billToJSON(b, nil))
		}
		fmt.Fprintf(p.out, "changed bill %d (%s), version %d\n", b.ID, b.Name, b.Version)
		return nil
	})
	flags.register(command)
	command.Flags().StringVar(&flags.name, "name", "", "new name, 1 to 128 bytes, not a number")
	command.Flags().Int64Var(&flags.version, "version", 0, "change it only if it is of this version")
	return command
}

func (p *program) billRemoveCommand() *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use: "remove BILL", Short: "Remove a bill with its history", Args: words(1),
		RunE: p.onBill(func(ctx context.Context, s *store.Store, _ settings.Values, b billing.Bill) error {
			periods, err := s.BillHistory(ctx, b.ID)
			if err != nil {
				return err
			}
			if err := p.confirm(yes, fmt.Sprintf("bill %d (%s) has %d periods, which go with it", b.ID, b.Name, len(periods)), "remove it"); err != nil {
				return err
			}
			if err := s.RemoveBill(ctx, b.ID, actor()); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "removed bill %d (%s)\n", b.ID, b.Name)
			return nil
		}),
	}
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}

// memberJSON is a port of a bill in JSON.
type memberJSON struct {
	Port    int64   `json:"port_id"`
	Device  string  `json:"device"`
	Name    string  `json:"if_name"`
	Present bool    `json:"present"` // the inventory has it
	From    *string `json:"from"`
	Until   *string `json:"until"` // null while it is in the bill
}

func (p *program) billPortsCommand() *cobra.Command {
	var add, remove []string
	command := p.jsonFlag(&cobra.Command{
		Use: "ports BILL", Short: "List the ports that a bill has and had, add and remove some", Args: words(1),
		RunE: p.onBill(func(ctx context.Context, s *store.Store, _ settings.Values, b billing.Bill) error {
			joining, err := findPorts(ctx, s, add)
			if err != nil {
				return err
			}
			leaving, err := findPorts(ctx, s, remove)
			if err != nil {
				return err
			}
			if err := movePorts(ctx, s, b.ID, leaving, joining); err != nil {
				return err
			}
			members, err := s.BillPorts(ctx, b.ID)
			if err != nil {
				return err
			}
			return p.printMembers(members)
		}),
	})
	command.Flags().StringArrayVar(&add, "add", nil, "port to bill from now on, by id or as HOST/IFNAME; may be repeated")
	command.Flags().StringArrayVar(&remove, "remove", nil, "port to bill no longer; what it carried until now stays; may be repeated")
	return command
}

// movePorts takes ports out of a bill and others into it, all or none.
func movePorts(ctx context.Context, s *store.Store, billID int64, leaving, joining []int64) error {
	if len(leaving)+len(joining) == 0 {
		return nil
	}
	now, err := billTime(ctx, s)
	if err != nil {
		return err
	}
	return s.MoveBillPorts(ctx, billID, leaving, joining, now, actor())
}

func (p *program) printMembers(members []billing.Membership) error {
	shown, rows := make([]memberJSON, len(members)), make([][]string, len(members))
	for i, m := range members {
		shown[i] = memberJSON{Port: m.Port, Device: m.Device, Name: m.Name, Present: m.Present, From: second(m.From)}
		row := []string{strconv.FormatInt(m.Port, 10), m.Device, m.Name, *shown[i].From, "", ""}
		if m.Until > 0 {
			shown[i].Until = second(m.Until)
			row[4] = *shown[i].Until
		}
		if !m.Present {
			row[5] = "gone"
		}
		rows[i] = row
	}
	if p.asJSON {
		return p.printJSON(items[memberJSON]{shown})
	}
	return p.printTable([]string{"PORT", "DEVICE", "NAME", "FROM", "UNTIL", ""}, rows)
}
