package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"pollux/rrdcached"
)

const (
	writeOutMinutes = 15               // that are looked back on
	writeOutGap     = time.Minute      // without a look, after which nothing is known of the time between
	writeOutBusy    = 10 * time.Second // of files waiting all the time, from which on a capacity is told
	maxWriteOutText = 1000             // bytes of a report in Redis
)

// WriteOut is how a target keeps up with writing the files that are due, as
// its recorder saw it in the last 15 minutes. The zero WriteOut says that nothing is known.
type WriteOut struct {
	Age      time.Duration `json:"-"`        // since the last look
	Span     time.Duration `json:"span"`     // that was looked at
	Idle     float64       `json:"idle"`     // share of the looks at which no file waited to be written: the headroom
	Waiting  time.Duration `json:"waiting"`  // how long files have waited without a look at which none did, 0 while none waits
	Queue    uint64        `json:"queue"`    // files that wait
	Cached   uint64        `json:"cached"`   // files of which the daemon holds something
	Updates  float64       `json:"updates"`  // UPDATE commands a second, first touches and refused ones included
	Files    float64       `json:"files"`    // files written a second
	Values   float64       `json:"values"`   // updates written a second
	Capacity float64       `json:"capacity"` // files written a second while files waited all the time, 0 when they did not for 10 s
}

// tally is one minute of looks.
type tally struct {
	looks, idle            int
	span, busy             time.Duration
	updates, files, values uint64
	busyFiles              uint64
}

// clockwork says when to look at the daemon, so that the looks find files
// waiting as often as they wait.
type clockwork struct {
	at    time.Time // of the last look
	armed bool      // a look is due since the last entries came
}

// due says whether to look now. Right before entries are sent, the daemon has
// had time since those before; but the first entries behind a fixed time are likely to
// come behind a long pause, in which it got further than it usually does. Those after them come as any do.
func (c *clockwork) due(now time.Time, every time.Duration, sending bool) bool {
	if now.Sub(c.at) < every {
		return false
	}
	if sending && !c.armed {
		c.armed = true
		return false
	}
	c.at, c.armed = now, false
	return true
}

// writeOut watches whether the daemon writes its files as fast as they fall
// due. It is not known how many are due, which -w and -z of the daemon decide; but at a moment
// at which no file waits, all that were due are written.
type writeOut struct {
	begun   time.Time
	last    rrdcached.Stats
	at      time.Time // of last; zero before the first look
	idleAt  time.Time // of the last look at which no file waited, or of the first look
	minutes [writeOutMinutes]tally
	minute  int // the newest, counted from begun
	warned  bool
}

// look takes in the daemon's counters, and returns what was added to them since the last look.
func (w *writeOut) look(now time.Time, stats rrdcached.Stats) (added rrdcached.Stats) {
	if w.at.IsZero() {
		w.begun, w.idleAt = now, now
	}
	t := w.turn(now)
	t.looks++
	if stats.QueueLength == 0 {
		t.idle++
		w.idleAt = now
	}
	before, span := w.last, now.Sub(w.at)
	known := !w.at.IsZero() && span < writeOutGap && stats.UpdatesReceived >= before.UpdatesReceived &&
		stats.UpdatesWritten >= before.UpdatesWritten && stats.DataSetsWritten >= before.DataSetsWritten
	w.last, w.at = stats, now
	if !known { // the first look, the first after a while, or another instance of the daemon
		w.idleAt = now
		return rrdcached.Stats{}
	}
	added.UpdatesReceived = stats.UpdatesReceived - before.UpdatesReceived
	added.UpdatesWritten = stats.UpdatesWritten - before.UpdatesWritten
	added.DataSetsWritten = stats.DataSetsWritten - before.DataSetsWritten
	t.span += span
	t.updates += added.UpdatesReceived
	t.files += added.UpdatesWritten
	t.values += added.DataSetsWritten
	if before.QueueLength > added.UpdatesWritten { // the queue cannot have been empty in between
		t.busy += span
		t.busyFiles += added.UpdatesWritten
	}
	return added
}

