package store

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pollux/device"
)

func deviceFilter(t *testing.T, e engine) {
	g := addGroup(t, e, "filtered")
	var all []device.Device
	for _, name := range []string{"Filter_a1", "filterXa2", "filter-b1", "filter-b12"} {
		d := described()
		d.Group, d.Hostname, d.Interval, d.Disabled = g.ID, name, 60*(1+len(all)%2), len(all) == 3
		d, err := e.AddDevice(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	yes, no := true, false
	for name, c := range map[string]struct {
		filter Filter
		want   string
	}{
		"all":             {Filter{}, "0 1 2 3"},
		"star":            {Filter{Hostnames: []string{"FILTER*1"}}, "0 2"},
		"one underscore":  {Filter{Hostnames: []string{"filter_*"}}, "0"},
		"one character":   {Filter{Hostnames: []string{"filter?a?"}}, "0 1"},
		"no pattern":      {Filter{Hostnames: []string{"filter-b12"}}, "3"},
		"two patterns":    {Filter{Hostnames: []string{"*b*", "*2"}}, "3"},
		"everything":      {Filter{Hostnames: []string{"*"}}, "0 1 2 3"},
		"nothing":         {Filter{Hostnames: []string{"filter"}}, ""},
		"interval":        {Filter{Interval: 120}, "1 3"},
		"disabled":        {Filter{Disabled: &yes}, "3"},
		"not disabled":    {Filter{Disabled: &no}, "0 1 2"},
		"version":         {Filter{Version: "v2c"}, "0 1 2 3"},
		"another version": {Filter{Version: "v3"}, ""},
		"together":        {Filter{Disabled: &no, Interval: 60, Status: device.StatusNew}, "0 2"},
	} {
		c.filter.Group = &g.ID
		found, err := e.Devices(t.Context(), c.filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, d := range found {
			got = append(got, strconv.Itoa(slices.IndexFunc(all, func(a device.Device) bool { return a.ID == d.ID })))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: devices %v, want %s", name, got, c.want)
		}
	}
	for _, pattern := range []string{"", "a b", "%", "sw'1", "sw[12]", "sw\\1", "a\x00", strings.Repeat("*", 300)} {
		if _, err := e.Devices(t.Context(), Filter{Hostnames: []string{pattern}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("pattern %.20q: %v", pattern, err)
		}
	}
}
