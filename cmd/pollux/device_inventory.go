package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

// deviceCommandOf is a command that shows something of one device.
func (p *program) deviceCommandOf(use, short string, show func(ctx context.Context, s *store.Store, d device.Device) error) *cobra.Command {
	return p.jsonFlag(&cobra.Command{
		Use: use, Short: short, Args: words(1),
		RunE: do(func(command *cobra.Command, args []string) error {
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				return show(command.Context(), s, d)
			})
		}),
	})
}

// goneFlag is that of lists whose rows vanish.
func goneFlag(command *cobra.Command, gone *bool) *cobra.Command {
	command.Flags().BoolVar(gone, "gone", false, "also those that have vanished")
	return command
}

// present leaves those out that have vanished, unless they are asked for too.
func present[T any](list []T, gone bool, stay func(*T) device.Stay) []T {
	return slices.DeleteFunc(list, func(row T) bool { return !gone && stay(&row).Vanished })
}

// note is what is special about a row of such a list.
func note(s device.Stay) string {
	if s.Vanished {
		return "vanished"
	}
	return ""
}

// portNames are the names of a device's ports by their ids.
func portNames(ctx context.Context, s *store.Store, deviceID int64) (map[int64]string, error) {
	ports, err := s.Ports(ctx, deviceID)
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(ports))
	for i := range ports {
		names[ports[i].ID] = ports[i].State.IfName
	}
	return names, nil
}

// printRows shows a list as JSON or as a table.
func printRows[T any](p *program, shown []T, headings []string, rows [][]string) error {
	if p.asJSON {
		return p.printJSON(items[T]{shown})
	}
	if len(rows) == 0 {
		fmt.Fprintln(p.out, "none was discovered")
		return nil
	}
	return p.printTable(headings, rows)
}