// turn is the tally of now; those of minutes without a look are emptied.
func (w *writeOut) turn(now time.Time) *tally {
	minute := int(now.Sub(w.begun) / time.Minute)
	for range min(minute-w.minute, writeOutMinutes) {
		w.minute++
		w.minutes[w.minute%writeOutMinutes] = tally{}
	}
	w.minute = max(w.minute, minute)
	return &w.minutes[w.minute%writeOutMinutes]
}

// resume takes over from another recorder since when files wait.
func (w *writeOut) resume(now time.Time, before WriteOut) {
	if before.Waiting > 0 && before.Age < writeOutGap && w.last.QueueLength > 0 && now.Sub(w.at) < writeOutGap {
		if since := now.Add(-before.Waiting - before.Age); since.Before(w.idleAt) {
			w.idleAt = since
		}
	}
}

// report sums up.
func (w *writeOut) report() WriteOut {
	var sum tally
	for _, t := range w.minutes {
		sum.looks, sum.idle = sum.looks+t.looks, sum.idle+t.idle
		sum.span, sum.busy = sum.span+t.span, sum.busy+t.busy
		sum.updates, sum.files, sum.values = sum.updates+t.updates, sum.files+t.files, sum.values+t.values
		sum.busyFiles += t.busyFiles
	}
	r := WriteOut{Span: sum.span, Queue: w.last.QueueLength, Cached: w.last.TreeNodesNumber}
	if sum.looks > 0 {
		r.Idle = float64(sum.idle) / float64(sum.looks)
	}
	if r.Queue > 0 {
		r.Waiting = w.at.Sub(w.idleAt)
	}
	if seconds := sum.span.Seconds(); seconds > 0 {
		r.Updates, r.Files, r.Values = float64(sum.updates)/seconds, float64(sum.files)/seconds, float64(sum.values)/seconds
	}
	if sum.busy >= writeOutBusy {
		r.Capacity = float64(sum.busyFiles) / sum.busy.Seconds()
	}
	return r
}

// text is a report as Redis keeps it.
func (r WriteOut) text() string {
	text, err := json.Marshal(r)
	if err != nil { // no report has a number that JSON lacks
		return ""
	}
	return string(text)
}

// writeOut reads the report on a target. Without one, or with one that makes no sense, nothing is known.
func (j *Journal) writeOut(ctx context.Context, target string, now time.Time) (WriteOut, error) {
	values, err := j.client.HMGet(ctx, j.key("cursor", target), "writeout", "writeout_at").Result()
	if err != nil {
		return WriteOut{}, fmt.Errorf("read how target %s writes: %w", target, err)
	}
	text, _ := values[0].(string)
	at, _ := values[1].(string)
	ms, err := parseNumber(at)
	var r WriteOut
	if err != nil || ms == 0 || ms > maxSeconds*1000 || len(text) > maxWriteOutText || json.Unmarshal([]byte(text), &r) != nil || r.Span < 0 || r.Waiting < 0 {
		return WriteOut{}, nil
	}
	r.Age = max(0, now.Sub(time.UnixMilli(int64(ms))))
	return r, nil
}

// resumeWriteOut goes on from what the last recorder saw.
func (t *term) resumeWriteOut(ctx context.Context) error {
	now, err := t.journal.client.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("read the time of Redis: %w", err)
	}
	before, err := t.journal.writeOut(ctx, t.target, now)
	if err != nil {
		return err
	}
	t.writing.resume(time.Now(), before)
	return nil
}

// watchWriteOut warns once when files have waited for long, and says when that is over.
func (t *term) watchWriteOut() {
	r := t.writing.report()
	switch {
	case r.Waiting >= t.pace.behind && !t.writing.warned:
		t.writing.warned = true
		t.log.Warn("RRDCached does not write files as fast as they are due; see \"Does RRDCached keep up\" in docs/scale.md",
			"waiting", r.Waiting.Round(time.Second).String(), "queue", r.Queue, "files_per_second", int(r.Files))
	case r.Waiting == 0 && t.writing.warned:
		t.writing.warned = false
		t.log.Info("RRDCached has written all files that were due")
	}
}
