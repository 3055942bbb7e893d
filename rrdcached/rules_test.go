package rrdcached

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// randomSchema has up to n sources of all types.
func randomSchema(random *rand.Rand, n int) Schema {
	schema := Schema{Step: 1 + random.IntN(300), Archives: []Archive{{functions[random.IntN(4)], 0.5, 1 + random.IntN(3), 1 + random.IntN(40)}}}
	for i := range 1 + random.IntN(n) {
		source := Source{Name: "s" + strconv.Itoa(i), Type: sourceTypes[random.IntN(len(sourceTypes))], Heartbeat: 1 + random.IntN(900), Min: NoLimit, Max: NoLimit}
		if random.IntN(2) == 0 {
			source.Min, source.Max = 0, float64(1+random.IntN(1_000_000))
		}
		schema.Sources = append(schema.Sources, source)
	}
	return schema
}

// randomValues are values for sources, one in ten of any kind, and one row in ten of another number.
func randomValues(random *rand.Rand, sources []Source) []Value {
	n := len(sources)
	if random.IntN(10) == 0 {
		n = max(0, n+random.IntN(3)-1)
	}
	values := make([]Value, n)
	for i := range values {
		values[i] = Counter(random.Uint64() >> random.IntN(64))
		if random.IntN(10) == 0 || i < len(sources) && !strings.Contains("DERIVE COUNTER", sources[i].Type) {
			values[i], _ = randomValue(random)
		}
	}
	return values
}

// filed is a file of a property test.
type filed struct {
	name   string
	schema Schema
	ms     int64 // of the last line
}

// next is a line that goes on from the last one, or back a little.
func (f *filed) next(random *rand.Rand) Update {
	f.ms += random.Int64N(12_000) - 2_000
	return Update{f.name, at(f.ms), randomValues(random, f.schema.Sources), f.schema.Sources}
}

// What a batch accepts is written: whatever schemas, values and times, rrdtool
// refuses nothing when the file is written, when it would drop all that waits behind it too.
func TestWhatIsAcceptedIsWritten(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-V", "LOG_NOTICE") // else it does not say what it could not write
	ctx, c, random := t.Context(), d.dial(), rand.New(rand.NewPCG(21, 22))
	files := make([]filed, 40)
	for i := range files {
		files[i] = filed{name: fmt.Sprintf("d%d/f%d.rrd", i%7, i), schema: randomSchema(random, 20)}
	}
	files[0].name = strings.Repeat("d23456789/", 90) + "long.rrd" // lines of up to 2,000 bytes and beyond
	files[0].schema = randomSchema(random, 1)
	files[0].schema.Sources = append(derive("a", "b"), anything(78)...)
	for i := range files {
		must(t, c.Create(ctx, files[i].name, files[i].schema, at(0), ""))
	}
	sent, accepted, classes := 0, uint64(0), map[string]int{}
	for range 400 {
		var updates []Update
		last := map[string]int64{}
		for range 1 + random.IntN(60) {
			updates = append(updates, files[random.IntN(len(files))].next(random))
		}
		refusals, err := c.Batch(ctx, updates)
		must(t, err)
		for i, refused := range refusals {
			u := updates[i]
			class := Class(refused)
			classes[class]++
			before, again := last[u.File]
			if again && u.Time.Unix() <= before && class != "badvalue" {
				t.Fatalf("%s gets second %d after %d: %v", u.File, u.Time.Unix(), before, refused)
			}
			if class == "ok" || class == "duplicate" {
				last[u.File] = u.Time.Unix()
			}
			if class == "ok" {
				accepted++
			}
		}
		sent += len(updates)
		if random.IntN(10) == 0 {
			must(t, c.FlushAll(ctx))
		}
	}
	must(t, c.FlushAll(ctx))
	for i := range files {
		must(t, c.Flush(ctx, files[i].name))
	}
	eventually(t, "all is written", func() bool {
		stats, err := c.Stats(ctx)
		must(t, err)
		return stats.DataSetsWritten == accepted
	})
	if text := d.log.String(); strings.Contains(text, "failed") {
		t.Errorf("rrdcached could not write what it was sent: %.2000s", text)
	}
	if accepted < uint64(sent)/4 || classes["badvalue"] < sent/20 || classes["duplicate"] == 0 || classes["refused"]+classes["nofile"]+classes["connection"] > 0 {
		t.Errorf("%d lines prove little: %v", sent, classes)
	}
}

