package journal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/polluxtest"
	"pollux/rrdcached"
)

// foreignFile makes a file of another kind in the place of a port's.
func (w *world) foreignFile(name string) {
	w.t.Helper()
	schema, err := measurement.Schema(measurement.KindUptime, step, 600, 0, archives("AVERAGE:1x10")())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(w.rrd.Base, name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := w.dial().Create(w.t.Context(), name, schema, time.Unix(w.begin, 0), ""); err != nil {
		w.t.Fatal(err)
	}
}

// moveAway does what docs/troubleshoot.md says about a file with other sources.
func (w *world) moveAway(name string) {
	w.t.Helper()
	path := filepath.Join(w.rrd.Base, name)
	if err := os.Rename(path, path+".old"); err != nil {
		w.t.Fatal(err)
	}
}

// A file with other sources is reported once, also after a reconnect, stops no
// other, and when it has been moved away its port gets a file of its own, although the daemon is told nothing.
func TestAFileWithOtherSourcesIsReportedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	log := w.logged()
	w.foreignFile(port(1001))
	r := w.record()
	const words = "other sources than are measured"
	for range 3 {
		w.poll(2, 4)
		w.drained()
	}
	w.kill()
	w.rrd.Start()
	polluxtest.Eventually(t, 10*time.Second, "the restart is seen", func() bool { return w.cursor()["instance"] == "1" })
	w.poll(2, 4)
	w.drained()
	if told := log.with("level=ERROR", words); len(told) != 1 {
		t.Errorf("it is told %d times: %v", len(told), told)
	}
	if told := log.with(words, "file="+port(1001), "docs/troubleshoot.md", "it has 1 sources, 15 are measured", "device=1"); len(told) != 1 {
		t.Errorf("what is told does not help: %v", log.with(words))
	}
	if others := log.with("level=ERROR"); len(others) != 1 {
		t.Errorf("it is told otherwise too: %v", others)
	}
	w.moveAway(port(1001))
	delete(w.counted, port(1001)) // what was measured until now is lost
	w.recovers(r, 4)
	for range 3 {
		w.poll(2, 4)
	}
	w.drained()
	w.counted[port(1001)] = w.counted[port(1001)][len(w.counted[port(1001)])-3:]
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}

// A file with other sources behind a good one of its directory is taken for good first, and found soon.
func TestAFileBehindAGoodOneIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	log := w.logged()
	first := w.record()
	w.poll(1, 30)
	w.drained()
	first.stop()
	if err := os.Remove(filepath.Join(w.rrd.Base, port(1020))); err != nil {
		t.Fatal(err)
	}
	if err := w.dial().Forget(t.Context(), port(1020)); err != nil {
		t.Fatal(err)
	}
	w.foreignFile(port(1020))
	w.record(func(r *journal.Recorder) { r.Inspect(2) })
	polluxtest.Eventually(t, 20*time.Second, "it is found", func() bool {
		w.poll(1, 30)
		w.drained()
		return len(log.with("other sources than are measured", "file="+port(1020))) == 1
	})
	w.poll(1, 30)
	w.drained()
	delete(w.counted, port(1020))
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
	if told := log.with("level=ERROR"); len(told) != 1 {
		t.Errorf("told is %v", told)
	}
}

// A file that was deleted under the daemon is made again.
func TestADeletedFileIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	first := w.record()
	w.poll(1, 3)
	w.drained()
	first.stop()
	if err := os.Remove(filepath.Join(w.rrd.Base, port(1001))); err != nil {
		t.Fatal(err)
	}
	w.record(func(r *journal.Recorder) { r.Inspect(2) })
	polluxtest.Eventually(t, 20*time.Second, "it is there", func() bool {
		w.poll(1, 3)
		w.drained()
		_, err := os.Stat(filepath.Join(w.rrd.Base, port(1001)))
		return err == nil
	})
}

