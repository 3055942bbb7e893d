//go:build faults

package main_test

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/polluxtest"
)

// clockFile names the file with the seconds by which the faulty program's wall clock is off.
const clockFile = "FAULT_CLOCK_FILE"

// clockSource goes into the copy of asynq that the faulty program is built
// with: asynq writes its leases by each node's wall clock. Only the wall clock is off, not
// the monotonic one: a time.Time that has both keeps its wall seconds in the upper
// bits of its first word.
const clockSource = `package timeutil

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

var offset atomic.Int64 // seconds

func init() {
	name := os.Getenv("` + clockFile + `")
	if name == "" {
		return
	}
	readOffset(name)
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			readOffset(name)
		}
	}()
}

func readOffset(name string) {
	if text, err := os.ReadFile(name); err == nil {
		seconds, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		offset.Store(seconds)
	}
}

// Now is time.Now with a wall clock that is off.
func Now() time.Time {
	now := time.Now()
	*(*uint64)(unsafe.Pointer(&now)) += uint64(offset.Load()) << 30
	return now
}
`

const asynqModule = "github.com/hibiken/asynq"

// clockedModules copies asynq into a folder, lets the copy read the clock that is
// off, and returns the -modfile that builds with it.
func clockedModules(dir string) (modfile string, err error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", asynqModule).Output()
	if err != nil {
		return "", fmt.Errorf("find asynq: %w", err)
	}
	copied := filepath.Join(dir, "asynq")
	if err := os.CopyFS(copied, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(copied, "internal", "timeutil", "now.go"), []byte(clockSource), 0o600); err != nil {
		return "", err
	}
	replaced := 0
	for _, pattern := range []string{"*.go", "internal/timeutil/timeutil.go"} {
		files, err := filepath.Glob(filepath.Join(copied, pattern))
		if err != nil {
			return "", err
		}
		for _, file := range files {
			n, err := clockFileOf(file)
			if err != nil {
				return "", err
			}
			replaced += n
		}
	}
	if replaced < 8 {
		return "", fmt.Errorf("asynq reads the clock in %d places only", replaced)
	}
	return modfileFor(dir, copied)
}

// clockFileOf lets one source file read the clock that is off, and says in how many places it does.
func clockFileOf(file string) (places int, err error) {
	const call = "time.Now()"
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	text := string(raw)
	if places = strings.Count(text, call); places == 0 || strings.HasSuffix(file, "_test.go") {
		return 0, nil
	}
	if strings.HasSuffix(file, "timeutil.go") {
		text = strings.ReplaceAll(text, call, "Now()")
	} else {
		text = strings.ReplaceAll(text, call, "wallclock.Now()")
		text = strings.Replace(text, "import (", "import (\n\twallclock \""+asynqModule+"/internal/timeutil\"", 1)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		return 0, err
	}
	return places, os.WriteFile(file, []byte(text), 0o600)
}

// modfileFor copies go.mod and go.sum, with the copy in asynq's place.
func modfileFor(dir, copied string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			text = fmt.Appendf(text, "\nreplace %s => %s\n", asynqModule, copied)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "go.mod"), nil
}

// clocks are the wall clocks of nodes, by their names.
type clocks struct {
	t   *testing.T
	dir string
}

func newClocks(t *testing.T) clocks {
	t.Helper()
	return clocks{t, shortDir(t)}
}

func (c clocks) file(name string) string { return filepath.Join(c.dir, name) }

