package main

import (
	"context"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/store"
)

func (p *program) deviceNeighboursCommand() *cobra.Command {
	var gone bool
	command := p.deviceCommandOf("neighbours HOST", "List what a device hears at its ports by LLDP and CDP, as it was discovered last",
		func(ctx context.Context, s *store.Store, d device.Device) error {
			list, err := s.Neighbours(ctx, d.ID)
			if err != nil {
				return err
			}
			names, err := portNames(ctx, s, d.ID)
			if err != nil {
				return err
			}
			return p.printNeighbours(present(list, gone, func(n *device.Neighbour) device.Stay { return n.Stay }), names)
		})
	return goneFlag(command, &gone)
}

// neighbourJSON is one neighbour. All that begins with remote is what it says of itself.
type neighbourJSON struct {
	ID              int64   `json:"id"`
	Protocol        string  `json:"protocol"`
	PortID          int64   `json:"port_id,omitempty"`
	LocalPort       string  `json:"local_port,omitempty"`
	RemoteChassis   string  `json:"remote_chassis,omitempty"` // chassis id of LLDP, device id of CDP
	RemoteName      string  `json:"remote_name,omitempty"`
	RemotePort      string  `json:"remote_port,omitempty"`
	RemotePortDescr string  `json:"remote_port_descr,omitempty"`
	RemotePlatform  string  `json:"remote_platform,omitempty"`
	RemoteDescr     string  `json:"remote_descr,omitempty"`
	RemoteAddress   string  `json:"remote_address,omitempty"`
	Vanished        bool    `json:"vanished"`
	FoundAt         *string `json:"found_at"`
}

func (p *program) printNeighbours(list []device.Neighbour, names map[int64]string) error {
	shown, rows := make([]neighbourJSON, len(list)), make([][]string, len(list))
	for i := range list {
		n := &list[i]
		local, address := orDefault(names[n.PortID], n.LocalPort), ""
		if n.RemoteAddress.IsValid() {
			address = n.RemoteAddress.String()
		}
		shown[i] = neighbourJSON{
			ID: n.ID, Protocol: string(n.Protocol), PortID: n.PortID, LocalPort: local, RemoteChassis: n.RemoteID, RemoteName: n.RemoteName,
			RemotePort: n.RemotePort, RemotePortDescr: n.RemotePortDescr, RemotePlatform: n.RemotePlatform, RemoteDescr: n.RemoteDescr,
			RemoteAddress: address, Vanished: n.Vanished, FoundAt: rfc3339(n.Found),
		}
		rows[i] = []string{
			local, string(n.Protocol), orDefault(n.RemoteName, n.RemoteID), n.RemotePort, n.RemotePortDescr, address,
			orDefault(n.RemotePlatform, n.RemoteDescr), note(n.Stay),
		}
	}
	return printRows(p, shown, []string{"PORT", "BY", "NEIGHBOUR", "ITS PORT", "DESCRIPTION", "ADDRESS", "PLATFORM", ""}, rows)
}
