package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/store"
)

func (p *program) deviceVLANsCommand() *cobra.Command {
	var gone bool
	command := p.deviceCommandOf("vlans HOST", "List the VLANs of a device and the ports whose untagged frames go into them, as they were discovered last",
		func(ctx context.Context, s *store.Store, d device.Device) error {
			list, err := s.VLANs(ctx, d.ID)
			if err != nil {
				return err
			}
			ports, err := s.Ports(ctx, d.ID)
			if err != nil {
				return err
			}
			return p.printVLANs(present(list, gone, func(v *device.VLAN) device.Stay { return v.Stay }), ports)
		})
	return goneFlag(command, &gone)
}

// vlanJSON is one VLAN.
type vlanJSON struct {
	ID       int64          `json:"id"`
	VLAN     int            `json:"vlan"`
	Name     string         `json:"name,omitempty"`
	State    string         `json:"state,omitempty"`
	Untagged []vlanPortJSON `json:"untagged_ports"`
	Vanished bool           `json:"vanished"`
	FoundAt  *string        `json:"found_at"`
}

type vlanPortJSON struct {
	PortID int64  `json:"port_id"`
	IfName string `json:"if_name"`
}

func (p *program) printVLANs(list []device.VLAN, ports []device.Port) error {
	untagged := make(map[int][]vlanPortJSON)
	for i := range ports {
		if port := &ports[i]; !port.Vanished {
			untagged[port.VLAN] = append(untagged[port.VLAN], vlanPortJSON{port.ID, port.State.IfName})
		}
	}
	shown, rows := make([]vlanJSON, len(list)), make([][]string, len(list))
	for i := range list {
		v := &list[i]
		shown[i] = vlanJSON{
			ID: v.ID, VLAN: v.VLAN, Name: v.Name, State: v.State, Untagged: append([]vlanPortJSON{}, untagged[v.VLAN]...),
			Vanished: v.Vanished, FoundAt: rfc3339(v.Found),
		}
		names := make([]string, len(shown[i].Untagged))
		for k, port := range shown[i].Untagged {
			names[k] = port.IfName
		}
		rows[i] = []string{strconv.Itoa(v.VLAN), v.Name, v.State, strings.Join(names, ", "), note(v.Stay)}
	}
	return printRows(p, shown, []string{"VLAN", "NAME", "STATE", "UNTAGGED PORTS", ""}, rows)
}
