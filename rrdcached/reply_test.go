package rrdcached

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Replies as rrdcached 1.7.2 gives them.
const (
	replyStats = "9 Statistics follow\nQueueLength: 1\nUpdatesReceived: 5048\nFlushesReceived: 5\nUpdatesWritten: 1\nDataSetsWritten: 3\nTreeNodesNumber: 2\nTreeDepth: 2\nJournalBytes: 0\nJournalRotate: 0\n"
	replyFetch = "8 Success\nFlushVersion: 1\nStart: 1795335900\nEnd: 1795336500\nStep: 300\nDSCount: 2\nDSName: in out\n1795336200: -nan 4.98833333333333329e+00\n1795336500: inf nan\n"
	replyInfo  = "24 Info for /b/mm.rrd follows\nfilename 2 /b/mm.rrd\nrrd_version 2 0003\nstep 1 60\nlast_update 1 1795336000\nheader_size 1 584\nds[a].index 1 0\nds[a].type 2 GAUGE\nds[a].minimal_heartbeat 1 1\nds[a].min 0 5.0000000000e+00\nds[a].max 0 NaN\nds[a].last_ds 2 U\nds[a].value 0 NaN\nds[a].unknown_sec 1 40\n" +
		"ds[b].index 1 1\nds[b].type 2 DERIVE\nds[b].minimal_heartbeat 1 1\nrra[0].cf 2 AVERAGE\nrra[0].rows 1 2\nrra[0].cur_row 1 0\nrra[0].pdp_per_row 1 1\nrra[0].xff 0 9.9900000000e-01\nrra[0].cdp_prep[0].value 0 NaN\nrra[0].cdp_prep[0].unknown_datapoints 1 0\nrra[0].cdp_prep[1].value 0 NaN\n"
	replyBatch = "0 Go ahead.  End with dot '.' on its own line.\n2 errors\n1 illegal attempt to update using time 1.000000 when last update time is 1795336460.700000 (minimum one second step)\n3 No such file: /tmp/b/a/y.rrd\n"
)

// readAll lets every reader of replies read data, and returns their errors.
func readAll(data []byte) map[string]error {
	results := map[string]error{}
	from := func() *replies { return newReplies(bytes.NewReader(data)) }
	withStatus := func(name string, read func(*replies, status) error) {
		r := from()
		reply, err := r.status()
		if err == nil && reply.code >= 0 {
			err = read(r, reply)
		} else if err == nil {
			err = refusal(reply.text)
		}
		results[name] = err
	}
	withStatus("stats", func(r *replies, reply status) error { _, err := r.stats(reply); return err })
	withStatus("fetch", func(r *replies, reply status) error {
		series, err := r.series(reply)
		for _, row := range series.Rows {
			if err == nil && len(row.Values) != len(series.Names) {
				return fmt.Errorf("%d values for %d names", len(row.Values), len(series.Names))
			}
		}
		return err
	})
	withStatus("info", func(r *replies, reply status) error { _, err := r.info(reply); return err })
	refused := make([]error, 3)
	results["batch"] = from().batch(3, func(index int, text string) { refused[index] = refusal(text) })
	return results
}

func TestGoodReplies(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"stats": replyStats, "fetch": replyFetch, "info": replyInfo, "batch": replyBatch} {
		if err := readAll([]byte(text))[name]; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for cut := range len(text) - 1 { // a reply that ends early is never taken
			if err := readAll([]byte(text[:cut]))[name]; !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s after %d bytes: %v", name, cut, err)
			}
		}
	}
}

