package store

import (
	"testing"
	"time"

	"pollux/device"
)

// BenchmarkSavePoll writes polls of 48 ports; "changed" means that the state of every port changes each time.
func BenchmarkSavePoll(b *testing.B) {
	for name, database := range databases() {
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, database(b))
			for _, changing := range []bool{false, true} {
				b.Run(map[bool]string{false: "unchanged", true: "changed"}[changing], func(b *testing.B) {
					d := added(b, e)
					p := withPorts(pollOf(d, 0), manyReadings(48)...)
					next := func() {
						p.At, p.Slot = p.At.Add(time.Minute), p.Slot+60
						for i := range p.Ports {
							if changing {
								p.Ports[i].State.IfLastChange++
							}
						}
						save(b, e, p)
					}
					next()
					next()
					b.ReportAllocs()
					for b.Loop() {
						next()
					}
				})
			}
		})
	}
}

// BenchmarkPollTarget reads a device with 48 ports.
func BenchmarkPollTarget(b *testing.B) {
	for name, database := range databases() {
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, database(b))
			d := added(b, e)
			save(b, e, withPorts(pollOf(d, 0), manyReadings(48)...))
			b.ReportAllocs()
			for b.Loop() {
				var ports []device.Port
				var err error
				if _, ports, err = e.PollTarget(b.Context(), d.ID); err != nil || len(ports) != 48 {
					b.Fatal(len(ports), err)
				}
			}
		})
	}
}
