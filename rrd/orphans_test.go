package rrd_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/polluxtest"
	"pollux/rrd"
	"pollux/rrdcached"
)

const window = time.Hour

// cleared is a world whose tree has files of all kinds: device 1 is there, 2 was removed long ago, 3 lately.
type cleared struct {
	*world
	removed []device.Removed
	config  rrd.OrphansConfig
}

func newCleared(t *testing.T) *cleared {
	t.Helper()
	w := &cleared{world: newWorld(t)}
	w.devices[0].Generation = 1
	w.ports[1][0].Generation = 2
	w.record(w.a)
	w.poll()
	w.drained(w.a)
	client := w.dial(w.a)
	for _, file := range w.files() {
		if _, err := os.Stat(filepath.Join(w.a.Base, file)); err == nil {
			must(t, client.Flush(t.Context(), file))
		}
	}
	recorded := func(name string) { // as recorded, but of something that is not in the inventory any more
		data, err := os.ReadFile(filepath.Join(w.a.Base, "sw1/port-id101.rrd"))
		must(t, err)
		plant(t, w.a.Base, name, string(data))
	}
	recorded("sw1/port-id100.rrd") // older generations of a port that is there
	recorded("sw1/port-id100-g1.rrd")
	recorded("sw1/port-id100-g3.rrd")
	recorded("sw1/port-id55.rrd")
	recorded("sw1/port-id57000.rrd")
	recorded("sw1/port-id56.rrd") // this one is young
	recorded("sw1/fan-hr-1.rrd")
	recorded("sw2/fan-hr-1.rrd")
	recorded("sw2/deeper/port-id1.rrd")
	recorded("moved/port-id1.rrd")
	recorded("gone/port-id1.rrd")
	recorded("back/port-id800.rrd")
	recorded("left/port-id1.rrd")
	recorded("libre/port-id1.rrd")
	recorded("loose.rrd")
	must(t, os.Mkdir(filepath.Join(w.a.Base, "hollow"), 0o755))
	must(t, os.Symlink("/etc/passwd", filepath.Join(w.a.Base, "sw2", "port-id9.rrd")))
	must(t, os.Symlink("sw1", filepath.Join(w.a.Base, "linked")))
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range names(t, w.a.Base) {
		if path := filepath.Join(w.a.Base, name); name != "sw1/port-id56.rrd" && !strings.Contains(name, "link") && name != "sw2/port-id9.rrd" {
			must(t, os.Chtimes(path, old, old))
		}
	}
	removed := func(id int64, dir string, ago time.Duration) {
		w.removed = append(w.removed, device.Removed{ID: id, RRDDir: dir, At: time.Now().Add(-ago)})
	}
	removed(2, "sw2", 72*time.Hour)
	removed(3, "sw3", window*3/2)
	removed(4, "hollow", 72*time.Hour)
	removed(5, "linked", 72*time.Hour)
	// Of device 7 journal and inventory agree, of 6 and 8 they do not: 8 is here. Device 9 was removed from the other shard.
	w.devices = append(w.devices[:1], device.Device{ID: 6, RRDDir: "moved", Shard: 1}, device.Device{ID: 7, RRDDir: "gone", Shard: 1}, device.Device{ID: 8, RRDDir: "back", Shard: 1})
	w.ports[8] = []device.Port{{ID: 800, DeviceID: 8}}
	w.removed = append(w.removed, device.Removed{ID: 9, RRDDir: "left", Shard: 1, At: time.Now().Add(-72 * time.Hour)})
	w.config = rrd.OrphansConfig{
		Homes:   map[int64]int{7: 1, 8: 0, 9: 1},
		Journal: w.journal, ClusterID: clusterID, Tree: w.a.Base, Addresses: []string{w.b.Address, w.a.Address}, Window: window,
		Devices: each(w.devices), Removed: func(yield func(device.Removed, error) bool) { each(w.removed)(yield) }, Ports: w.portsOf, LastPort: 1000,
	}
	w.settle(0)
	return w
}

// settle makes the source's durable position that of the log's end, or of so long ago.
func (w *cleared) settle(ago time.Duration) {
	w.t.Helper()
	id, err := w.journal.End(context.Background())
	must(w.t, err)
	if ago > 0 {
		id = "0-0"
	}
	w.identify(w.a)
	must(w.t, w.client.HSet(context.Background(), "pollux:{journal:0}:cursor:"+w.identify(w.a), "durable", id).Err())
}

func (w *cleared) find() rrd.Orphans {
	w.t.Helper()
	found, err := rrd.FindOrphans(w.t.Context(), w.config)
	must(w.t, err)
	return found
}

func orphaned(found rrd.Orphans) (all []string) {
	for _, o := range found.Files {
		all = append(all, o.File)
	}
	slices.Sort(all)
	return all
}