// set puts a node's wall clock off by so many seconds, at once.
func (c clocks) set(name string, seconds int) {
	c.t.Helper()
	next := c.file(name + ".next")
	if err := os.WriteFile(next, []byte(strconv.Itoa(seconds)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.file(name)); err != nil {
		c.t.Fatal(err)
	}
}

// environ tells a node where its clock is.
func (c clocks) environ(name string) []string { return []string{clockFile + "=" + c.file(name)} }

var disagrees = regexp.MustCompile(`the clock does not agree with Redis`)

// noticed is how soon a node must notice that its clock is off: it looks every 30 s.
const noticed = 40 * time.Second

// stands fails the test unless a node says that its clock is off, takes no task and does not lead.
func (w *world) stands(p *process) {
	w.t.Helper()
	p.said(disagrees, noticed)
	pass(w.t, p.name+" has changed its queues", time.Now().Add(5*time.Second))
	until(w.t, time.Minute, p.name+" has ended what it had begun", func() bool { return p.scrape().sum("pollux_polls_in_flight") == 0 && !leads(p) })
	if skew := p.scrape().sum("pollux_clock_skew_seconds"); math.Abs(skew) < 5 {
		w.t.Errorf("%s has a skew of %g s", p.name, skew)
	}
	if response, err := http.Get("http://" + p.address + "/readyz"); err != nil || response.StatusCode == http.StatusOK {
		w.t.Errorf("%s says that it is ready, %v", p.name, err)
	} else {
		_ = response.Body.Close()
	}
}

// TestFaultClocks sets the wall clocks of nodes wrong while they run: the
// leader's by a day, one consumer's by 90 s forward, one's by an hour back, and one
// starts 90 s back. They neither lead nor poll and say so; the others go on, and nothing
// lies in the future of an RRD file.
func TestFaultClocks(t *testing.T) {
	t.Parallel()
	c := newClocks(t)
	for _, name := range []string{"p1", "p2", "c1", "c2", "c3", "c4"} {
		c.set(name, 0)
	}
	c.set("c4", -90)
	w := newWorld(t, polluxtest.MariaDB, setup{producers: 2, consumers: 4, program: faultyProgram, environ: c.environ})
	w.stands(w.nodes["c4"])
	leader := w.leader()
	off := []*process{w.nodes["c2"], w.nodes["c3"], leader}
	began := time.Now()
	w.underWay(w.nodes["c2"], 1)
	c.set("c2", 90)
	c.set("c3", -3600)
	c.set(leader.name, 86_400)
	for _, p := range off {
		w.stands(p)
	}
	stood := time.Since(began)
	w.disturbed(began, time.Now())
	done := map[*process]float64{}
	for _, p := range append(off, w.nodes["c4"]) {
		done[p] = polls(p)
	}
	w.healed("the others poll all devices", time.Now(), 2)
	for p, before := range done {
		if now := polls(p); now > before || leads(p) {
			t.Errorf("%s polled %.0f devices with a clock that is off; it leads: %t", p.name, now-before, leads(p))
		}
	}
	if w.leader() == leader {
		t.Errorf("%s leads with a clock that is a day off", leader.name)
	}

	righted := time.Now()
	for _, name := range []string{"c2", "c3", "c4", leader.name} {
		c.set(name, 0)
	}
	until(t, 3*time.Minute, "the nodes poll again", func() bool {
		return polls(w.nodes["c2"]) > done[w.nodes["c2"]] && polls(w.nodes["c3"]) > done[w.nodes["c3"]] && polls(w.nodes["c4"]) > 0
	})
	again := time.Since(righted)
	w.healed("all devices are polled in a whole slot", time.Now(), 1)
	w.calm[w.nodes["c4"]] = w.calm[w.nodes["c1"]] // its own levels are those of a node that stands still
	o := w.finish("four clocks off by -90 s to a day: the nodes stood still after at most %v and polled again %v after they were right", stood.Round(time.Second), again.Round(time.Second))
	if o.inRow > 1 {
		t.Errorf("a device missed %d slots in a row", o.inRow)
	}
	w.checkRecorded(o)
	w.checkLastUpdates()
}

// checkLastUpdates fails the test when a file's last update lies in the future.
func (w *world) checkLastUpdates() {
	w.t.Helper()
	for _, p := range w.pick(w.store, w.rrd.Base, 60) {
		out, err := exec.Command("rrdtool", "last", "--daemon", w.rrd.Address, p.file).Output()
		last, parseErr := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil || parseErr != nil || last > time.Now().Unix() {
			w.t.Errorf("the last update of %s is %q, %v", p.file, out, err)
		}
	}
}