func TestBadReplies(t *testing.T) {
	t.Parallel()
	swap := func(text, old, with string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in the reply", old)
		}
		return strings.Replace(text, old, with, 1)
	}
	for _, one := range []struct{ name, text string }{
		{"stats", "hello\n"}, {"stats", "\n"}, {"stats", "99999999 lines\n"}, {"stats", "0 Statistics follow\n"}, {"stats", "x" + strings.Repeat("y", maxReplyLine)},
		{"stats", swap(replyStats, "QueueLength", "Queue")}, {"stats", swap(replyStats, "5048", "-1")}, {"stats", swap(replyStats, "UpdatesReceived", "QueueLength")},
		{"fetch", swap(replyFetch, "DSCount: 2", "DSCount: 3")}, {"fetch", swap(replyFetch, "DSCount: 2", "DSCount: 2147483647")}, {"fetch", swap(replyFetch, "Step: 300", "Step: 0")},
		{"fetch", swap(replyFetch, "1795336500: inf", "1795336501: inf")}, {"fetch", swap(replyFetch, "inf nan", "inf")}, {"fetch", swap(replyFetch, "inf nan", "inf nan 1")},
		{"fetch", swap(replyFetch, "inf nan", "inf abc")}, {"fetch", swap(replyFetch, "in out", "in <b>")}, {"fetch", "0 Success\n"}, {"fetch", swap(replyFetch, "Start: 1795335900", "Start: -5")},
		{"fetch", swap(replyFetch, "Start: ", "Begin: ")}, {"fetch", swap(replyFetch, "1795336200: ", "1795336200")},
		{"info", swap(replyInfo, "step 1 60", "step 1 0")}, {"info", swap(replyInfo, "ds[a].index 1 0", "ds[a].index 1 1")}, {"info", swap(replyInfo, "ds[b].index 1 1", "ds[a b].index 1 1")},
		{"info", swap(replyInfo, "ds[a].type", "ds[c].type")}, {"info", swap(replyInfo, "rra[0].cf", "rra[1].cf")}, {"info", swap(replyInfo, "rra[0].rows 1 2", "rra[0].rows 1 -2")},
		{"info", swap(replyInfo, "9.99", "9,99")}, {"info", "1 Info\nstep 1 60\n"}, {"info", "1 Info\nstep\n"}, {"info", swap(replyInfo, "last_update 1 1795336000", "last_update 1 x")},
		{"batch", swap(replyBatch, "2 errors", "4 errors")}, {"batch", swap(replyBatch, "2 errors", "-1 errors")}, {"batch", swap(replyBatch, "3 No", "1 No")},
		{"batch", swap(replyBatch, "3 No", "4 No")}, {"batch", swap(replyBatch, "3 No", "x No")}, {"batch", swap(replyBatch, "0 Go", "1 Go")},
	} {
		if err := readAll([]byte(one.text))[one.name]; !errors.Is(err, ErrProtocol) || len(err.Error()) > 400 {
			t.Errorf("%s %.60q: %v", one.name, one.text, err)
		}
	}
	large := fmt.Sprintf("50006 Success\nStart: 0\nStep: 1\nDSCount: 100\nDSName:%s\n", strings.Repeat(" a", 100))
	var endless strings.Builder
	endless.WriteString(large)
	for i := range 50_000 {
		fmt.Fprintf(&endless, "%d:%s\n", i+1, strings.Repeat(" 1", 100))
	}
	if err := readAll([]byte(endless.String()))["fetch"]; !errors.Is(err, ErrProtocol) {
		t.Errorf("5,000,000 values: %v", err)
	}
}

func TestRefusalsAreSorted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"illegal attempt to update using time 1.000000 when last update time is 1795336460.700000 (minimum one second step)": "duplicate",
		"illegal attempt to update using time 1.000000 when last update time is nan (minimum one second step)":               "refused",
		"illegal attempt to update using time 1.000000 when the moon is full":                                                "refused",
		"No such file: /tmp/b/a/y.rrd": "nofile",
		"No such file or directory":    "nofile",
		"rrd_fetch_r failed: opening '/tmp/rp/b/a/zz.rrd': No such file or directory": "nofile",
		"RRD Error: Cannot open source RRD nix.rrd":                                   "nofile",
		"RRD Error: creating '/tmp/rp/b/a/x.rrd': File exists":                        "exists",
		"/tmp/rp/b/../x.rrd: Permission denied":                                       "refused",
		"Permission denied.":                                                          "refused",
		"Cannot find timestamp in 'N:1:2'!":                                           "badvalue",
		"No values updated.":                                                          "badvalue",
		"RRD Error:":                                                                  "refused",
		"stat failed with error 36.":                                                  "refused",
		"":                                                                            "refused",
	} {
		if err := refusal(text); Class(err) != want {
			t.Errorf("%q is %s (%v), want %s", text, Class(err), err, want)
		}
	}
	err := refusal("<script>\x1b[2J\xff" + strings.Repeat("é", 5000))
	var reply *ReplyError
	if !errors.As(err, &reply) || len(reply.Text) > maxErrorText || strings.ContainsFunc(reply.Text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("text %q", err)
	}
	if Class(nil) != "ok" || Class(fmt.Errorf("x: %w: %w", ErrConnection, err)) != "connection" {
		t.Error("class of nil or of a lost connection")
	}
}
