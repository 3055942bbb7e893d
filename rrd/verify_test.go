package rrd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/rrd"
	"pollux/rrdcached"
)

// TestAHealthyPairIsEqualWhileEntriesFlow compares two RRDCached that are fed at the same time, again and again.
func TestAHealthyPairIsEqualWhileEntriesFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(w.a)
	w.record(w.b)
	w.poll()
	w.drained(w.a, w.b)
	stop := w.pollWhile()
	for range 5 {
		result, found := w.verify()
		if len(found) > 0 || result.Behind > 0 || result.Files != 15 || result.Devices != 3 || result.Absent != 3*ownFiles {
			t.Errorf("%+v: %v", result, found)
		}
	}
	stop()
	w.drained(w.a, w.b)
	if result, found := w.verify(); len(found) > 0 || result.Rows != 15*(60+40+20+40+20) {
		t.Errorf("at the end: %+v: %v", result, found)
	}
}

// TestShortArchivesMoveOnUnderTheComparison: the first row of an archive goes away while it is read.
func TestShortArchivesMoveOnUnderTheComparison(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rra = "AVERAGE:1x12 MAX:1x14"
	w.record(w.a)
	w.record(w.b)
	w.poll()
	w.drained(w.a, w.b)
	stop := w.pollWhile()
	for range 15 {
		if result, found := w.verify(); len(found) > 0 { // some may move too fast to be judged
			t.Errorf("%+v: %v", result, found)
		}
	}
	stop()
	w.drained(w.a, w.b)
	if result, found := w.verify(); len(found) > 0 || result.Behind > 0 || result.Rows != 15*(12+14) {
		t.Errorf("at the end: %+v: %v", result, found)
	}
}

// other is a file that both RRDCached get of this test, as another writer may make it.
type other struct {
	t       *testing.T
	name    string
	from    int64
	clients []*rrdcached.Client
	sources []rrdcached.Source // of the file, from create on
}

// other creates a file in both trees.
func (w *world) other(name string, archives string) *other {
	w.t.Helper()
	o := &other{name: name, from: w.begin, clients: []*rrdcached.Client{w.dial(w.a), w.dial(w.b)}, t: w.t}
	for _, client := range o.clients {
		o.create(client, step, "INOCTETS", archives)
	}
	return o
}

func (o *other) create(client *rrdcached.Client, step int, source, archives string) {
	o.t.Helper()
	parsed, err := rrdcached.ParseArchives(archives)
	must(o.t, err)
	o.sources = []rrdcached.Source{{Name: source, Type: "GAUGE", Heartbeat: 600, Min: rrdcached.NoLimit, Max: rrdcached.NoLimit}}
	must(o.t, client.Create(o.t.Context(), o.name, rrdcached.Schema{Step: step, Archives: parsed, Sources: o.sources}, at(o.from), ""))
}

// update sends the value of one step to one end, or to both.
func (o *other) update(slot int, value float64, clients ...*rrdcached.Client) {
	o.t.Helper()
	if len(clients) == 0 {
		clients = o.clients
	}
	for _, client := range clients {
		must(o.t, client.Update(o.t.Context(), rrdcached.Update{
			File: o.name, Time: at(o.from + int64(slot)*step), Values: []rrdcached.Value{rrdcached.Gauge(value)}, Sources: o.sources,
		}))
	}
}

// remove takes the file away from one end.
func (o *other) remove(s *polluxtest.Server, client *rrdcached.Client) {
	o.t.Helper()
	must(o.t, os.Remove(filepath.Join(s.Base, o.name)))
	if err := client.Forget(o.t.Context(), o.name); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
		o.t.Fatal(err)
	}
}

