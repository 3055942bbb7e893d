package rrdcached

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// rates checks that every row with an end in (from, to] shows rate in every source to 0.01 %, and returns how many do.
func rates(t *testing.T, series Series, from, to time.Time, rate float64) (good, unknown int) {
	t.Helper()
	for _, row := range series.Rows {
		if !row.Time.After(from) || row.Time.After(to) {
			continue
		}
		for i, value := range row.Values {
			switch {
			case math.IsNaN(value):
				unknown++
			case math.Abs(value-rate) > rate*1e-4:
				t.Errorf("%s of source %d is %.6f, want %.6f", row.Time, i, value, rate)
			default:
				good++
			}
		}
	}
	return good, unknown
}

// samples are updates at about every 10 s with a jitter of up to 1.9 s in
// milliseconds, of counters that grow by exactly 1,000 a second.
func samples(file string, from, n, sources int) []Update {
	random := rand.New(rand.NewPCG(7, 9))
	var updates []Update
	for i := range from + n {
		ms := int64(i)*10_000 + random.Int64N(1900) + 1
		if i >= from {
			updates = append(updates, update(file, at(ms), counters(sources, uint64(ms))))
		}
	}
	return updates
}

func send(t *testing.T, c *Client, updates []Update) {
	t.Helper()
	refusals, err := c.Batch(t.Context(), updates)
	must(t, err)
	for _, refused := range refusals {
		must(t, refused)
	}
}

func TestMillisecondsAreHonoured(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	c := d.dial()
	must(t, c.Create(t.Context(), "a.rrd", portSchema(10), at(0), ""))
	send(t, c, samples("a.rrd", 0, 100, 15))
	series, err := c.Fetch(t.Context(), "a.rrd", "AVERAGE", at(0), at(990_000))
	must(t, err)
	if good, unknown := rates(t, series, at(10_000), at(980_000), 1000); good != 97*15 || unknown != 0 {
		t.Errorf("%d good, %d unknown values", good, unknown)
	}
}

// After a kill the daemon knows the last update on disk only as a whole
// second. Without the probe the replay is accepted and then lost.
func TestProbeMakesAReplayExact(t *testing.T) {
	t.Parallel()
	for _, probing := range []bool{true, false} {
		name := map[bool]string{true: "with the probe nothing is lost", false: "without it much is lost"}[probing]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDaemon(t)
			c, all := d.dial(), samples("a.rrd", 0, 60, 15)
			must(t, c.Create(t.Context(), "a.rrd", portSchema(10), at(0), ""))
			send(t, c, all[:30])
			must(t, c.Flush(t.Context(), "a.rrd"))
			send(t, c, all[30:])
			found, err := c.Probe(t.Context(), []string{"a.rrd"})
			must(t, err)
			if want := float64(all[59].Time.UnixMilli()) / 1000; math.Abs(found[0].Last-want) > 1e-6 {
				t.Errorf("the live daemon says %.6f, want %.3f", found[0].Last, want)
			}
			d.kill()
			if err := c.Ping(t.Context()); !errors.Is(err, ErrConnection) {
				t.Errorf("ping to a killed daemon: %v", err)
			}
			d.start()
			c = d.dial()
			if stats, err := c.Stats(t.Context()); err != nil || stats.UpdatesReceived != 0 {
				t.Errorf("stats of the new instance: %+v, %v", stats, err)
			}
			replay := all
			if probing {
				found, err = c.Probe(t.Context(), []string{"a.rrd"})
				must(t, err)
				if want := float64(all[29].Time.Unix()); !found[0].Exists || found[0].Last != want {
					t.Fatalf("the new daemon says %+v, want %.0f", found[0], want)
				}
				for replay[0].Time.Unix() <= int64(found[0].Last) {
					replay = replay[1:]
				}
			}
			_, err = c.Batch(t.Context(), replay)
			must(t, err)
			must(t, c.Flush(t.Context(), "a.rrd"))
			series, err := c.Fetch(t.Context(), "a.rrd", "AVERAGE", at(0), at(590_000))
			must(t, err)
			good, unknown := rates(t, series, at(10_000), at(580_000), 1000)
			if probing && (good != 57*15 || unknown != 0) {
				t.Errorf("%d good, %d unknown values", good, unknown)
			}
			if !probing && unknown < 25*15 {
				t.Errorf("only %d values were lost; is the probe still needed?", unknown)
			}
		})
	}
}

