package rrdcached

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCommandsOverUnixAndTCP(t *testing.T) {
	t.Parallel()
	for _, start := range []func(testing.TB, ...string) *daemon{startDaemon, startTCPDaemon} {
		d := start(t)
		t.Run(strings.SplitN(d.address, ":", 2)[0], func(t *testing.T) {
			t.Parallel()
			everyCommand(t, d)
		})
	}
}

func everyCommand(t *testing.T, d *daemon) {
	ctx, c := t.Context(), d.dial()
	schema := Schema{Step: 10, Sources: derive("in", "out"), Archives: []Archive{{"AVERAGE", 0.5, 1, 100}}}
	must(t, c.Ping(ctx))
	must(t, c.Create(ctx, "sw1.example/port-id7.rrd", schema, at(0), ""))
	if err := c.Create(ctx, "sw1.example/port-id7.rrd", schema, at(0), ""); !errors.Is(err, ErrExists) {
		t.Errorf("second create: %v, want ErrExists", err)
	}
	for i := range int64(5) {
		must(t, c.Update(ctx, update("sw1.example/port-id7.rrd", at(i*10_000+700), []Value{Counter(uint64(i) * 50), Unknown()})))
	}
	last, err := c.Last(ctx, "sw1.example/port-id7.rrd")
	must(t, err)
	if !last.Equal(at(40_000)) {
		t.Errorf("last is %v", last)
	}
	must(t, c.Flush(ctx, "sw1.example/port-id7.rrd"))
	series, err := c.Fetch(ctx, "sw1.example/port-id7.rrd", "AVERAGE", at(0), at(40_000))
	must(t, err)
	if series.Step != 10 || !series.Start.Equal(at(0)) || !reflect.DeepEqual(series.Names, []string{"in", "out"}) || len(series.Rows) != 5 {
		t.Fatalf("series %+v", series)
	}
	if row := series.Rows[1]; !row.Time.Equal(at(20_000)) || math.Abs(row.Values[0]-5) > 1e-9 || !math.IsNaN(row.Values[1]) {
		t.Errorf("row %+v", row)
	}
	var stats Stats
	eventually(t, "the daemon has counted what it wrote", func() bool {
		stats, err = c.Stats(ctx)
		must(t, err)
		return stats.DataSetsWritten == 5
	})
	if stats.UpdatesReceived != 5 || stats.UpdatesReceived != c.Updates() || stats.UpdatesWritten != 1 || stats.TreeNodesNumber != 1 || stats.FlushesReceived == 0 {
		t.Errorf("stats %+v, %d updates counted here", stats, c.Updates())
	}
	must(t, c.Forget(ctx, "sw1.example/port-id7.rrd"))
	if err := c.Forget(ctx, "sw1.example/port-id7.rrd"); !errors.Is(err, ErrNoFile) {
		t.Errorf("second forget: %v", err)
	}
	must(t, c.FlushAll(ctx))
	must(t, c.Close())
	if err := c.Ping(ctx); !errors.Is(err, ErrConnection) {
		t.Errorf("ping after close: %v", err)
	}
	must(t, c.Close())
}

func TestMissingFileIsErrNoFileEverywhere(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	_, errLast := c.Last(ctx, "no.rrd")
	_, errFetch := c.Fetch(ctx, "no.rrd", "AVERAGE", at(0), at(1000))
	_, errInfo := c.Info(ctx, "no.rrd")
	for name, err := range map[string]error{
		"last": errLast, "fetch": errFetch, "info": errInfo, "flush": c.Flush(ctx, "no.rrd"), "forget": c.Forget(ctx, "no.rrd"),
		"update": c.Update(ctx, update("no.rrd", at(0), counters(1, 1))),
		"create": c.Create(ctx, "new.rrd", portSchema(10), at(0), "no.rrd"),
	} {
		if !errors.Is(err, ErrNoFile) || errors.Is(err, ErrConnection) || Class(err) != "nofile" {
			t.Errorf("%s: %v (%s)", name, err, Class(err))
		}
	}
	must(t, c.Ping(ctx))
}

