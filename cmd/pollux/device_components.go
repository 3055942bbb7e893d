package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/settings"
	"pollux/store"
)

func (p *program) deviceComponentsCommand() *cobra.Command {
	var kind string
	var gone bool
	command := p.jsonFlag(&cobra.Command{
		Use: "components HOST", Short: "List the processors, memory, storage and sensors of a device as they were discovered last", Args: words(1),
		Example: "  pollux device components sw1 --kind sensor",
		RunE: do(func(command *cobra.Command, args []string) error {
			if kind != "" && !slices.Contains(device.ComponentKinds(), device.ComponentKind(kind)) {
				return usagef("--kind is one of %v, not %.40q", device.ComponentKinds(), kind)
			}
			return p.withStore(command.Context(), func(s *store.Store, _ settings.Values, _ *slog.Logger) error {
				d, err := findDevice(command.Context(), s, args[0])
				if err != nil {
					return err
				}
				list, err := s.Components(command.Context(), d.ID)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(c device.Component) bool {
					return kind != "" && c.Kind != device.ComponentKind(kind) || c.Vanished && !gone
				})
				return p.printComponentList(list)
			})
		}),
	})
	command.Flags().StringVar(&kind, "kind", "", "only these: processor, mempool, storage, sensor or host")
	command.Flags().BoolVar(&gone, "gone", false, "also those that have vanished")
	return command
}

// componentJSON is one component of the inventory. Amounts are bytes.
type componentJSON struct {
	ID       int64    `json:"id"`
	Kind     string   `json:"kind"`
	Class    string   `json:"class,omitempty"`
	Type     string   `json:"type"`
	Index    string   `json:"index"`
	Descr    string   `json:"descr"`
	Label    string   `json:"label,omitempty"`
	Value    float64  `json:"value"`
	State    string   `json:"state,omitempty"`
	Status   string   `json:"status"`
	Used     *float64 `json:"used,omitempty"`
	Total    *float64 `json:"total,omitempty"`
	Low      *float64 `json:"limit_low,omitempty"`
	LowWarn  *float64 `json:"limit_low_warn,omitempty"`
	HighWarn *float64 `json:"limit_high_warn,omitempty"`
	High     *float64 `json:"limit_high,omitempty"`
	Vanished bool     `json:"vanished"`
	RRDName  string   `json:"rrd_name"`
	SeenAt   *string  `json:"seen_at"`
}

func (p *program) printComponentList(list []device.Component) error {
	shown := make([]componentJSON, len(list))
	rows := make([][]string, len(list))
	for i := range list {
		c := &list[i]
		shown[i] = componentJSON{
			ID: c.ID, Kind: string(c.Kind), Class: c.Class, Type: c.Type, Index: c.Index, Descr: c.Descr, Label: c.Label, Value: c.Value,
			Status: string(c.Status), Used: c.Used, Total: c.Total, Low: c.Limits.Low, LowWarn: c.Limits.LowWarn,
			HighWarn: c.Limits.HighWarn, High: c.Limits.High, Vanished: c.Vanished, RRDName: c.RRDName, SeenAt: rfc3339(c.SeenAt),
		}
		value := strconv.FormatFloat(c.Value, 'f', -1, 64)
		switch state, known := c.State(c.Value); {
		case known:
			value, shown[i].State = state.Name, state.Name
		case c.Kind == device.KindHost:
			value = ""
		case c.Kind != device.KindSensor:
			value = percent(c.Value)
		}
		rows[i] = []string{string(c.Kind), c.Class, c.Label, c.Descr, value, bytesOf(c.Used), bytesOf(c.Total), string(c.Status)}
	}
	if p.asJSON {
		return p.printJSON(items[componentJSON]{shown})
	}
	if len(list) == 0 {
		fmt.Fprintln(p.out, "none was discovered")
		return nil
	}
	return p.printTable([]string{"kind", "class", "group", "component", "value", "used", "size", "status"}, rows)
}
