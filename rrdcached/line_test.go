package rrdcached

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// parsed is a command line as the independent reader below understands it.
type parsed struct {
	update bool
	file   string
	ms     int64 // time of an update
	words  []string
}

var (
	lineOfUpdate = regexp.MustCompile(`^UPDATE ([A-Za-z0-9_.,/~-]+) (\d{1,10})\.(\d{3})((?::(?:U|-?\d+(?:\.\d+)?(?:e[+-]\d+)?))+)$`)
	lineOfCreate = regexp.MustCompile(`^CREATE ([A-Za-z0-9_.,/~-]+)((?: -[brs] [A-Za-z0-9_.,/~-]+){2,3}) -O((?: DS:[A-Za-z0-9_-]{1,19}:[A-Z]+:\d+:(?:U|-?[0-9.e+-]+):(?:U|-?[0-9.e+-]+))+)((?: RRA:[A-Z]+:[0-9.e-]+:\d+:\d+)+)$`)
)

// parse reads one line of the protocol with nothing of the package's own code.
func parse(line string) (parsed, bool) {
	if m := lineOfUpdate.FindStringSubmatch(line); m != nil && len(line) <= 2000 {
		ms, err := strconv.ParseInt(m[2]+m[3], 10, 64)
		return parsed{update: true, file: m[1], ms: ms, words: strings.Split(m[4][1:], ":")}, err == nil
	}
	if m := lineOfCreate.FindStringSubmatch(line); m != nil && len(line) <= 4000 {
		return parsed{file: m[1], words: strings.Fields(m[2] + m[3] + m[4])}, true
	}
	return parsed{}, false
}

// allowedName is the rule for names, written a second time.
func allowedName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if name == "" || len(name) > 1000 || strings.TrimLeft(name, letters+"_.,/~-") != "" || strings.Contains(name, "..") || name[0] == '-' {
		return false
	}
	for component := range strings.SplitSeq(name, "/") {
		if component == "" || component == "." || len(component) > 255 {
			return false
		}
	}
	return true
}

// pick makes a random string of up to n pieces.
func pick(random *rand.Rand, pieces []string, n int) string {
	var text strings.Builder
	for range random.IntN(n + 1) {
		text.WriteString(pieces[random.IntN(len(pieces))])
	}
	return text.String()
}