func TestBatchSortsItsErrors(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	schema := Schema{Step: 10, Sources: derive("in"), Archives: []Archive{{"AVERAGE", 0.5, 1, 100}}}
	must(t, c.Create(ctx, "a.rrd", schema, at(0), ""))
	must(t, os.Mkdir(filepath.Join(d.base(), "dir"), 0o755))
	must(t, os.WriteFile(filepath.Join(d.base(), "junk.rrd"), []byte("junk"), 0o644))
	long := update(strings.Repeat("d/", 450)+"x", at(0), counters(100, math.MaxUint64))
	cases := []struct {
		update Update
		class  string
	}{
		{update("a.rrd", at(700), counters(1, 1)), "ok"},
		{update("a.rrd", at(700), counters(1, 1)), "badvalue"}, // the same second again
		{update("a.rrd", at(999), counters(1, 1)), "badvalue"},
		{update("no.rrd", at(700), counters(1, 1)), "nofile"},
		{update("../a.rrd", at(10_700), counters(1, 2)), "badvalue"},
		{update("a.rrd 1:1\nFLUSHALL", at(10_700), counters(1, 2)), "badvalue"},
		{update("a.rrd", at(10_700), counters(1, 2)), "ok"},
		{update("a.rrd", at(20_700), nil), "badvalue"},
		{Update{File: "a.rrd", Time: at(20_700), Values: counters(1, 1)}, "badvalue"}, // does not say what the file takes
		{Update{"a.rrd", at(20_700), counters(2, 1), schema.Sources}, "badvalue"},
		{Update{"a.rrd", at(20_700), []Value{Gauge(0.5)}, schema.Sources}, "badvalue"},
		{update("a.rrd", at(20_700), counters(101, 1)), "badvalue"},
		{update("a.rrd", time.Time{}, counters(1, 1)), "badvalue"},
		{long, "badvalue"},
		{update("dir", at(0), counters(1, 1)), "refused"},
		{update("junk.rrd", at(0), counters(1, 1)), "refused"},
		{update("a.rrd", at(5_000), counters(1, 1)), "badvalue"}, // before another line of this batch
	}
	var updates []Update
	for _, one := range cases {
		updates = append(updates, one.update)
	}
	for range 2 { // the second time on an opened batch; what was ok is a duplicate then
		refusals, err := c.Batch(ctx, updates)
		must(t, err)
		for i, one := range cases {
			if got := Class(refusals[i]); got != one.class {
				t.Errorf("line %d: %s (%v), want %s", i, got, refusals[i], one.class)
			}
			if one.class == "ok" {
				cases[i].class = "duplicate"
			}
		}
	}
	refusals, err := c.Batch(ctx, updates[:1])
	must(t, err)
	var illegal *IllegalTimeError
	if !errors.As(refusals[0], &illegal) || illegal.Last != float64(epoch.Unix())+10.7 {
		t.Errorf("duplicate: %v", refusals[0])
	}
	stats, err := c.Stats(ctx)
	must(t, err)
	if stats.UpdatesReceived != c.Updates() || c.Updates() != 11 {
		t.Errorf("%d received, %d counted here, want 11", stats.UpdatesReceived, c.Updates())
	}
}

