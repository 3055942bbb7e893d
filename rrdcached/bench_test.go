package rrdcached

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// portUpdates are MaxBatch lines of 15 counters with realistic digits, one per file.
func portUpdates() []Update {
	updates := make([]Update, MaxBatch)
	for i := range updates {
		updates[i] = update(fmt.Sprintf("router-%02d.example.net/port-id%05d.rrd", i/48, i), at(0), counters(15, uint64(i)*7_919_000_000_003))
	}
	return updates
}

func ownCPU() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // cannot fail for RUSAGE_SELF
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func BenchmarkUpdateLines(b *testing.B) {
	updates, dst := portUpdates(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range updates {
			dst, _ = updates[i].appendTo(dst)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxBatch), "ns/line")
}

func BenchmarkBatchRoundTrip(b *testing.B) {
	for name, start := range map[string]func(testing.TB, ...string) *daemon{"unix": startDaemon, "tcp": startTCPDaemon} {
		b.Run(name, func(b *testing.B) {
			c, updates := start(b).dial(), portUpdates()
			schema := portSchema(300)
			schema.Archives = []Archive{{"AVERAGE", 0.5, 1, 10}}
			for i := range updates {
				must(b, c.Create(b.Context(), updates[i].File, schema, at(0), ""))
			}
			seconds, begun := int64(0), ownCPU()
			for b.Loop() {
				seconds++
				for i := range updates {
					updates[i].Time = at(seconds * 1000)
				}
				refusals, err := c.Batch(b.Context(), updates)
				must(b, err)
				must(b, refusals[0])
			}
			b.ReportMetric(float64((ownCPU()-begun).Nanoseconds())/float64(b.N*MaxBatch), "client-ns/line")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*MaxBatch), "wall-ns/line")
		})
	}
}