func TestProbeOfManyFiles(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	for _, file := range []string{"a.rrd", "b.rrd"} { // of 15 sources: the one value of a probe is not counted
		must(t, c.Create(ctx, file, portSchema(300), at(0), ""))
	}
	must(t, c.Update(ctx, update("b.rrd", at(460_700), counters(15, 1))))
	found, err := c.Probe(ctx, []string{"a.rrd", "no.rrd", "x\nFLUSHALL", "b.rrd"})
	must(t, err)
	begin := float64(epoch.Unix())
	if found[0] != (ProbeResult{Exists: true, Last: begin - 10}) || found[3] != (ProbeResult{Exists: true, Last: begin + 460.7}) {
		t.Errorf("existing files: %+v", found)
	}
	if found[1] != (ProbeResult{}) || !errors.Is(found[2].Err, ErrFile) || found[2].Exists {
		t.Errorf("others: %+v", found)
	}
	last, err := c.Last(ctx, "b.rrd")
	must(t, err)
	if !last.Equal(at(300_000)) {
		t.Errorf("LAST says %v: it no longer rounds to the step", last)
	}
}

func TestCreateBeginsBeforeTheFirstSample(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	must(t, c.Create(ctx, "a.rrd", portSchema(10), at(500), ""))
	send(t, c, samples("a.rrd", 0, 3, 15))
	for _, first := range []time.Time{{}, time.Unix(1, 0), time.Unix(firstTime, 0), time.Unix(maxTime+11, 0)} {
		if err := c.Create(ctx, "b.rrd", portSchema(10), first, ""); !errors.Is(err, ErrBadValue) {
			t.Errorf("first %v: %v", first, err)
		}
	}
}

// A changed interval: the new file has the old one's history, its last update, and a new step.
func TestCreateFromASourceKeepsHistory(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	old, fresh := portSchema(300), portSchema(60)
	old.Archives = []Archive{{"AVERAGE", 0.5, 1, 50}, {"AVERAGE", 0.5, 6, 50}}
	fresh.Archives = []Archive{{"AVERAGE", 0.5, 1, 500}, {"AVERAGE", 0.5, 6, 100}}
	must(t, c.Create(ctx, "dev/port-id1.rrd", old, at(0), ""))
	var updates []Update
	for i := range int64(20) {
		updates = append(updates, update("dev/port-id1.rrd", at(i*300_000+700), counters(15, uint64(i*300_000+700))))
	}
	send(t, c, updates)
	begin := at(20 * 300_000)                                                       // the end of the old file's last step
	must(t, c.Create(ctx, "dev/port-id1-g1.rrd", fresh, begin, "dev/port-id1.rrd")) // pending values are flushed by Create
	if err := c.Create(ctx, "dev/port-id1-g1.rrd", fresh, begin, "dev/port-id1.rrd"); !errors.Is(err, ErrExists) {
		t.Errorf("second create: %v", err)
	}
	found, err := c.Probe(ctx, []string{"dev/port-id1-g1.rrd"})
	must(t, err)
	if want := float64(begin.Unix()); found[0].Last != want {
		t.Errorf("the new file goes on at %.1f, want %.1f", found[0].Last, want)
	}
	updates = nil
	for i := range int64(20) {
		ms := 20*300_000 + 60_700 + i*60_000
		updates = append(updates, update("dev/port-id1-g1.rrd", at(ms), counters(15, uint64(ms))))
	}
	send(t, c, updates)
	series, err := c.Fetch(ctx, "dev/port-id1-g1.rrd", "AVERAGE", at(0), at(7_200_000))
	must(t, err)
	if series.Step != 60 {
		t.Fatalf("step %d", series.Step)
	}
	if good, unknown := rates(t, series, at(600_000), at(5_700_000), 1000); good != 85*15 || unknown != 0 {
		t.Errorf("old history: %d good, %d unknown values", good, unknown)
	}
	if good, unknown := rates(t, series, at(6_120_000), at(7_140_000), 1000); good != 17*15 || unknown != 0 {
		t.Errorf("new values: %d good, %d unknown values", good, unknown)
	}
	for _, source := range []string{"../x.rrd", "/etc/passwd", "-x", "a b"} {
		if err := c.Create(ctx, "n.rrd", fresh, at(0), source); !errors.Is(err, ErrFile) {
			t.Errorf("source %q: %v", source, err)
		}
	}
}

