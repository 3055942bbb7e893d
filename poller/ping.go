package poller

import (
	"context"
	"time"

	"pollux/device"
)

// Pinger asks the device of a poll by ICMP. Its error is nil as soon as one of the tries is answered.
type Pinger interface {
	Ping(ctx context.Context, tries int, wait time.Duration) error
}

// PollPing polls a device that is asked by ICMP only: it is up when it answers
// one of the tries that the first SNMP request would get, else down. Nothing is measured.
func PollPing(ctx context.Context, p Pinger, t Target) Report {
	start := time.Now()
	report := Report{FirstRequest: start, Poll: device.Poll{DeviceID: t.Device.ID, At: start}}
	tries, wait := t.tries()
	err := p.Ping(ctx, tries, wait)
	took := time.Since(start)
	switch {
	case err == nil:
		report.Poll.Outcome = device.OutcomeUp
		report.Modules = []device.ModuleResult{{Name: "icmp", Duration: took}}
	case ctx.Err() != nil:
		report.Poll.Outcome = interrupted(ctx, took, tries, wait)
	default:
		report.Poll.Outcome = device.OutcomeDown
	}
	if err != nil {
		report.Poll.Reason = oneLine("icmp: " + err.Error())
	}
	report.Poll.Duration = took
	return report
}