func TestBatchSizes(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	if refusals, err := c.Batch(ctx, nil); len(refusals) != 0 || err != nil {
		t.Errorf("empty batch: %v, %v", refusals, err)
	}
	if _, err := c.Batch(ctx, make([]Update, MaxBatch+1)); !errors.Is(err, ErrLimit) || errors.Is(err, ErrConnection) {
		t.Errorf("large batch: %v", err)
	}
	if _, err := c.Probe(ctx, make([]string, MaxBatch+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("large probe: %v", err)
	}
	if refusals, err := c.Batch(ctx, make([]Update, 3)); err != nil || !errors.Is(refusals[2], ErrFile) {
		t.Errorf("batch with nothing to send: %v, %v", refusals, err)
	}
	schema := portSchema(10)
	must(t, c.Create(ctx, "full.rrd", schema, at(0), ""))
	updates := make([]Update, MaxBatch)
	for i := range updates {
		updates[i] = update("full.rrd", at(int64(i)*1000), counters(15, math.MaxUint64))
	}
	refusals, err := c.Batch(ctx, updates)
	must(t, err)
	for i, refused := range refusals {
		must(t, refused)
		updates[i].File = "missing.rrd"
	}
	refusals, err = c.Batch(ctx, updates)
	must(t, err)
	for i, refused := range refusals {
		if !errors.Is(refused, ErrNoFile) {
			t.Fatalf("line %d: %v", i, refused)
		}
	}
}

func TestPermissionsOfTheDaemon(t *testing.T) {
	t.Parallel()
	d := startTCPDaemon(t, "-P", "UPDATE,CREATE,FLUSH,PING,BATCH")
	ctx, c := t.Context(), d.dial()
	_, errStats := c.Stats(ctx)
	for name, err := range map[string]error{"flushall": c.FlushAll(ctx), "stats": errStats} {
		if !errors.Is(err, ErrPermission) || errors.Is(err, ErrConnection) || Class(err) != "refused" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What our own check stops, the daemon stops too, save for the source of CREATE.
	c.out = append(c.out[:0], "UPDATE ../x.rrd 1:0"...)
	if err := c.command(ctx, textOnly); !errors.Is(err, ErrPermission) {
		t.Errorf("update outside the base: %v", err)
	}
	noBatch := startTCPDaemon(t, "-P", "UPDATE,PING").dial()
	if _, err := noBatch.Batch(ctx, []Update{update("a.rrd", at(0), counters(1, 1))}); !errors.Is(err, ErrPermission) || errors.Is(err, ErrConnection) {
		t.Errorf("batch where BATCH is forbidden: %v", err)
	}
	must(t, noBatch.Ping(ctx))
}

func TestInfoReadsTwoNamesOfIdentity(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	schema := Schema{Step: 300, Archives: []Archive{{"AVERAGE", 0.5, 1, 2}, {"LAST", 0.25, 6, 3}}, Sources: []Source{
		{"c0123456789abcdef01", "GAUGE", 600, NoLimit, NoLimit},
		{"tfedcba9876543210fe", "DCOUNTER", 1200, -5, 12_500_000_000},
	}}
	must(t, c.Create(ctx, "_pollux.rrd", schema, at(0), ""))
	info, err := c.Info(ctx, "_pollux.rrd")
	must(t, err)
	if !reflect.DeepEqual(info.Schema, schema) || !info.LastUpdate.Equal(at(-10_000)) {
		t.Errorf("info %+v", info)
	}
	stats, err := c.Stats(ctx)
	must(t, err)
	if stats.UpdatesReceived != 0 {
		t.Error("INFO counts as an update")
	}
	must(t, c.Create(ctx, "port.rrd", portSchema(300), at(0), ""))
	info, err = c.Info(ctx, "port.rrd")
	must(t, err)
	if !reflect.DeepEqual(info.Schema, portSchema(300)) {
		t.Errorf("info %+v", info)
	}
	must(t, checkValues(counters(15, 1), info.Sources))
}

// A file of the most sources and archives that Validate and the line length allow is one that 1.7.2 makes and describes.
func TestCreateOfTheLargestSchema(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	schema := Schema{Step: 1}
	for i := range 60 {
		schema.Sources = append(schema.Sources, Source{fmt.Sprintf("name_of_19_bytes_%02d", i), "DERIVE", 600, 0, 12_500_000_000})
	}
	for i := range maxArchives {
		schema.Archives = append(schema.Archives, Archive{"AVERAGE", 0.5, i + 1, 2})
	}
	name := strings.Repeat("d23456789/", 4) + "x"
	line, err := appendCreate(nil, name, schema, at(0), "")
	must(t, err)
	if len(line) < 3900 {
		t.Fatalf("the line has only %d bytes", len(line))
	}
	must(t, c.Create(ctx, name, schema, at(0), ""))
	info, err := c.Info(ctx, name)
	must(t, err)
	if !reflect.DeepEqual(info.Schema, schema) {
		t.Errorf("info %+v", info)
	}
	schema.Sources[0].Heartbeat = 1_000_000
	for i := range schema.Sources {
		schema.Sources[i].Min = -1.2345678901234567
	}
	if err := c.Create(ctx, "y", schema, at(0), ""); !errors.Is(err, ErrLimit) {
		t.Errorf("a line over %d bytes: %v", maxCreate, err)
	}
}

func TestClosedContextSendsNothing(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrConnection) {
		t.Errorf("ping: %v", err)
	}
	if _, err := c.Batch(ctx, []Update{update("a.rrd", at(0), counters(1, 1))}); !errors.Is(err, context.Canceled) {
		t.Errorf("batch: %v", err)
	}
	must(t, c.Ping(t.Context()))
}
