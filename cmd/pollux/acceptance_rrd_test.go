package main_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
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
	id           int64
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
			id: port.ID, device: number, port: int(port.State.IfIndex),
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

// compare holds the rates of each port against the differences of its counter,
// from the first whole step after its first read that came into the log up to the second to.
func (f *fleet) compare(ports []sampledPort, files [][]row, all [][]time.Time, logged history, to int64) (a accuracy) {
	f.t.Helper()
	model, reads := f.plan.Model(), f.recorded(all, logged.up)
	for i, p := range ports {
		first, read := f.steps(reads[p.device])
		dark := f.dark(reads[p.device])
		for at := range read {
			if at > first && at <= to && read[at+int64(f.interval)] && !dark[at] {
				a.whole += 2
			}
		}
		for _, direction := range []simulator.Column{simulator.InOctets, simulator.OutOctets} {
			var rows []compared
			taken := f.taken(p, direction, logged)
			for _, r := range files[i] {
				if r.at <= first || r.at > to {
					continue
				}
				if dark[r.at] {
					a.take(rows, float64(f.interval))
					rows = nil
					continue
				}
				got := r.in
				if direction == simulator.OutOctets {
					got = r.out
				}
				begin := r.at - int64(f.interval)
				// RRDtool 1.7 counts the seconds of a step that it fills from a later
				// update as whole ones: of the step before a missed one and the missed
				// one itself, one gets up to a second's worth of the other.
				gap := !read[r.at] || !read[r.at+int64(f.interval)]
				rows = append(rows, compared{got: got, want: rate(model, p, direction, begin, r.at), taken: rateTaken(taken, begin, r.at), gap: gap})
			}
			a.take(rows, float64(f.interval))
		}
	}
	return a
}

// steps are the ends of the steps of an RRD file in which a device was read,
// and the first of them.
func (f *fleet) steps(reads []time.Time) (first int64, read map[int64]bool) {
	first, read = math.MaxInt64, map[int64]bool{}
	step := int64(f.interval)
	for _, at := range reads {
		end := (at.Unix()/step + 1) * step
		first, read[end] = min(first, end), true
	}
	return first, read
}

// dark are the ends of the steps that touch a time without a read which is
// longer than the heartbeat: RRDtool gives them no rate.
func (f *fleet) dark(reads []time.Time) map[int64]bool {
	dark, step := map[int64]bool{}, int64(f.interval)
	sorted := slices.SortedFunc(slices.Values(reads), time.Time.Compare)
	for i := 1; i < len(sorted); i++ {
		from, to := sorted[i-1].Unix(), sorted[i].Unix()
		if to-from < int64(measurement.Heartbeat(f.interval)) {
			continue
		}
		for end := (from/step + 1) * step; end <= (to/step+1)*step; end += step {
			dark[end] = true
		}
	}
	return dark
}