// An entry from the future that did not come by Append does not close its files.
func TestASampleFromTheFutureIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, acceleratedWindow)
	r := w.record()
	w.poll(1, 2)
	future := w.entry(1, 2)
	for i := range future.Measurements {
		delete(w.counted, port(1000+int64(i)))
		future.Measurements[i].Time = time.Now().Add(10 * time.Second)
	}
	payload, err := journal.EncodeEntry(future)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.XAdd(t.Context(), &redis.XAddArgs{Stream: w.journal.Stream(), Values: []any{"e", payload}}).Err(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		w.poll(1, 2)
	}
	w.drained()
	if n := r.counter("pollux_journal_cut_total", "undecodable"); n != 1 {
		t.Errorf("%.0f entries are dropped, want 1", n)
	}
	if right, wrong := w.verdict(); wrong > 0 || right == 0 {
		t.Errorf("%d slots are right and %d are lost", right, wrong)
	}
}

// randomEntry is a poll as no poller would write it: values that their sources
// do not take, one file twice, times in any order within a second or two.
func randomEntry(random *rand.Rand, id int64, at time.Time) journal.Entry {
	e := journal.Entry{DeviceID: id, Slot: at.Unix(), Outcome: device.OutcomeUp, Dir: "sw" + itoa(int(id)), Step: step, Heartbeat: 600}
	for range 1 + random.IntN(8) {
		m := measurement.Measurement{
			Kind: measurement.KindPort, Instance: id*1000 + random.Int64N(5), Max: measurement.DefaultPortMax,
			Time: at.Add(time.Duration(random.Int64N(2000)) * time.Millisecond), Values: portValues(uint64(at.Unix())),
		}
		if random.IntN(6) == 0 {
			m.Kind, m.Instance, m.Values = measurement.KindUptime, 0, m.Values[:1]
		}
		for range random.IntN(3) {
			i := random.IntN(len(m.Values))
			m.Values[i] = []measurement.Value{
				measurement.Unknown(), measurement.Gauge(random.NormFloat64()), measurement.Gauge(float64(random.Int64())),
				measurement.Counter(random.Uint64()), measurement.Gauge(-5), measurement.Gauge(1e-320),
			}[random.IntN(6)]
		}
		e.Measurements = append(e.Measurements, m)
	}
	return e
}

// Whatever entries are accepted, and however often the daemon dies, it is never
// sent what it would have to drop when it writes: its log says so of every such file.
func TestNothingIsSentThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2*time.Second, "-w", "1", "-f", "2", "-t", "1", "-V", "LOG_NOTICE")
	random := rand.New(rand.NewPCG(31, 32))
	r := w.record()
	results := map[journal.Result]int{}
	at := time.Unix(w.begin, 0)
	for i := range 600 {
		at = at.Add(time.Duration(random.Int64N(2000)) * time.Millisecond)
		result, err := w.journal.Append(t.Context(), randomEntry(random, 1+random.Int64N(4), at))
		if err != nil {
			t.Fatal(err)
		}
		results[result]++
		if i%150 == 149 {
			w.drained()
			w.kill()
			w.rrd.Start()
			polluxtest.Eventually(t, 10*time.Second, "the restart is seen", func() bool { return w.cursor()["instance"] == fmt.Sprint((i+1)/150) })
		}
	}
	w.drained()
	written(t, w.dial())
	text, err := os.ReadFile(w.rrd.Log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "failed") && strings.Contains(line, "rrd_update") {
			t.Errorf("rrdcached dropped values: %s", line)
		}
	}
	if accepted, refused := r.counter("pollux_rrd_updates_total", "accepted"), r.counter("pollux_rrd_updates_total", "refused"); accepted < 300 || refused < 50 ||
		results[journal.Accepted] < 100 || results[journal.Stale] < 50 {
		t.Errorf("%.0f lines accepted, %.0f refused, %v: that proves little", accepted, refused, results)
	}
}

// written waits until the daemon has nothing left to write.
func written(t *testing.T, client *rrdcached.Client) {
	t.Helper()
	if err := client.FlushAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	var before rrdcached.Stats
	polluxtest.Eventually(t, 20*time.Second, "all is written", func() bool {
		stats, err := client.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done := stats.QueueLength == 0 && stats.DataSetsWritten == before.DataSetsWritten && stats.DataSetsWritten > 0
		before = stats
		return done
	})
}
