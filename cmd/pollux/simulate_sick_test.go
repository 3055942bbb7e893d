package main

import (
	"testing"
	"time"

	"pollux/simulator"
)

func TestSicknessesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for text, want := range map[string]simulator.Sickness{
		"reset@60":           {Ailment: simulator.Reset, At: now.Add(time.Minute)},
		"frozen@0-90":        {Ailment: simulator.Frozen, At: now, Until: now.Add(90 * time.Second)},
		"reboot@5:7":         {Ailment: simulator.Reboot, At: now.Add(5 * time.Second), Only: &simulator.Spot{Device: 7}},
		"frozen@5-6:7.2":     {Ailment: simulator.Frozen, At: now.Add(5 * time.Second), Until: now.Add(6 * time.Second), Only: &simulator.Spot{Device: 7, Port: 2}},
		"discontinuity@5:0.": {}, "reset": {}, "reset@": {}, "reset@x": {}, "reset@1-": {}, "reset@1:": {}, "reset@1:a": {}, "reset@1:1.0": {}, "reset@-1": {},
	} {
		got, err := sicknesses([]string{text}, now)
		if want.Ailment == "" {
			if err == nil {
				t.Errorf("%s is accepted: %+v", text, got)
			}
			continue
		}
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", text, got, err)
			continue
		}
		s := got[0]
		if s.Ailment != want.Ailment || !s.At.Equal(want.At) || !s.Until.Equal(want.Until) || (s.Only == nil) != (want.Only == nil) || s.Only != nil && *s.Only != *want.Only {
			t.Errorf("%s: %+v, want %+v", text, s, want)
		}
	}
}