var wantOrphans = []string{
	"gone/port-id1.rrd", "hollow/", "left/port-id1.rrd", "sw1/port-id55.rrd",
	"sw2/port-id200.rrd", "sw2/port-id201.rrd", "sw2/port-id202.rrd", "sw2/port-id203.rrd", "sw2/uptime.rrd",
}

func TestOrphansAreWhatNothingOwns(t *testing.T) {
	t.Parallel()
	w := newCleared(t)
	found := w.find()
	if got := orphaned(found); !slices.Equal(got, wantOrphans) {
		t.Errorf("orphans %v, want %v", got, wantOrphans)
	}
	kinds := map[string]rrd.OrphanKind{"gone/port-id1.rrd": rrd.OrphanMoved, "sw1/port-id55.rrd": rrd.OrphanPort}
	for _, o := range found.Files {
		if want := kinds[o.File]; o.Kind != want && (want != "" || o.Kind != rrd.OrphanRemoved) || o.Kind == rrd.OrphanMoved && o.Why != "device 7 was moved to shard 1" {
			t.Errorf("%s is %s: %s", o.File, o.Kind, o.Why)
		}
		if o.File == "sw1/port-id55.rrd" && o.Why != "device 1 has no port 55" || strings.HasPrefix(o.File, "sw2/") && !strings.HasPrefix(o.Why, "device 2 was removed at ") {
			t.Errorf("%s: %s", o.File, o.Why)
		}
	}
	var foreign []string
	for _, f := range found.Foreign {
		foreign = append(foreign, text(f.Directory, " ", f.Files, " ", f.Why))
	}
	slices.Sort(foreign)
	want := []string{
		". 2 not in the directory of a device", "libre 1 no device ever had this directory", "moved 1 device 6 is in shard 1",
		"sw1 1 a later generation than the inventory knows", "sw1 1 a port with a higher id than the inventory knows", "sw1 1 not a file of Pollux", "sw2 3 not a file of Pollux",
	}
	if !slices.Equal(foreign, want) {
		t.Errorf("foreign %q,\nwant %q", foreign, want)
	}
	// Of device 1: 3 ports, 3 generations of the fourth, uptime-g1; of device 3 all 5; of device 8 one port.
	if found.Owned != 3+3+1+5+1 || found.Young != 1 || found.More != 0 {
		t.Errorf("%d owned, %d young, %d more", found.Owned, found.Young, found.More)
	}

	w.config.Older = 50 * time.Hour
	if got := orphaned(w.find()); !slices.Equal(got, []string{"hollow/"}) {
		t.Errorf("of those older than 50 hours: %v", got)
	}
	w.config.Older = 0
	w.removed[1].At = time.Now().Add(-3 * window)
	if got := orphaned(w.find()); len(got) != len(wantOrphans)+5 {
		t.Errorf("when all twice the window ago: %v", got)
	}
	w.removed[1].At, w.removed[0].At = time.Now(), time.Now().Add(-3*window)
	w.settle(time.Hour) // the log may be sent again from its beginning, which is younger than the removal of device 2
	if got := orphaned(w.find()); !slices.Equal(got, wantOrphans) {
		t.Errorf("with a log that is younger: %v", got)
	}
}

// TestAReplayKeepsFiles: a device was removed long ago, but the log that may be sent again is older still.
func TestAReplayKeepsFiles(t *testing.T) {
	t.Parallel()
	w := newCleared(t)
	must(t, w.client.XTrimMaxLen(t.Context(), "pollux:{journal:0}", 0).Err())
	must(t, w.client.Del(t.Context(), "pollux:{journal:0}").Err())
	old := time.Now().Add(-100 * time.Hour).UnixMilli()
	must(t, w.client.Do(t.Context(), "XADD", "pollux:{journal:0}", text(old, "-1"), "e", "x").Err())
	w.settle(time.Hour)
	if got := orphaned(w.find()); !slices.Equal(got, []string{"sw1/port-id55.rrd"}) {
		t.Errorf("orphans %v", got)
	}
}

func TestOrphansAreRemovedAndForgotten(t *testing.T) {
	t.Parallel()
	w := newCleared(t)
	before := names(t, w.a.Base)
	found := w.find()
	changed := filepath.Join(w.a.Base, "sw2/port-id203.rrd")
	must(t, os.Chtimes(changed, time.Now(), time.Now().Add(-47*time.Hour)))
	stats, err := w.dial(w.a).Stats(t.Context())
	must(t, err)
	removed, err := rrd.Remove(t.Context(), w.config, found)
	must(t, err)
	if removed.Files != 7 || removed.Directories != 3 || removed.Left != 1 || removed.Bytes == 0 {
		t.Errorf("removed %+v", removed)
	}
	gone := slices.DeleteFunc(slices.Clone(wantOrphans), func(name string) bool { return name == "sw2/port-id203.rrd" })
	gone = append(gone, "gone/", "left/") // which are empty then
	want := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(gone, name) })
	if left := names(t, w.a.Base); !slices.Equal(left, want) {
		t.Errorf("left are\n%v, want\n%v", left, want)
	}
	now, err := w.dial(w.a).Stats(t.Context())
	must(t, err)
	if now.TreeNodesNumber != stats.TreeNodesNumber-4 { // port-id55 was planted: it never knew it
		t.Errorf("RRDCached holds %d files, before it were %d", now.TreeNodesNumber, stats.TreeNodesNumber)
	}
	if again := w.find(); !slices.Equal(orphaned(again), []string{"sw2/port-id203.rrd"}) {
		t.Errorf("afterwards: %v", orphaned(again))
	}
}

