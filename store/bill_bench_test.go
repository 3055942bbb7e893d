package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
)

// BenchmarkCollect keeps the readings of 10,000 ports (or POLLUX_BENCH_PORTS) in each round, in calls
// of 1,000, and says what one sample costs: statements, CPU of the database's server with all its
// processes, in the kernel's hundredths of a second, and CPU of this process.
func BenchmarkCollect(b *testing.B) {
	count := benchCount("POLLUX_BENCH_PORTS", 10_000)
	for _, name := range []string{"mysql", "pgsql"} {
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, databases()[name](b))
			ports := manyPorts(b, e, count)
			for chunk := range slices.Chunk(ports, 10_000) { // as many as a bill may have
				addedBill(b, e, describedAs(billing.CDR, 1), chunk...)
			}
			statements := &statementCount{}
			e.db = e.db.WithQueryHook(statements)
			round := 0
			next := func() {
				readings := make([]billing.Reading, 0, 1000)
				for i, id := range ports {
					readings = append(readings, readAt(id, round, uint64(round)*1_000_000_000+uint64(i), uint64(round)*2_000_000_000))
					if len(readings) == cap(readings) {
						if got, err := e.Collect(b.Context(), readings, readings[0].Read); err != nil || len(got) != len(readings) {
							b.Fatal(len(got), err)
						}
						readings = readings[:0]
					}
				}
				round++
			}
			next()
			next()
			before, own, first := serverCPU(b, e), ownCPU(b), statements.n.Load()
			rounds := round
			for b.Loop() {
				next()
			}
			samples := float64((round - rounds) * len(ports))
			b.ReportMetric(float64(serverCPU(b, e)-before)/1e3/samples, "µs-server/sample")
			b.ReportMetric(float64((ownCPU(b)-own).Nanoseconds())/1e3/samples, "µs-own/sample")
			b.ReportMetric(float64(statements.n.Load()-first)/samples*1000, "statements/1000-samples")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/samples, "µs/sample")
		})
	}
}

// BenchmarkCalculateBills calculates bills of 10 ports at the end of a month of
// 30 days, of which one slot is new. POLLUX_BENCH_BILLS is how many, 1,000 when it is not set.
func BenchmarkCalculateBills(b *testing.B) {
	bills := benchCount("POLLUX_BENCH_BILLS", 1000)
	for _, name := range []string{"mysql", "pgsql"} {
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, databases()[name](b))
			ids, ports := benchBills(b, e, bills)
			slot := 30*288 - 20
			next := func() {
				for n := 0; n < len(ports); n += 1000 {
					rows := make([]sampleRow, 0, 1000)
					for _, id := range ports[n:min(n+1000, len(ports))] {
						at := billStart.Unix() + int64(300*slot)
						rows = append(rows, sampleRow{PortID: id, Slot: at, SlotSeconds: 300, Slots: 1, ReadAt: at*1000 + 30_000, SpanMS: 300_000, In: id * 1000, Out: id * 7000})
					}
					if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				slot++
			}
			var took time.Duration
			var cpu int64
			rounds := 0
			for b.Loop() {
				b.StopTimer()
				next()
				b.StartTimer()
				before, started := serverCPU(b, e), time.Now()
				if err := e.CalculateBills(b.Context(), ids, billing.Calculation{Now: billStart.Add(time.Duration(slot) * 300 * time.Second), Interval: 300, Method: billing.Nearest}); err != nil {
					b.Fatal(err)
				}
				took += time.Since(started)
				cpu += serverCPU(b, e) - before
				rounds++
			}
			b.ReportMetric(took.Seconds()/float64(rounds*bills)*10_000, "s/10000-bills")
			b.ReportMetric(float64(cpu)/1e9/float64(rounds*bills)*10_000, "s-server/10000-bills")
		})
	}
}

// benchBills makes bills with a month of rates behind them.
func benchBills(b *testing.B, e engine, n int) (ids, ports []int64) {
	b.Helper()
	ports = manyPorts(b, e, 10*n)
	for i := range n {
		ids = append(ids, addedBill(b, e, describedAs(billing.CDR, 1e9), ports[10*i:10*i+10]...).ID)
	}
	for chunk := range int64(30 * 4) {
		begin := billStart.Unix() + chunk*billing.ChunkSeconds
		var slots billing.Chunk
		for i := range int64(72) {
			if chunk == 30*4-1 && i >= 50 {
				break
			}
			slots.Add(billing.Slot{Begin: begin + 300*i, Width: 300, In: uint64(1_000_000_000 + i*chunk%977*1_000_003), Out: uint64(2_000_000_000 + i*chunk%499*3_000_017)})
		}
		for done := 0; done < n; done += 1000 {
			rows := make([]dataRow, 0, 1000)
			for _, id := range ids[done:min(done+1000, n)] {
				rows = append(rows, dataRow{BillID: id, BeginAt: begin, Data: slots.Pack(begin)})
			}
			if _, err := e.db.NewInsert().Model(&rows).Returning("NULL").Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if _, err := e.db.NewUpdate().Table("bill_ports").Set("done_slot = ?", billStart.Unix()+300*(30*288-22)).Where("1 = 1").Exec(b.Context()); err != nil {
		b.Fatal(err)
	}
	return ids, ports
}

// benchCount is what an environment variable says, or a number of its own.
func benchCount(variable string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
		return n
	}
	return usual
}

// ownCPU is the CPU time of this process.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// statementCount counts what is sent, transactions' begins and ends left out.
type statementCount struct{ n atomic.Int64 }

func (c *statementCount) BeforeQuery(ctx context.Context, event *bun.QueryEvent) context.Context {
	if operation := event.Operation(); operation != "BEGIN" && operation != "COMMIT" && operation != "ROLLBACK" {
		c.n.Add(1)
	}
	return ctx
}

func (*statementCount) AfterQuery(context.Context, *bun.QueryEvent) {}

// serverCPU is the CPU time of the database's server and the processes that it started, in nanoseconds.
func serverCPU(b *testing.B, e engine) int64 {
	b.Helper()
	var pid int
	if e.config.Connection == "pgsql" {
		if err := e.db.NewRaw("SELECT pg_backend_pid()").Scan(b.Context(), &pid); err != nil {
			b.Fatal(err)
		}
		pid = processStat(b, pid).parent
	} else {
		var file string
		if err := e.db.NewRaw("SELECT @@pid_file").Scan(b.Context(), &file); err != nil {
			b.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			b.Fatal(err)
		}
	}
	server := processStat(b, pid)
	total := server.own + server.children
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range all {
		other, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil {
			continue
		}
		if stat := processStat(b, other); stat.parent == pid {
			total += stat.own
		}
	}
	return total * int64(time.Second) / 100 // USER_HZ
}

type processTimes struct {
	parent        int
	own, children int64 // hundredths of a second
}

// processStat reads /proc/PID/stat (proc_pid_stat(5)); zero for a process that is gone.
func processStat(b *testing.B, pid int) (p processTimes) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // the first is field 3
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i-3], 10, 64)
		return n
	}
	return processTimes{parent: int(number(4)), own: number(14) + number(15), children: number(16) + number(17)}
}