// TestVerifyFindsWhatDiffers plants one difference of each kind beside files that are equal.
func TestVerifyFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stopA, stopB := w.record(w.a), w.record(w.b)
	w.poll()
	w.drained(w.a, w.b)
	stopA()
	stopB()
	d := device.Device{ID: 9, Hostname: "planted.example.net", RRDDir: "planted"}
	w.devices = append(w.devices, d)
	const archives = "AVERAGE:1x60 MAX:6x20"
	file := func(port int64) *other {
		w.ports[d.ID] = append(w.ports[d.ID], device.Port{ID: port, DeviceID: d.ID})
		return w.other(text("planted/port-id", port, ".rrd"), archives)
	}
	equal, value, unknown, missing, step2, source, archive, late := file(1), file(2), file(3), file(4), file(5), file(6), file(7), file(8)
	for slot := 1; slot <= 30; slot++ {
		equal.update(slot, float64(slot), equal.clients[0])
		equal.update(slot, float64(slot)*(1+9e-5), equal.clients[1]) // as after Restate, at worst
		for _, o := range []*other{missing, step2, source, archive, late} {
			o.update(slot, float64(slot))
		}
		x := float64(slot)
		if slot == 17 {
			x += 0.02
		}
		value.update(slot, float64(slot), value.clients[0])
		value.update(slot, x, value.clients[1])
		unknown.update(slot, float64(slot), unknown.clients[1])
	}
	unknown.update(30, 30, unknown.clients[0])
	missing.remove(w.b, missing.clients[1])
	for _, o := range []*other{step2, source, archive} {
		o.remove(w.b, o.clients[1])
	}
	step2.create(step2.clients[1], 60, "INOCTETS", archives)
	source.create(source.clients[1], step, "OUTOCTETS", archives)
	archive.create(archive.clients[1], step, "INOCTETS", "AVERAGE:1x61 MAX:6x20")
	late.update(31, 31, late.clients[0])

	result, found := w.verify()
	want := map[string]rrd.Difference{
		value.name:   {What: rrd.DifferentRows, First: at(w.begin + 170), Rows: 1, From: "INOCTETS 17", To: "INOCTETS 17.02"},
		unknown.name: {What: rrd.DifferentRows, First: at(w.begin), From: "INOCTETS 30", To: "INOCTETS 1"},
		missing.name: {What: rrd.DifferentExistence, From: "there", To: "missing"},
		step2.name:   {What: rrd.DifferentStep, From: "10 s", To: "60 s"},
		source.name:  {What: rrd.DifferentSources, From: "INOCTETS:GAUGE:600:U:U", To: "OUTOCTETS:GAUGE:600:U:U"},
		archive.name: {What: rrd.DifferentArchives, From: archives, To: "AVERAGE:1x61 MAX:6x20"},
		late.name: {
			What: rrd.DifferentUpdate, From: at(w.begin + 310).UTC().Format(time.RFC3339), To: at(w.begin + 300).UTC().Format(time.RFC3339),
		},
	}
	if result.Behind != 0 || result.Files != 15+8 || len(found) != len(want) {
		t.Errorf("%+v: %v", result, found)
	}
	for name, difference := range want {
		difference.File, difference.Device = name, "planted.example.net"
		if difference.Rows == 0 {
			difference.Rows = found[name].Rows
		}
		if !found[name].First.Equal(difference.First) {
			t.Errorf("%s: first %v, want %v", name, found[name].First.UTC(), difference.First.UTC())
		}
		difference.First = found[name].First
		if found[name] != difference {
			t.Errorf("%s:\n got %+v\nwant %+v", name, found[name], difference)
		}
	}
}

// TestVerifySeesEveryArchive plants a difference that only a coarse archive still shows.
func TestVerifySeesEveryArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.identify(w.a)
	w.identify(w.b)
	w.devices = []device.Device{{ID: 9, Hostname: "planted", RRDDir: "planted"}}
	for port, slot := range map[int64]int{1: 440, 2: 350, 3: 150} { // in 1x60, only in 6x40, only in 24x20
		w.ports[9] = append(w.ports[9], device.Port{ID: port, DeviceID: 9})
		o := w.other(text("planted/port-id", port, ".rrd"), "AVERAGE:1x60 6x40 24x20")
		for n := 1; n <= 480; n++ {
			x := float64(n)
			if n == slot {
				x++
			}
			o.update(n, float64(n), o.clients[0])
			o.update(n, x, o.clients[1])
		}
	}
	result, found := w.verify()
	if len(found) != 3 || result.Absent != 1+ownFiles {
		t.Errorf("%+v: %v", result, found)
	}
	length := map[string]int64{"planted/port-id1.rrd": 10, "planted/port-id2.rrd": 60, "planted/port-id3.rrd": 240}
	for name, slot := range map[string]int64{"planted/port-id1.rrd": 440, "planted/port-id2.rrd": 350, "planted/port-id3.rrd": 150} {
		begin, end := found[name].First.Unix()-length[name], found[name].First.Unix()
		if sample := w.begin + slot*step; sample <= begin || sample > end {
			t.Errorf("%s: the first row ends at %d, the sample was at %d", name, end, sample)
		}
	}
}

