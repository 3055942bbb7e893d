package device_test

import (
	"testing"

	"pollux/device"
)

func TestAValueThatSwingsAboutItsLimitCrossesItOnce(t *testing.T) {
	t.Parallel()
	at := func(n float64) *float64 { return &n }
	for name, c := range map[string]struct {
		class  string
		limits device.Limits
		values []float64
		want   []device.ComponentStatus
	}{
		"whole degrees": {
			"", device.Limits{HighWarn: at(60), High: at(70)}, []float64{60, 61, 60, 61, 59, 60, 71, 70, 69, 60, 59},
			[]device.ComponentStatus{"ok", "warning", "warning", "warning", "ok", "ok", "critical", "critical", "warning", "warning", "ok"},
		},
		"a negative limit": {
			"", device.Limits{Low: at(-10)}, []float64{-10.05, -9.95, -10.05, -9.89, -9.95},
			[]device.ComponentStatus{"critical", "critical", "critical", "ok", "ok"},
		},
		"limits close together": {
			"", device.Limits{LowWarn: at(3.29), HighWarn: at(3.31)}, []float64{3.311, 3.3095, 3.307, 3.289, 3.2905, 3.293},
			[]device.ComponentStatus{"warning", "warning", "ok", "warning", "warning", "ok"},
		},
		"a limit of 0":                {"", device.Limits{Low: at(0)}, []float64{-1, 0}, []device.ComponentStatus{"critical", "ok"}},
		"limits the wrong way around": {"", device.Limits{Low: at(70), High: at(60)}, []float64{65, 65}, []device.ComponentStatus{"critical", "critical"}},
		"as many as there should be":  {"count", device.Limits{LowWarn: at(2)}, []float64{1, 2}, []device.ComponentStatus{"warning", "ok"}},
		"too many":                    {"count", device.Limits{High: at(3)}, []float64{4, 3}, []device.ComponentStatus{"critical", "ok"}},
		"far too many": {
			"count", device.Limits{High: at(1000)}, []float64{1001, 991, 990}, []device.ComponentStatus{"critical", "critical", "ok"},
		},
		"a full battery":    {"charge", device.Limits{Low: at(100)}, []float64{99, 100}, []device.ComponentStatus{"critical", "ok"}},
		"more than a whole": {"percent", device.Limits{Low: at(120)}, []float64{119, 120.5, 121.3}, []device.ComponentStatus{"critical", "ok", "ok"}},
		"nearly all of it":  {"humidity", device.Limits{LowWarn: at(99.5)}, []float64{99, 99.9, 100}, []device.ComponentStatus{"warning", "warning", "ok"}},
		"no limit":          {"", device.Limits{}, []float64{1e9}, []device.ComponentStatus{"ok"}},
	} {
		component := device.Component{Kind: device.KindSensor, Class: c.class, Limits: c.limits}
		was := device.ComponentOK
		for i, value := range c.values {
			if was = component.StatusAfter(was, value); was != c.want[i] {
				t.Errorf("%s: %v is %s, want %s", name, value, was, c.want[i])
			}
		}
	}
	states := device.Component{States: []device.SensorState{{Value: 1, Severity: "ok"}, {Value: 2, Severity: "critical"}}}
	if got := states.StatusAfter("critical", 1); got != device.ComponentOK {
		t.Errorf("a state is %s", got)
	}
	if got := (&device.Component{Limits: device.Limits{High: at(70)}}).StatusAfter("unknown", 71); got != device.ComponentCritical {
		t.Errorf("it is %s", got)
	}
}
