package rrdcached

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// canned is the connection to a daemon whose answers are fixed. It keeps what it was sent.
type canned struct {
	net.Conn // nil: what is not below is never called
	answers  *bytes.Reader
	sent     bytes.Buffer
}

func (c *canned) Read(p []byte) (int, error)    { return c.answers.Read(p) }
func (c *canned) Write(p []byte) (int, error)   { return c.sent.Write(p) }
func (c *canned) Close() error                  { return nil }
func (c *canned) SetDeadline(_ time.Time) error { return nil }

// answering is a client whose daemon answers with data, whatever it is asked. BATCH has been tried already.
func answering(data []byte) (*Client, *canned) {
	conn := &canned{answers: bytes.NewReader(data)}
	c := newClient(conn, "canned")
	c.batches = true
	return c, conn
}

// FuzzReply holds of every reader of replies, alone and behind its command, that
// it neither panics nor takes what is not whole, and that its errors are short and of a known kind.
func FuzzReply(f *testing.F) {
	for _, text := range []string{
		replyStats, replyFetch, replyInfo, replyBatch, "-1 No such file: /b/x.rrd\n", "0 PONG\n", "0 1795336200\n", "-1 RRD Error: \n", "1795336200 OK\n",
		"-1 illegal attempt to update using time 1.000000 when last update time is 1795336460.700000 (minimum one second step)\n",
		"0 Go ahead.  End with dot '.' on its own line.\n0 errors\n", "-1 Permission denied.\n", "99999999999999999999 x\n", "60000 x\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, err := range readAll(data) {
			checkRefusal(t, name, err)
		}
		for name, call := range commandsOf(t) {
			c, _ := answering(data)
			err := call(c)
			checkRefusal(t, name, err)
			if errors.Is(err, ErrConnection) && !errors.Is(c.Ping(t.Context()), ErrConnection) {
				t.Errorf("%s: the connection goes on after %v", name, err)
			}
		}
	})
}

// checkRefusal wants an error that a caller can tell, and that is fit for a log line.
func checkRefusal(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, ErrProtocol) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrPermission) {
		return
	}
	var illegal *IllegalTimeError
	var reply *ReplyError
	if !errors.As(err, &illegal) && !errors.As(err, &reply) {
		t.Errorf("%s: an error of no known kind: %v", name, err)
	}
	if text := err.Error(); len(text) > 3*maxErrorText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%s: an error of %d bytes: %q", name, len(text), text)
	}
}

// commandsOf are all commands that have a reply; each checks that what it returns is whole.
func commandsOf(t *testing.T) map[string]func(*Client) error {
	ctx := t.Context()
	updates := []Update{update("a", at(0), counters(1, 1)), update("b", at(0), counters(1, 1)), update("a", at(1000), counters(1, 1))}
	return map[string]func(*Client) error{
		"PING":     func(c *Client) error { return c.Ping(ctx) },
		"FLUSH":    func(c *Client) error { return c.Flush(ctx, "a") },
		"FLUSHALL": func(c *Client) error { return c.FlushAll(ctx) },
		"FORGET":   func(c *Client) error { return c.Forget(ctx, "a") },
		"STATS":    func(c *Client) error { _, err := c.Stats(ctx); return err },
		"LAST":     func(c *Client) error { _, err := c.Last(ctx, "a"); return err },
		"UPDATE":   func(c *Client) error { return c.Update(ctx, updates[0]) },
		"CREATE":   func(c *Client) error { return c.Create(ctx, "a", portSchema(10), at(0), "") },
		"ALLOWED":  func(c *Client) error { return c.Allowed(ctx) },
		"INFO": func(c *Client) error {
			info, err := c.Info(ctx, "a")
			if err == nil && (info.Step < 1 || len(info.Sources) < 1 || len(info.Sources) > maxValues || len(info.Archives) > maxArchives) {
				t.Errorf("INFO gave %+v", info)
			}
			return err
		},
		"FETCH": func(c *Client) error {
			series, err := c.Fetch(ctx, "a", "MAX", at(0), at(10_000))
			for i, row := range series.Rows {
				if len(row.Values) != len(series.Names) || row.Time.Unix() != series.Start.Unix()+int64(series.Step)*int64(i+1) {
					t.Errorf("row %d of FETCH is %+v", i, row)
				}
			}
			return err
		},
		"BATCH": func(c *Client) error {
			refusals, err := c.Batch(ctx, updates)
			if (err == nil) != (len(refusals) == len(updates)) {
				t.Errorf("%d answers for %d lines, %v", len(refusals), len(updates), err)
			}
			return err
		},
		"probe": func(c *Client) error {
			found, err := c.Probe(ctx, []string{"a", "b"})
			for _, one := range found {
				if one.Exists && (one.Err != nil || math.IsNaN(one.Last) || math.IsInf(one.Last, 0)) {
					t.Errorf("a probe found %+v", one)
				}
			}
			return err
		},
	}
}

