package main

import (
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/store"
)

func (p *program) deviceEntitiesCommand() *cobra.Command {
	var class string
	command := p.deviceCommandOf("entities HOST", "List the physical parts of a device, with their serial numbers, as they were discovered last",
		func(ctx context.Context, s *store.Store, d device.Device) error {
			list, err := s.Entities(ctx, d.ID)
			if err != nil {
				return err
			}
			return p.printEntities(slices.DeleteFunc(list, func(e device.Entity) bool { return class != "" && e.Class != class }))
		})
	command.Flags().StringVar(&class, "class", "", "only those of this class, such as chassis, module, powerSupply, fan, port")
	return command
}

// entityJSON is one physical part, by the names of ENTITY-MIB.
type entityJSON struct {
	Index    int64  `json:"index"`
	Parent   int64  `json:"contained_in,omitempty"` // index of the part that it is in
	Class    string `json:"class,omitempty"`
	Name     string `json:"name,omitempty"`
	Descr    string `json:"descr,omitempty"`
	Model    string `json:"model,omitempty"`
	Serial   string `json:"serial,omitempty"`
	Hardware string `json:"hardware_rev,omitempty"`
	Firmware string `json:"firmware_rev,omitempty"`
	Software string `json:"software_rev,omitempty"`
	Vendor   string `json:"vendor,omitempty"`
	FRU      bool   `json:"is_fru"`
}

func (p *program) printEntities(list []device.Entity) error {
	shown, rows := make([]entityJSON, len(list)), make([][]string, len(list))
	for i := range list {
		e := &list[i]
		shown[i] = entityJSON{
			Index: e.Index, Parent: e.Parent, Class: e.Class, Name: e.Name, Descr: e.Descr, Model: e.Model, Serial: e.Serial,
			Hardware: e.Hardware, Firmware: e.Firmware, Software: e.Software, Vendor: e.Vendor, FRU: e.FRU,
		}
		rows[i] = []string{
			strconv.FormatInt(e.Index, 10), orNothing(e.Parent), e.Class, e.Name, e.Descr, e.Model, e.Serial, e.Hardware, e.Firmware, e.Software,
		}
	}
	return printRows(p, shown, []string{"INDEX", "IN", "CLASS", "NAME", "DESCRIPTION", "MODEL", "SERIAL", "HARDWARE", "FIRMWARE", "SOFTWARE"}, rows)
}