// TestAnEndThatIsBehindIsNoDifference has one RRDCached without a recorder.
func TestAnEndThatIsBehindIsNoDifference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.record(w.a)
	stop := w.record(w.b)
	for range 20 {
		w.poll()
	}
	w.drained(w.a, w.b)
	stop()
	w.ports[1] = append(w.ports[1], device.Port{ID: 199, DeviceID: 1}) // only one end will have its file
	for range 20 {
		w.poll()
	}
	w.drained(w.a)
	if result, found := w.verify(); len(found) > 0 || result.Behind != 16 || result.Files != 16 || result.Rows == 0 {
		t.Errorf("%+v: %v", result, found)
	}
	w.record(w.b)
	w.drained(w.b)
	if result, found := w.verify(); len(found) > 0 || result.Behind != 0 {
		t.Errorf("when it is back: %+v: %v", result, found)
	}
}

// TestVerifyGoesOnBehindUnreadableFiles damages files in four ways.
func TestVerifyGoesOnBehindUnreadableFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stopA, stopB := w.record(w.a), w.record(w.b)
	w.poll()
	w.drained(w.a, w.b)
	stopA()
	stopB()
	w.damage(w.b, "sw1/port-id100.rrd", func([]byte) []byte { return []byte("no RRD file") })
	w.damage(w.a, "sw2/port-id201.rrd", func(data []byte) []byte { return data[:len(data)-1000] })
	w.damage(w.b, "sw3/port-id302.rrd", func(data []byte) []byte { data[130] = ' '; return data }) // in the name of its first source
	w.damage(w.a, "sw3/uptime.rrd", func([]byte) []byte { return nil })
	must(t, os.Remove(filepath.Join(w.b.Base, "sw3/uptime.rrd")))
	if err := w.dial(w.b).Forget(t.Context(), "sw3/uptime.rrd"); err != nil && !errors.Is(err, rrdcached.ErrNoFile) {
		t.Fatal(err)
	}
	result, found := w.verify()
	if result.Files != 15 || result.Devices != 3 || result.Behind != 0 || len(found) != 4 {
		t.Errorf("%+v: %v", result, found)
	}
	for name, want := range map[string]struct{ from, to string }{
		"sw1/port-id100.rrd": {"readable", "RRD Error"}, "sw2/port-id201.rrd": {"too small", "readable"},
		"sw3/port-id302.rrd": {"readable", "makes no sense"}, "sw3/uptime.rrd": {"", "missing"},
	} {
		d := found[name]
		if d.What != rrd.Unreadable || d.Device == "" || !strings.Contains(d.From, want.from) || d.From == "" || !strings.Contains(d.To, want.to) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.identify(w.a)
	foreign := polluxtest.RRDCached(t)
	_, err := journal.Identify(t.Context(), w.dial(foreign), strings.Repeat("ab", 9))
	must(t, err)
	for name, c := range map[string]struct {
		to   string
		want error
	}{
		"itself":          {w.a.Address, rrd.ErrSameTarget},
		"no tree":         {w.b.Address, rrd.ErrNotTree},
		"another cluster": {foreign.Address, journal.ErrOtherCluster},
		"nothing there":   {"unix:/nowhere/rrd.sock", rrdcached.ErrConnection},
	} {
		_, err := rrd.Verify(t.Context(), rrd.VerifyConfig{
			Journal: w.journal, ClusterID: clusterID, From: w.a.Address, To: c.to, Ports: w.portsOf,
			Report: func(d rrd.Difference) { t.Errorf("%s: %+v", name, d) },
		}, each(w.devices))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if left := names(t, w.b.Base); len(left) > 0 {
		t.Errorf("it wrote %v", left)
	}
}