// TestAWrongTreeIsNotTouched names directories that are not the tree of any RRDCached, or are only a copy of one.
func TestAWrongTreeIsNotTouched(t *testing.T) {
	t.Parallel()
	w := newCleared(t)
	stranger := polluxtest.RRDCached(t)
	_, err := journal.Identify(t.Context(), w.dial(stranger), strings.Repeat("ab", 9))
	must(t, err)
	empty, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	if out, err := exec.Command("cp", "-a", w.a.Base, backup).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	search := w.config
	for _, tree := range []string{empty, stranger.Base, "/"} {
		search.Tree = tree
		if _, err := rrd.FindOrphans(t.Context(), search); !errors.Is(err, rrd.ErrNotTree) {
			t.Errorf("%s: %v", tree, err)
		}
	}
	search = w.config
	search.Addresses = []string{w.b.Address, stranger.Address}
	if _, err := rrd.FindOrphans(t.Context(), search); err == nil {
		t.Error("a tree to which no address leads")
	}
	// A backup beside a daemon whose files have gone.
	must(t, os.RemoveAll(filepath.Join(w.a.Base, "sw2")))
	search = w.config
	search.Tree = backup
	found, err := rrd.FindOrphans(t.Context(), search)
	must(t, err)
	before := names(t, backup)
	client := w.dial(w.a)
	sources := make([]rrdcached.Source, 15)
	for i := range sources {
		sources[i].Type = "DERIVE"
	}
	must(t, client.Update(t.Context(), rrdcached.Update{ // and with one that is newer there
		File: "sw1/port-id55.rrd", Time: at(w.begin + 600), Values: make([]rrdcached.Value, 15), Sources: sources,
	}))
	must(t, client.Flush(t.Context(), "sw1/port-id55.rrd"))
	for _, file := range []string{"sw1/port-id55.rrd", "sw2/uptime.rrd"} {
		one := slices.DeleteFunc(slices.Clone(found.Files), func(o rrd.Orphan) bool { return o.File != file })
		removed, err := rrd.Remove(t.Context(), search, rrd.Orphans{Target: found.Target, Files: one})
		if len(one) != 1 || removed != (rrd.Removed{}) || !errors.Is(err, rrd.ErrNotTree) {
			t.Errorf("of a backup: %d, %+v, %v", len(one), removed, err)
		}
	}
	if left := names(t, backup); !slices.Equal(left, before) {
		t.Errorf("left are %v", left)
	}
	// What no search found.
	for _, file := range []string{"_pollux.rrd", "sw1/fan-hr-1.rrd", "../sw1/port-id55.rrd", "/etc/passwd", "port-id1.rrd", "sw2/deeper/port-id1.rrd"} {
		if _, err := rrd.Remove(t.Context(), w.config, rrd.Orphans{Target: found.Target, Files: []rrd.Orphan{{File: file}}}); err == nil {
			t.Errorf("removes %s", file)
		}
	}
	if _, err := os.Stat(filepath.Join(w.a.Base, "_pollux.rrd")); err != nil {
		t.Error(err)
	}
}

// A device that was removed with its history has files to be removed by a clean-up that leaves all others alone.
func TestOrphansOfUnwantedHistoryOnly(t *testing.T) {
	t.Parallel()
	w := newCleared(t)
	w.config.Unwanted = true
	if got := orphaned(w.find()); len(got) > 0 {
		t.Errorf("nobody wants any file to go: %v", got)
	}
	for i := range w.removed {
		w.removed[i].DeleteHistory = w.removed[i].RRDDir == "sw2" || w.removed[i].RRDDir == "sw3"
	}
	found := w.find()
	unwanted := slices.DeleteFunc(slices.Clone(wantOrphans), func(file string) bool { return !strings.HasPrefix(file, "sw2/") })
	if got := orphaned(found); !slices.Equal(got, unwanted) {
		t.Errorf("orphans %v, want %v", got, unwanted)
	}
	for _, o := range found.Files {
		if !strings.HasSuffix(o.Why, ", with its history") {
			t.Errorf("%s: %s", o.File, o.Why)
		}
	}
	w.config.Unwanted = false
	if got := orphaned(w.find()); !slices.Equal(got, wantOrphans) {
		t.Errorf("all orphans are %v, want %v", got, wantOrphans)
	}
}
