package main_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pollux/measurement"
	"pollux/simulator"
	"pollux/store"
)

// testArchives keep 20 minutes at 10 s, in 23 KB a port.
const testArchives = "AVERAGE:1x120 MAX:6x20"

// sampledPort is a port whose file is compared with the truth.
type sampledPort struct {
	device, port int // numbers of the simulation
	file         string
}

// pick chooses ports of different devices, the same ones in each run, and finds their files.
func (f *fleet) pick(s *store.Store, base string, n int) (picked []sampledPort) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(7, 11))
	for _, number := range random.Perm(f.devices)[:min(n, f.devices)] {
		d, err := s.Device(f.t.Context(), f.ids[number])
		if err != nil {
			f.t.Fatal(err)
		}
		ports, err := s.Ports(f.t.Context(), d.ID)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(ports) != f.ports {
			f.t.Fatalf("device %d has %d ports in the inventory, want %d", d.ID, len(ports), f.ports)
		}
		port := ports[random.IntN(len(ports))]
		picked = append(picked, sampledPort{
			device: number, port: int(port.State.IfIndex),
			file: filepath.Join(base, measurement.Path(d.RRDDir, measurement.KindPort, port.ID, port.Generation)),
		})
	}
	return picked
}

// row is one slot of an RRD file: the rates of the step that ends at second at.
type row struct {
	at      int64
	in, out float64
}

// fetch runs the real rrdtool over the files. With a daemon its FETCH writes
// what it holds first; without, the files are read as they are.
func (f *fleet) fetch(daemon string, ports []sampledPort, from, to int64) [][]row {
	f.t.Helper()
	var commands bytes.Buffer
	for _, p := range ports {
		commands.WriteString("fetch ")
		if daemon != "" {
			fmt.Fprintf(&commands, "--daemon %s ", daemon)
		}
		fmt.Fprintf(&commands, "%s AVERAGE -r %d -s %d -e %d\n", p.file, f.interval, from, to)
	}
	rrdtool := exec.Command("rrdtool", "-")
	rrdtool.Stdin = &commands
	out, err := rrdtool.Output()
	if err != nil {
		f.t.Fatalf("run rrdtool: %v: %.500s", err, out)
	}
	files := parseFetch(f.t, string(out))
	if len(files) != len(ports) {
		f.t.Fatalf("rrdtool answers for %d of %d files: %.500s", len(files), len(ports), out)
	}
	return files
}

// parseFetch reads the answers of "rrdtool -", each ended by a line "OK ...".
func parseFetch(t testing.TB, output string) (files [][]row) {
	t.Helper()
	var rows []row
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "ERROR") {
			t.Fatalf("rrdtool: %s", line)
		}
		if strings.HasPrefix(line, "OK ") {
			files, rows = append(files, rows), nil
			continue
		}
		when, rest, found := strings.Cut(line, ": ")
		at, err := strconv.ParseInt(when, 10, 64)
		values := strings.Fields(rest)
		if !found || err != nil || len(values) < 2 {
			continue // a heading
		}
		in, errIn := parseRate(values[0])
		out, errOut := parseRate(values[1])
		if errIn != nil || errOut != nil {
			t.Fatalf("rrdtool prints %q", line)
		}
		rows = append(rows, row{at, in, out})
	}
	return files
}

// parseRate reads a number of rrdtool, which prints what is unknown as nan or -nan.
func parseRate(text string) (float64, error) {
	return strconv.ParseFloat(strings.TrimPrefix(text, "-"), 64)
}

// accuracy is how well the files of some ports agree with the closed form.
type accuracy struct {
	slots   int     // compared, each direction for itself
	unknown int     // without a rate
	close   int     // within 0.5 %
	worst   float64 // relative error of a slot
	run     float64 // worst relative error of a port's rate over the whole run
}

func (a accuracy) String() string {
	return fmt.Sprintf("%d slots, %d unknown, %.2f %% within 0.5 %%, worst %.3f %%, worst over the run %.4f %%",
		a.slots, a.unknown, 100*float64(a.close)/float64(max(a.slots, 1)), 100*a.worst, 100*a.run)
}

// compare holds the rates of each port against the differences of its counter,
// from the first whole step after its first read up to the second to.
func (f *fleet) compare(ports []sampledPort, files [][]row, reads [][]time.Time, to int64) (a accuracy) {
	f.t.Helper()
	model, step := f.plan.Model(), int64(f.interval)
	for i, p := range ports {
		first := int64(math.MaxInt64)
		for _, at := range reads[p.device] {
			if at.After(f.added[p.device]) {
				first = (at.Unix()/step + 1) * step
				break
			}
		}
		for _, direction := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
			var measured, expected float64
			for _, r := range files[i] {
				if r.at-step < first || r.at > to {
					continue
				}
				a.slots++
				got := r.in
				if direction == simulator.OutOctets {
					got = r.out
				}
				if math.IsNaN(got) {
					a.unknown++
					continue
				}
				want := rate(model, p, direction, r.at-step, r.at)
				a.note(math.Abs(got-want) / want)
				if math.Abs(got-want)/want > 0.005 {
					f.t.Logf("DEBUG dev %d id %d port %d %v row %d got %g want %g (%.3f%%) first %d reads %v", p.device, f.ids[p.device], p.port, direction, r.at, got, want, 100*(got-want)/want, first, near(reads[p.device], r.at))
				}
				measured, expected = measured+got, expected+want
			}
			if expected > 0 {
				a.run = max(a.run, math.Abs(measured-expected)/expected)
			}
		}
	}
	return a
}

func (a *accuracy) note(relative float64) {
	a.worst = max(a.worst, relative)
	if relative <= 0.005 {
		a.close++
	}
}

// rate is what the counter of a port says of a stretch of time.
func rate(model simulator.Model, p sampledPort, direction simulator.Column, from, to int64) float64 {
	begin := model.Counter(p.device, p.port, direction, time.Unix(from, 0))
	end := model.Counter(p.device, p.port, direction, time.Unix(to, 0))
	return float64(end-begin) / float64(to-from)
}

// checkAccuracy fails the test unless the rates are right: within 0.5 % in 99 %
// of the slots, within 2 % in all, within 0.2 % over the run.
func checkAccuracy(t testing.TB, a accuracy, atLeast int) {
	t.Helper()
	t.Logf("rates: %v", a)
	if a.slots < atLeast {
		t.Errorf("only %d slots could be compared, want %d", a.slots, atLeast)
	}
	if a.unknown > 0 {
		t.Errorf("%d slots have no rate", a.unknown)
	}
	if float64(a.close) < 0.99*float64(a.slots-a.unknown) || a.worst > 0.02 || a.run > 0.002 {
		t.Errorf("the rates are not those of the devices: %v", a)
	}
}

func near(reads []time.Time, at int64) (list []float64) {
	for _, r := range reads {
		list = append(list, float64(r.UnixNano())/1e9-float64(at))
	}
	return list
}
