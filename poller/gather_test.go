package poller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pollux/device"
	"pollux/ping"
	"pollux/snmp"
)

// What modules measure that are switched off is not asked for, together with others neither.
func TestObjectsOfModulesThatAreOffAreNotAskedFor(t *testing.T) {
	t.Parallel()
	objects := boxWithPorts()
	components := known(t, objects)
	s := &scripted{Session: serveOne(t, objects)}
	target := knownBox(t, s, components)
	off := map[snmp.OID]bool{}
	for i := range components {
		for _, oid := range components[i].Reading.OIDs() {
			off[snmp.OID(oid)] = components[i].Kind == device.KindSensor
		}
	}
	asked := func() (found int) {
		for _, oids := range slices.Concat(s.greets, s.gets) {
			for _, oid := range oids {
				if off[oid] {
					found++
				}
			}
		}
		s.greets, s.gets = nil, nil
		return found
	}
	if asked() == 0 {
		t.Fatal("the device has no sensors")
	}
	target.ModulesOff = []string{"sensors"}
	for _, memory := range []*Memory{target.Memory, nil} {
		target.Memory = memory
		if r := Poll(t.Context(), s, target); r.Poll.Outcome != device.OutcomeUp || len(r.Poll.Components) == 0 || asked() > 0 {
			t.Errorf("%s %s, %d components, of sensors %d objects are asked for", r.Poll.Outcome, r.Poll.Reason, len(r.Poll.Components), asked())
		}
	}
}

// unhurried takes a second for a first request and three for a GET.
type unhurried struct{ quiet }

func (u unhurried) Greet(_ context.Context, _ int, _ time.Duration, oids ...snmp.OID) ([]snmp.Variable, error) {
	time.Sleep(time.Second)
	vars := make([]snmp.Variable, len(oids))
	for i := range oids {
		vars[i] = snmp.Variable{OID: oids[i], At: time.Now()}
	}
	return vars, nil
}

func (u unhurried) Get(context.Context, ...snmp.OID) ([]snmp.Variable, error) {
	time.Sleep(3 * time.Second)
	return nil, nil
}

// Modules share the time of requests that they share, by their objects, and nothing is counted twice.
func TestModulesShareTheTimeOfSharedRequests(t *testing.T) {
	t.Parallel()
	for first, memory := range map[time.Duration]*Memory{3 * time.Second: nil, time.Second: {quick: true, rows: 1}} {
		synctest.Test(t, func(t *testing.T) {
			target := Target{
				Device: device.Device{ID: 7, Generation: 4, Status: device.StatusUp, LastOutcome: device.OutcomeUp, PolledAt: time.Now(), CreatedAt: time.Now()},
				Memory: memory, Retries: 3, ModulesOff: []string{"availability"},
			}
			// The first request has room for some of the processors. The others come with the sensors.
			c := &Context{Target: target}
			room := fullRequest - len(c.system(memory != nil))
			if memory != nil {
				room-- // sysUpTime.0
			}
			for i := range room + 10 {
				target.Components = append(target.Components, device.Component{Kind: device.KindProcessor, Reading: device.Reading{Value: fmt.Sprint("1.3.6.1.", i)}})
			}
			for i := range 20 {
				target.Components = append(target.Components, device.Component{Kind: device.KindSensor, Reading: device.Reading{Value: fmt.Sprint("1.3.6.2.", i)}})
			}
			got := ownFiles(t, Poll(t.Context(), unhurried{}, target))
			want := map[string]float64{"poller-perf": first.Seconds() + 3, "poller-perf-core": first.Seconds(), "poller-perf-ports": 0, "poller-perf-processors": 1, "poller-perf-sensors": 2}
			if !maps.Equal(got, want) {
				t.Errorf("first request in %v: filed %v, want %v", first, got, want)
			}
		})
	}
}

// A device that ICMP finds dead leaves a memory, too; what it is asked first then is sysUpTime.0 alone.
func TestMemoryOfADeviceThatAnswersNoICMP(t *testing.T) {
	t.Parallel()
	s := &scripted{Session: serveOne(t, boxWithPorts())}
	target := knownBox(t, s, nil)
	target.Pinger = pinger{0, ping.Result{Sent: 3}, errSilent}
	for n, greets := range []int{1, 1} {
		r := Poll(t.Context(), s, target)
		if r.Poll.Outcome != device.OutcomeDown || !r.Poll.PortsComplete || len(r.Poll.Ports) != 7 || r.Memory == nil || r.Memory.portless() || len(s.greets) != greets {
			t.Errorf("poll %d: %s %s, %d ports, memory %+v, %d long requests", n, r.Poll.Outcome, r.Poll.Reason, len(r.Poll.Ports), r.Memory, len(s.greets))
		}
		target.Device.Status, target.Device.LastOutcome, target.Memory = device.StatusDown, device.OutcomeDown, r.Memory
		target.Memory.quick = true
	}
}