var hostile = []string{"a", "Z", "0", "9", "_", "-", ".", "..", "/", "~", ",", "port-id7.rrd", "\n", "\r", " ", "\t", `"`, "'", `\`, "\x00", "\x7f",
	"é", "\xff", "\u202e", ":", "%", "$", "*", "U", "\nFLUSHALL\n", " -O", strings.Repeat("x", 250)}

func TestNamesAreRefusedOrSafe(t *testing.T) {
	t.Parallel()
	random, good, bad := rand.New(rand.NewPCG(1, 2)), 0, 0
	for i := range 1_000_000 {
		pieces := hostile
		if i%2 == 0 {
			pieces = hostile[:12] // else hardly any long name is good
		}
		name := pick(random, pieces, 8)
		err := CheckFile(name)
		if (err == nil) != allowedName(name) || err != nil && (!errors.Is(err, ErrFile) || len(err.Error()) > 400) {
			t.Fatalf("%q: %v", name, err)
		}
		if err == nil {
			good++
		} else {
			bad++
		}
	}
	if good < 100_000 || bad < 100_000 {
		t.Errorf("%d good and %d bad names prove little", good, bad)
	}
}

func randomValue(random *rand.Rand) (Value, string) {
	switch random.IntN(4) {
	case 0:
		return Unknown(), "U"
	case 1:
		n := random.Uint64() >> random.IntN(64)
		return Counter(n), strconv.FormatUint(n, 10)
	default:
		x := math.Float64frombits(random.Uint64()) // NaN, infinities, denormals too
		if random.IntN(2) == 0 {
			x = float64(random.IntN(2_000_000)-1_000_000) / 128
		}
		if math.IsNaN(x) || math.Abs(x) > 1e300 {
			return Gauge(x), "U"
		}
		return Gauge(x), strconv.FormatFloat(x, 'g', -1, 64)
	}
}

// sameNumber says whether two texts are the same number, or both unknown.
func sameNumber(a, b string) bool {
	if a == "U" || b == "U" {
		return a == b
	}
	if x, err := strconv.ParseUint(b, 10, 64); err == nil && a != b {
		y, err := strconv.ParseUint(a, 10, 64)
		if err == nil {
			return x == y
		}
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && x == y
}

func TestUpdateLinesReparse(t *testing.T) {
	t.Parallel()
	random, lines := rand.New(rand.NewPCG(3, 4)), 0
	dst := []byte("before")
	for range 15_000 {
		u := Update{File: pick(random, hostile[:12], 8), Time: time.UnixMilli(random.Int64N(11_000_000_000_000) - 100)}
		if random.IntN(10) == 0 {
			u.File = pick(random, hostile, 6)
		}
		var wants []string
		for range random.IntN(104) / (1 + random.IntN(8)) {
			value, want := randomValue(random)
			u.Values, wants = append(u.Values, value), append(wants, want)
		}
		u.Sources = anything(len(u.Values))
		line, err := u.appendTo(dst)
		if !bytes.HasPrefix(line, dst) {
			t.Fatal("the bytes before the line changed")
		}
		if err != nil {
			if len(line) != len(dst) || Class(err) != "badvalue" {
				t.Fatalf("%+v: %v leaves %q", u, err, line)
			}
			inTime := u.Time.Unix() >= 1 && u.Time.Unix() <= maxTime
			if allowedName(u.File) && inTime && len(wants) >= 1 && len(wants) <= 100 && !errors.Is(err, ErrLimit) {
				t.Fatalf("%+v: %v", u, err)
			}
			continue
		}
		lines++
		got, ok := parse(string(line[len(dst):]))
		if !ok || !got.update || got.file != u.File || got.ms != u.Time.UnixMilli() || len(got.words) != len(wants) || !allowedName(got.file) {
			t.Fatalf("%+v became %q", u, line)
		}
		for i, want := range wants {
			if !sameNumber(got.words[i], want) {
				t.Fatalf("value %d of %q is %s, want %s", i, line, got.words[i], want)
			}
		}
	}
	if lines < 3_000 {
		t.Errorf("only %d lines", lines)
	}
}

func TestCreateLinesReparse(t *testing.T) {
	t.Parallel()
	random, lines := rand.New(rand.NewPCG(5, 6)), 0
	choose := func(good []string) string {
		if random.IntN(300) == 0 {
			return pick(random, hostile, 3)
		}
		return good[random.IntN(len(good))]
	}
	files, none := []string{"a.rrd", "sw1.example/port-id7.rrd"}, []string{""}
	for range 10_000 {
		schema := Schema{Step: random.IntN(4000) - 2}
		for i := range random.IntN(20) {
			schema.Sources = append(schema.Sources, Source{choose([]string{"ds" + strconv.Itoa(i)}), choose(sourceTypes), random.IntN(1000), float64(random.IntN(9)), NoLimit})
		}
		for range random.IntN(8) {
			schema.Archives = append(schema.Archives, Archive{choose(functions), random.Float64(), 1 + random.IntN(300), random.IntN(3000)})
		}
		file, source := choose(files), choose(none)
		line, err := appendCreate(nil, file, schema, time.Unix(random.Int64N(2_000_000_000), 0), source)
		if err != nil {
			if Class(err) != "badvalue" || len(line) != 0 {
				t.Fatalf("%v leaves %q", err, line)
			}
			continue
		}
		lines++
		got, ok := parse(string(line))
		options := 4
		if source != "" {
			options = 6
		}
		if !ok || got.update || got.file != file || len(got.words) != options+len(schema.Sources)+len(schema.Archives) || strings.Count(string(line), " -O ") != 1 {
			t.Fatalf("%q %+v became %q", file, schema, line)
		}
		if wantR := source != ""; wantR != (got.words[0] == "-r") || got.words[options-4] != "-b" || got.words[options-2] != "-s" || got.words[options-1] != strconv.Itoa(schema.Step) {
			t.Fatalf("%q has other options than source %q, step %d", line, source, schema.Step)
		}
		for i, s := range schema.Sources {
			if want := "DS:" + s.Name + ":" + s.Type + ":" + strconv.Itoa(s.Heartbeat) + ":" + strconv.Itoa(int(s.Min)) + ":U"; got.words[options+i] != want {
				t.Fatalf("source %q, want %q", got.words[options+i], want)
			}
		}
	}
	if lines < 1_000 {
		t.Errorf("only %d lines", lines)
	}
}

// Every byte of a batch on the wire is BATCH, one good line per accepted update, and the dot, whatever is put in.
func TestBatchOnTheWire(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 9))
	for range 200 {
		var updates []Update
		for range 1 + random.IntN(40) {
			value, _ := randomValue(random)
			updates = append(updates, update(pick(random, hostile, 2), time.UnixMilli(random.Int64N(9e12)), []Value{value}))
		}
		near, far := net.Pipe()
		c := newClient(near, "pipe")
		c.batches = true
		wire := make(chan string, 1)
		go func() {
			var got []byte
			buffer := make([]byte, 4096)
			for !bytes.HasSuffix(got, []byte("\n.\n")) {
				n, err := far.Read(buffer)
				if err != nil {
					break
				}
				got = append(got, buffer[:n]...)
			}
			far.Write([]byte("0 Go ahead.\n0 errors\n"))
			wire <- string(got)
			far.Close()
		}()
		refusals, err := c.Batch(t.Context(), updates)
		must(t, err)
		c.Close()
		far.Close()
		var want []string
		for i, refused := range refusals {
			if refused == nil {
				want = append(want, updates[i].File)
			}
		}
		lines := strings.Split(strings.TrimSuffix(<-wire, "\n"), "\n")
		if len(want) == 0 {
			continue
		}
		if lines[0] != "BATCH" || lines[len(lines)-1] != "." || len(lines) != len(want)+2 {
			t.Fatalf("sent %q for %d updates", lines, len(want))
		}
		for i, file := range want {
			if got, ok := parse(lines[i+1]); !ok || got.file != file {
				t.Fatalf("line %q, want one for %q", lines[i+1], file)
			}
		}
	}
}

func TestLinesAreBuiltWithoutAllocation(t *testing.T) {
	u := update("sw1.example.net/port-id12345.rrd", at(700), append(counters(13, math.MaxUint64), Gauge(0.125), Unknown()))
	dst := make([]byte, 0, maxLine)
	if allocations := testing.AllocsPerRun(100, func() { dst, _ = u.appendTo(dst[:0]) }); allocations != 0 {
		t.Errorf("%v allocations per line", allocations)
	}
}