// FuzzLine holds of every line that is sent that it is exactly the command that
// was meant, of bytes of the class and within its length, whatever names, times and values are put in.
func FuzzLine(f *testing.F) {
	number := func(form byte, bits uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{form}, bits) }
	f.Add("sw1/port-id7.rrd", "sw1/port-id7-g1.rrd", int64(1_795_338_000_700), number(1, math.MaxUint64))
	f.Add("a.rrd", "", int64(999), append(number(2, math.Float64bits(-1.5e300)), number(0, 0)...))
	f.Add("a\nFLUSHALL", "../x", int64(math.MaxInt64), bytes.Repeat(number(2, 1), 101))
	f.Add("-x", "a b", int64(-1), number(2, math.Float64bits(math.NaN())))
	f.Add(strings.Repeat("d/", 450)+"x", "x", int64(1_795_338_000_000), bytes.Repeat(number(1, math.MaxUint64), 100))
	f.Fuzz(func(t *testing.T, file, source string, ms int64, numbers []byte) {
		values, wants := valuesOf(numbers)
		u := Update{file, time.UnixMilli(ms), values, anything(len(values))}
		next := u
		next.Time = u.Time.Add(time.Second)
		c, conn := answering([]byte("0 Go ahead.\n0 errors\n"))
		refusals, err := c.Batch(t.Context(), []Update{u, next, u})
		if err != nil {
			t.Fatal(err)
		}
		checkLines(t, conn.sent.String(), u, refusals, wants)
		for _, name := range []string{"FLUSH", "FORGET", "INFO", "LAST"} {
			if err := c.fileCommand(name, file); err == nil && (string(c.out) != name+" "+file || !allowedName(file)) {
				t.Errorf("%q became %q", file, c.out)
			}
		}
		c, conn = answering([]byte("-1 x\n"))
		if _, err := c.Fetch(t.Context(), file, source, time.UnixMilli(ms), time.UnixMilli(ms).Add(time.Hour)); errors.As(err, new(*ReplyError)) {
			if want := fmt.Sprintf("FETCH %s %s %d %d\n", file, source, time.UnixMilli(ms).Unix(), time.UnixMilli(ms).Unix()+3600); conn.sent.String() != want || !allowedName(file) {
				t.Errorf("%q became %q", file, conn.sent.String())
			}
		}
		checkCreate(t, file, source, ms, numbers)
	})
}

// valuesOf reads values of 9 bytes each, and what each must look like on the wire.
func valuesOf(numbers []byte) (values []Value, wants []string) {
	for ; len(numbers) >= 9 && len(values) < 110; numbers = numbers[9:] {
		bits := binary.LittleEndian.Uint64(numbers[1:])
		switch numbers[0] % 3 {
		case 0:
			values, wants = append(values, Unknown()), append(wants, "U")
		case 1:
			values, wants = append(values, Counter(bits)), append(wants, strconv.FormatUint(bits, 10))
		case 2:
			x, want := math.Float64frombits(bits), "U"
			if math.Abs(x) <= 1e300 {
				want = strconv.FormatFloat(x, 'g', -1, 64)
			}
			values, wants = append(values, Gauge(x)), append(wants, want)
		}
	}
	return values, wants
}

// checkLines compares what a batch of u, u a second later and u again has sent with what was meant.
func checkLines(t *testing.T, sent string, u Update, refusals []error, wants []string) {
	t.Helper()
	if refusals[2] == nil {
		t.Errorf("%q is sent twice for one time", u.File)
	}
	var times []int64
	for i, refused := range refusals {
		if refused == nil {
			times = append(times, u.Time.UnixMilli()+int64(i)*1000)
		} else if Class(refused) != "badvalue" || len(refused.Error()) > 2*maxErrorText+maxFile {
			t.Errorf("%q: %v", u.File, refused)
		}
	}
	if len(times) == 0 {
		if sent != "" {
			t.Errorf("%q is sent for nothing", sent)
		}
		return
	}
	lines := strings.Split(sent, "\n")
	if len(lines) != len(times)+3 || lines[0] != "BATCH" || lines[len(lines)-2] != "." || lines[len(lines)-1] != "" {
		t.Fatalf("%d updates became %q", len(times), sent)
	}
	for i, ms := range times {
		got, ok := parse(lines[i+1])
		if !ok || !got.update || got.file != u.File || !allowedName(got.file) || got.ms != ms || len(got.words) != len(wants) {
			t.Fatalf("%+v became %q", u, lines[i+1])
		}
		for k, want := range wants {
			if !sameNumber(got.words[k], want) {
				t.Fatalf("value %d of %q is %s, want %s", k, lines[i+1], got.words[k], want)
			}
		}
	}
}

// checkCreate makes a schema of what there is and reads the line back.
func checkCreate(t *testing.T, file, source string, ms int64, numbers []byte) {
	t.Helper()
	schema := Schema{Step: int(ms % 90_000)}
	for i := 0; i+9 <= len(numbers); i += 9 {
		x := math.Float64frombits(binary.LittleEndian.Uint64(numbers[i+1:]))
		if numbers[i]%2 == 0 {
			schema.Archives = append(schema.Archives, Archive{functions[int(numbers[i])%4], math.Abs(math.Mod(x, 1)), 1 + int(numbers[i]), 1 + i})
		} else {
			schema.Sources = append(schema.Sources, Source{"s" + strconv.Itoa(i), sourceTypes[int(numbers[i])%6], 1 + i, x, NoLimit})
		}
	}
	if len(schema.Sources) > 0 && numbers[0]%5 == 0 {
		schema.Sources[0].Name, schema.Sources[0].Type = source, file
	}
	line, err := appendCreate(nil, file, schema, time.UnixMilli(ms), source)
	if err != nil {
		if Class(err) != "badvalue" || len(line) != 0 {
			t.Errorf("%v leaves %q", err, line)
		}
		return
	}
	got, ok := parse(string(line))
	options := 4
	if source != "" {
		options = 6
	}
	if !ok || got.update || got.file != file || len(got.words) != options+len(schema.Sources)+len(schema.Archives) || !allowedName(file) {
		t.Fatalf("%q %+v became %q", file, schema, line)
	}
	if history := got.words[0] == "-r"; history != (source != "") || history && (got.words[1] != source || !allowedName(source)) {
		t.Fatalf("source %q became %q", source, line)
	}
}
