package admission_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pollux/admission"
	"pollux/device"
	"pollux/polluxtest"
	"pollux/simulator"
)

// A device whose answers never end in time is stored with what was read by then.
func TestSlowDeviceIsReadAsLongAsItsPolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "snmp.timeout", "4")
	at := simulate(t, simulator.Config{Listen: "127.0.0.1:0", Hostile: []string{simulator.Slow}}).Addr(0) // 1.9 s for each
	r := request("sw1", at)
	r.Device.Interval = 10
	began := time.Now()
	asked, err := w.open(false).Add(t.Context(), r)
	if took := time.Since(began); err != nil || asked.Device.Facts.SysName == "" || !strings.Contains(asked.Device.StatusReason, "too slow") || took > 20*time.Second {
		t.Errorf("after %v: %+v, %v", took, asked.Device, err)
	}
}

// Behind one that is slow only so many wait, each with all that was read of it.
func TestAddAllIsNotFarAhead(t *testing.T) {
	t.Parallel()
	const parallel, most = 4, 4 + 256
	w := newWorld(t)
	w.pinger.held, w.pinger.hold = netip.MustParseAddr("127.78.0.0"), make(chan struct{})
	var requests []admission.Request
	for i := range most + 40 {
		d := device.Device{Hostname: fmt.Sprintf("ups%d", i), Address: fmt.Sprintf("127.78.%d.%d", i/250, i%250), Interval: 60, Retries: -1, PingOnly: true}
		requests = append(requests, admission.Request{Device: d})
	}
	a, added, done := w.open(true), 0, make(chan error, 1)
	go func() {
		done <- a.AddAll(t.Context(), requests, parallel, func(_ int, r admission.Result) {
			if r.Err == nil {
				added++
			}
		})
	}()
	polluxtest.Eventually(t, time.Minute, "many are asked", func() bool { return w.pinger.count() >= most })
	asked := w.pinger.count()
	close(w.pinger.hold)
	if err := <-done; err != nil || added != len(requests) || asked != most {
		t.Errorf("%d of %d added, %d asked while the first one was: %v", added, len(requests), asked, err)
	}
}
