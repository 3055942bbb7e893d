package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/store"
)

func (p *program) deviceAddressesCommand() *cobra.Command {
	var gone bool
	command := p.deviceCommandOf("addresses HOST", "List the IP addresses of a device as they were discovered last",
		func(ctx context.Context, s *store.Store, d device.Device) error {
			list, err := s.Addresses(ctx, d.ID)
			if err != nil {
				return err
			}
			names, err := portNames(ctx, s, d.ID)
			if err != nil {
				return err
			}
			return p.printAddresses(present(list, gone, func(a *device.Address) device.Stay { return a.Stay }), names)
		})
	return goneFlag(command, &gone)
}

// addressJSON is one IP address. Without prefix_length the device does not say it; without port_id no port has the ifIndex.
type addressJSON struct {
	ID       int64   `json:"id"`
	Address  string  `json:"address"`
	Prefix   int     `json:"prefix_length,omitempty"`
	PortID   int64   `json:"port_id,omitempty"`
	IfIndex  int64   `json:"if_index,omitempty"`
	IfName   string  `json:"if_name,omitempty"`
	Vanished bool    `json:"vanished"`
	FoundAt  *string `json:"found_at"`
}

func (p *program) printAddresses(list []device.Address, names map[int64]string) error {
	shown, rows := make([]addressJSON, len(list)), make([][]string, len(list))
	for i := range list {
		a := &list[i]
		shown[i] = addressJSON{
			ID: a.ID, Address: a.Address.String(), Prefix: a.Prefix, PortID: a.PortID, IfIndex: a.IfIndex, IfName: names[a.PortID],
			Vanished: a.Vanished, FoundAt: rfc3339(a.Found),
		}
		text := a.Address.String()
		if a.Prefix > 0 {
			text = fmt.Sprintf("%s/%d", text, a.Prefix)
		}
		rows[i] = []string{text, names[a.PortID], orNothing(a.IfIndex), note(a.Stay)}
	}
	return printRows(p, shown, []string{"ADDRESS", "PORT", "IFINDEX", ""}, rows)
}

// orNothing is a number, and nothing for 0.
func orNothing(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
