package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

func (p *program) deviceRenameCommand() *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: "rename HOST NAME", Short: "Give a device another hostname; its RRD files stay where they are", Args: words(2),
		Long: `Gives a device another hostname. It is a label and nothing else: the directory of
its RRD files keeps the name that it got when the device was added, and a device
without an address of its own gets its former hostname as one, so that the same
is asked as before. To ask something else: pollux device set HOST --address`,
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				return p.setOne(command.Context(), s, args[0], func(d *device.Device) error {
					if d.Address == "" {
						d.Address = d.Hostname
					}
					d.Hostname = args[1]
					return nil
				})
			})
		}),
	})
}

// deviceSwitchCommand changes one thing of a device that is on or off.
func (p *program) deviceSwitchCommand(form, short string, change func(*device.Device)) *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: form, Short: short, Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				return p.setOne(command.Context(), s, args[0], func(d *device.Device) error {
					change(d)
					return nil
				})
			})
		}),
	})
}

func (p *program) deviceRemoveCommand() *cobra.Command {
	var keep, drop bool
	command := &cobra.Command{
		Use: "remove HOST", Short: "Remove a device, with its history or without", Args: words(1),
		Long: `Removes a device with its ports. What the journal still holds of it is dropped,
and the directory of its RRD files is never given to another device.

Its RRD files lie beside RRDCached, so this command cannot remove them. They
stay, and "pollux rrd orphans" lists them there. With --delete-history they are
marked to go: "pollux rrd orphans --only-deleted --delete", there and as often as
you like, removes the files of such devices and no others.`,
		RunE: do(func(command *cobra.Command, args []string) error {
			if keep && drop {
				return usagef("give one of --keep-history and --delete-history")
			}
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				if err := s.RemoveDevice(command.Context(), d.ID, drop); err != nil {
					return err
				}
				left := "its RRD files stay in " + d.RRDDir
				set(drop, &left, "its RRD files in "+d.RRDDir+" are to go: beside each RRDCached, pollux rrd orphans --only-deleted --delete")
				fmt.Fprintf(p.out, "removed %s (device %d); %s\n", d.Hostname, d.ID, left)
				return nil
			})
		}),
	}
	command.Flags().BoolVar(&keep, "keep-history", false, "leave its RRD files alone (the default)")
	command.Flags().BoolVar(&drop, "delete-history", false, "mark its RRD files to be removed")
	return command
}
