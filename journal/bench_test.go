package journal_test

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pollux/journal"
	"pollux/polluxtest"
)

// BenchmarkAppend appends polls of 48 ports one by one.
func BenchmarkAppend(b *testing.B) {
	j := journal.New(dialRedis(b, polluxtest.Redis(b)), 0)
	e := traffic(48, 0.6)
	at := time.Now().Add(-24 * time.Hour)
	begin := processTime()
	n := 0
	for b.Loop() {
		n++
		e.DeviceID = int64(n)
		for i := range e.Measurements {
			e.Measurements[i].Time = at
		}
		if result, err := j.Append(b.Context(), e); err != nil || result != journal.Accepted {
			b.Fatal(result, err)
		}
	}
	b.ReportMetric(float64((processTime()-begin).Microseconds())/float64(n), "cpu-us/op")
}

// BenchmarkRecord carries polls of 48 ports from the log to rrdcached, the files being there and asked.
func BenchmarkRecord(b *testing.B) {
	const devices = 20
	client := dialRedis(b, polluxtest.Redis(b))
	rrd := polluxtest.RRDCached(b)
	j := journal.New(client, 0)
	w := &world{client: client}
	recorder, err := journal.NewRecorder(j, journal.RecorderConfig{
		Target: rrd.Address, ClusterID: clusterID, FlushWindow: func() time.Duration { return time.Hour }, Archives: archives("AVERAGE:1x20"),
	}, w.newLease, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	at := time.Now().Add(-24 * time.Hour)
	fill := func(n int) {
		for i := range n {
			if i%devices == 0 {
				at = at.Add(2 * time.Second)
			}
			if result, err := j.Append(b.Context(), portEntry(int64(i%devices)+1, at.Unix(), at, 48)); err != nil || result != journal.Accepted {
				b.Fatal(result, err)
			}
		}
	}
	drain := func() {
		polluxtest.Eventually(b, time.Minute, "the log is recorded", func() bool {
			status, err := j.Status(b.Context())
			return err == nil && len(status.Targets) == 1 && status.Targets[0].Lag == 0
		})
	}
	fill(devices) // the files are created
	run(b, recorder, drain)
	n := max(b.N, 500)
	fill(n)
	b.ResetTimer()
	begin := processTime()
	run(b, recorder, drain)
	b.ReportMetric(float64((processTime()-begin).Microseconds())/float64(n), "cpu-us/entry")
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkRecordCold is the first term of a fresh process: one poll of each device, whose 48 files are there
// and were never asked.
func BenchmarkRecordCold(b *testing.B) {
	const devices = 200
	client := dialRedis(b, polluxtest.Redis(b))
	rrd := polluxtest.RRDCached(b)
	j := journal.New(client, 0)
	w := &world{client: client}
	at := time.Now().Add(-24 * time.Hour)
	term := func() {
		at = at.Add(2 * time.Second)
		for id := range int64(devices) {
			if result, err := j.Append(b.Context(), portEntry(id+1, at.Unix(), at, 48)); err != nil || result != journal.Accepted {
				b.Fatal(result, err)
			}
		}
		recorder, err := journal.NewRecorder(j, journal.RecorderConfig{
			Target: rrd.Address, ClusterID: clusterID, FlushWindow: func() time.Duration { return time.Hour }, Archives: archives("AVERAGE:1x20"),
		}, w.newLease, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		run(b, recorder, func() {
			polluxtest.Eventually(b, time.Minute, "the log is recorded", func() bool {
				status, err := j.Status(b.Context())
				return err == nil && len(status.Targets) == 1 && status.Targets[0].Lag == 0
			})
		})
		b.StopTimer()
	}
	term() // the files are created
	b.ResetTimer()
	for range b.N {
		term()
	}
	b.ReportMetric(float64(devices*b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(devices*48*b.N), "us/file")
}

// run lets a recorder work until done returns.
func run(b *testing.B, recorder *journal.Recorder, done func()) {
	ctx, cancel := context.WithCancel(b.Context())
	finished := make(chan error, 1)
	go func() { finished <- recorder.Run(ctx) }()
	done()
	cancel()
	if err := <-finished; err != nil {
		b.Fatal(err)
	}
}

// processTime is the CPU time of this process.
func processTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
