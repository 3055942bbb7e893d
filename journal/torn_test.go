package journal_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pollux/journal"
	"pollux/polluxtest"
)

// TestAFileThatIsTornByAKillIsMended leaves files as a daemon leaves them that
// is killed while it writes: some or all sources have the value of an update whose time the file lacks.
func TestAFileThatIsTornByAKillIsMended(t *testing.T) {
	t.Parallel()
	for name, mended := range map[string]bool{"with its last update stated again nothing is wrong": true, "without two steps are": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := func(r *journal.Recorder) {
				if !mended {
					r.WithoutRestating()
				}
			}
			const devices, ports, sources = 3, 10, 15
			w := newWorld(t, time.Minute, "-w", "600", "-z", "1", "-f", "3600", "-t", "1")
			r := w.record(set)
			for range 7 {
				w.poll(devices, ports)
			}
			w.drained()
			if err := w.dial().FlushAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			polluxtest.Eventually(t, 10*time.Second, "all is on disk", func() bool {
				stats, err := w.dial().Stats(t.Context())
				return err == nil && stats.QueueLength == 0 && stats.DataSetsWritten == 7*devices*ports
			})
			for range 5 {
				w.poll(devices, ports)
			}
			w.drained()
			w.rrd.Kill()
			torn := 0
			for file, samples := range w.counted {
				tear(t, filepath.Join(w.rrd.Base, file), 1+torn%sources, samples[7].count)
				torn++
			}
			w.rrd.Start()
			polluxtest.Eventually(t, 10*time.Second, "the recorder is back", func() bool { return w.cursor()["instance"] == "1" })
			w.poll(devices, ports)
			w.drained()
			right, wrong := w.verdict()
			t.Logf("%d files torn: %d slots right, %d wrong", torn, right, wrong)
			if mended != (wrong == 0) || right < 8*devices*ports*sources {
				t.Errorf("%d slots are right and %d wrong", right, wrong)
			}
			if refused := r.counter("pollux_rrd_updates_total", "refused"); refused != 0 {
				t.Errorf("%.0f lines were refused", refused)
			}
		})
	}
}

// header is what stands where in an RRD file of version 3 or 4 with one archive,
// as rrd_format.h describes it for machines of 64 bits.
type header struct {
	sources, rows, row int64
	last               float64 // Unix seconds
	prep, data         int64   // where the sources' state and the rows begin
}

func readHeader(t *testing.T, b []byte) header {
	t.Helper()
	word := func(at int64) int64 { return int64(binary.NativeEndian.Uint64(b[at:])) }
	h := header{sources: word(24)}
	if archives := word(32); archives != 1 {
		t.Fatalf("%d archives", archives)
	}
	archive := 128 + h.sources*120
	h.rows = word(archive + 24)
	live := archive + 120
	h.last = float64(word(live)) + float64(word(live+8))/1e6
	h.prep = live + 16
	h.data = h.prep + h.sources*(112+80) + 8
	h.row = word(h.data - 8)
	return h
}

// tear writes the last value of the first n sources into a file.
func tear(t *testing.T, path string, n int, count uint64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := readHeader(t, b)
	for i := range n {
		last := make([]byte, 30)
		copy(last, itoa(int(count)*(i+1)))
		copy(b[h.prep+int64(i)*112:], last)
	}
	if err := os.WriteFile(path, b, 0); err != nil {
		t.Fatal(err)
	}
}

// kill ends the daemon with SIGKILL.
func (w *world) kill() {
	w.t.Helper()
	w.rrd.Kill()
	w.lookForTears()
}

// lookForTears notes the files of a daemon that was just killed in which it
// had begun to write more of an update than its last values: no line that is sent later can
// mend the rows of such a file. It writes one file a thread at a time.
func (w *world) lookForTears() {
	w.t.Helper()
	for file, samples := range w.counted {
		b, err := os.ReadFile(filepath.Join(w.rrd.Base, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		h := readHeader(w.t, b)
		number := func(at int64) float64 { return math.Float64frombits(binary.NativeEndian.Uint64(b[at:])) }
		last := int64(math.Round(h.last * 1000))
		end := last / (step * 1000) * step * 1000
		if end-step*1000 < samples[0].ms {
			continue
		}
		row, rest := average(samples, end-step*1000, end), average(samples, end, last)*float64(last-end)/1000
		for i := range h.sources {
			inRow, inRest := number(h.data+(h.row*h.sources+i)*8), number(h.prep+i*112+40)
			if off(inRow, row*float64(i+1)) || last > end && off(inRest, rest*float64(i+1)) {
				w.torn[file] = true
			}
		}
	}
}

// off says whether a number is another than the one expected.
func off(got, expected float64) bool { return !(math.Abs(got-expected) <= expected*1e-3) }