// No CREATE changes a file that exists, whatever it asks for, and with or without a history.
func TestCreateNeverTouchesAFile(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c, random := t.Context(), d.dial(), rand.New(rand.NewPCG(23, 24))
	must(t, c.Create(ctx, "history.rrd", portSchema(10), at(0), ""))
	for i := range 60 {
		file, schema := fmt.Sprintf("f%d.rrd", i), randomSchema(random, 8)
		must(t, c.Create(ctx, file, schema, at(0), ""))
		if random.IntN(2) == 0 {
			f := filed{name: file, schema: schema}
			for range 5 {
				_ = c.Update(ctx, f.next(random)) // some are refused, which does not matter here
			}
			must(t, c.Flush(ctx, file))
		}
		before, err := os.ReadFile(filepath.Join(d.base(), file))
		must(t, err)
		for _, source := range []string{"", "history.rrd", file} {
			if err := c.Create(ctx, file, randomSchema(random, 8), at(random.Int64N(1e9)), source); !errors.Is(err, ErrExists) {
				t.Errorf("create over %s with source %q: %v", file, source, err)
			}
		}
		after, err := os.ReadFile(filepath.Join(d.base(), file))
		must(t, err)
		if !bytes.Equal(before, after) {
			t.Errorf("%s was changed", file)
		}
	}
}

// A name that is accepted is the path of the file below the base directory, and nothing else appears.
func TestNamesArePathsBelowTheBase(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, c, random := t.Context(), d.dial(), rand.New(rand.NewPCG(25, 26))
	made := map[string]bool{}
	schema := Schema{Step: 10, Sources: derive("x"), Archives: []Archive{{"AVERAGE", 0.5, 1, 1}}}
	for i := range 400 {
		pieces := hostile
		if i%4 > 0 {
			pieces = hostile[:11]
		}
		name := pick(random, pieces, 5) + pick(random, hostile[:4], 2)
		err := c.Create(ctx, name, schema, at(0), "")
		if (err == nil || Class(err) == "exists" || Class(err) == "refused") && !allowedName(name) {
			t.Errorf("%q was sent: %v", name, err)
		}
		if err == nil {
			made[name] = true
		}
	}
	var found []string
	must(t, filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && filepath.Base(path) != "pid" {
			name, _ := filepath.Rel(d.base(), path)
			found = append(found, name)
		}
		return err
	}))
	for _, name := range found {
		if !made[name] {
			t.Errorf("a file %q appeared", name)
		}
		delete(made, name)
	}
	if len(made) > 0 || len(found) < 100 {
		t.Errorf("%d files, and not there: %v", len(found), made)
	}
}

// Which sources of a file take what is meant for others.
func TestSameSources(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(27, 28))
	same := 0
	for range 20_000 {
		want := randomSchema(random, 4).Sources
		has := slices.Clone(want)
		switch i := random.IntN(len(has)); random.IntN(5) {
		case 0:
			has[i].Type = sourceTypes[random.IntN(len(sourceTypes))]
		case 1:
			has[i].Name = "other"
		case 2:
			has = has[:i]
		case 3:
			has[i].Heartbeat, has[i].Max = 7, 7
		case 4:
			has[0], has[i] = has[i], has[0]
		}
		if !SameSources(has, want) {
			continue
		}
		same++
		values := randomValues(random, want)
		if checkValues(values, want) == nil && checkValues(values, has) != nil {
			t.Fatalf("%v fits %v and not %v", values, want, has)
		}
	}
	if same < 1_000 {
		t.Errorf("%d of them are the same, which proves little", same)
	}
	for _, one := range []struct {
		has, want string
		same      bool
	}{{"DERIVE", "DERIVE", true}, {"DERIVE", "COUNTER", true}, {"COUNTER", "DERIVE", false}, {"GAUGE", "DERIVE", false}, {"DERIVE", "GAUGE", false}} {
		a, b := []Source{{Name: "x", Type: one.has}}, []Source{{Name: "x", Type: one.want}}
		if SameSources(a, b) != one.same {
			t.Errorf("a %s in place of a %s: %v", one.has, one.want, !one.same)
		}
	}
}

// An update that does not say what its file takes is never sent: nobody can forget it.
func TestAnUpdateMustSayWhatItsFileTakes(t *testing.T) {
	t.Parallel()
	c, conn := answering([]byte("0 errors, enqueued 1 value(s).\n"))
	if err := c.Update(t.Context(), Update{File: "a.rrd", Time: time.Unix(1_795_338_000, 0), Values: counters(1, 1)}); !errors.Is(err, ErrBadValue) {
		t.Errorf("without sources: %v", err)
	}
	if conn.sent.Len() > 0 {
		t.Errorf("it sent %q", conn.sent.String())
	}
}