// The daemon takes a line of another number of values, says that it was
// flushed, and has lost what was behind it. So checkValues is the only check there is.
func TestCheckRefusesWhatTheDaemonWouldLose(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	schema := portSchema(10)
	for name, bad := range map[string][]Value{
		"fewer": counters(14, 5), "more": counters(16, 5), "fraction": append(counters(14, 5), Gauge(1.5)), "large": append(counters(14, 5), Gauge(1e21)),
	} {
		if err := checkValues(bad, schema.Sources); !errors.Is(err, ErrBadValue) {
			t.Errorf("%s: %v", name, err)
		}
		file := name + ".rrd"
		must(t, c.Create(ctx, file, schema, at(0), ""))
		good := samples(file, 0, 12, 15)
		send(t, c, append(good[:6:6], update(file, at(57_000), bad))) // says that the file has other sources
		send(t, c, good[6:])
		must(t, c.Flush(ctx, file))
		series, err := c.Fetch(ctx, file, "AVERAGE", at(0), at(110_000))
		must(t, err)
		if known := len(series.Rows[8].Values); known != 15 {
			t.Fatalf("%d values", known)
		}
		if !math.IsNaN(series.Rows[8].Values[0]) {
			t.Errorf("%s: the daemon kept what came after; is the check still needed?", name)
		}
	}
	must(t, checkValues(append(counters(13, 5), Unknown(), Gauge(-7)), schema.Sources))
	schema.Sources[0].Type = "COUNTER"
	if err := checkValues(append([]Value{Gauge(-7)}, counters(14, 1)...), schema.Sources); !errors.Is(err, ErrBadValue) {
		t.Errorf("negative counter: %v", err)
	}
	schema.Sources[0].Type = "GAUGE"
	must(t, checkValues(append([]Value{Gauge(-7.5)}, counters(14, 1)...), schema.Sources))
}

// Every decimal comes back from the file as it was, to the 15 digits that rrdtool's parser keeps.
func TestGaugesSurviveTheFile(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c := t.Context(), d.dial()
	wants := []float64{0, 1, -1, 0.1, -0.000123, 1.5e20, 1.5e21, -2.25e-7, 1e300, 123456789.123456, math.Copysign(0, -1), 1e-300, math.Pi, math.NaN(), math.Inf(1), math.MaxFloat64}
	schema := Schema{Step: 10, Sources: []Source{{"x", "GAUGE", 600, NoLimit, math.NaN()}}, Archives: []Archive{{"AVERAGE", 0, 1, 100}}}
	must(t, c.Create(ctx, "g.rrd", schema, at(10_000), ""))
	var updates []Update
	for i, want := range wants {
		updates = append(updates, update("g.rrd", at(int64(i+1)*10_000), []Value{Gauge(want)}))
	}
	send(t, c, updates)
	series, err := c.Fetch(ctx, "g.rrd", "AVERAGE", at(0), at(int64(len(wants))*10_000))
	must(t, err)
	for i, want := range wants {
		got := series.Rows[i].Values[0]
		if math.Abs(want) > maxGauge || math.IsNaN(want) {
			if !math.IsNaN(got) {
				t.Errorf("%g became %g, want unknown", want, got)
			}
		} else if !(math.Abs(got-want) <= math.Abs(want)*1e-14) {
			t.Errorf("%g became %g", want, got)
		}
	}
}
