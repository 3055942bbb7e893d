package store

import (
	"slices"
	"testing"

	"pollux/device"
)

func sharedAgents(t *testing.T, e engine) {
	for _, agent := range []struct {
		name, address string
		disabled      bool
	}{
		{"Chassis.example", "", false}, {"ctx-1", "chassis.example", false},
		{"alone", "", false}, {"ctx-2", "gone.example", false}, {"ctx-3", "gone.example", true},
	} {
		d := described()
		d.Hostname, d.Address, d.Port, d.Disabled = agent.name, agent.address, 1161, agent.disabled
		if _, err := e.AddDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	other := described()
	other.Hostname, other.Address, other.Port = "ctx-4", "alone", 1162
	if _, err := e.AddDevice(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	agents, err := e.SharedAgents(t.Context())
	if err != nil || !slices.Contains(agents, "chassis.example:1161") || slices.ContainsFunc(agents, func(a string) bool {
		return a == "alone:1161" || a == "alone:1162" || a == "gone.example:1161"
	}) {
		t.Errorf("shared agents %v, %v", agents, err)
	}
	moved, err := e.DeviceByHostname(t.Context(), "ctx-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.UpdateDevice(t.Context(), moved.ID, func(d *device.Device) error { d.Port = 1163; return nil }); err != nil {
		t.Fatal(err)
	}
	if agents, err = e.SharedAgents(t.Context()); err != nil || slices.Contains(agents, "chassis.example:1161") {
		t.Errorf("after one moved: %v, %v", agents, err)
	}
}
