package main

import (
	"fmt"
	"math"
	"time"

	"pollux/journal"
)

const (
	writeOutStale  = time.Minute // after which a recorder's report says nothing of now
	writeOutBehind = time.Minute // of files waiting without a pause, from which on that is what is shown
)

// writeOutJSON is how an RRDCached keeps up with writing files, in JSON.
type writeOutJSON struct {
	Age      float64 `json:"age_seconds"`
	Span     float64 `json:"span_seconds"`
	Idle     float64 `json:"idle_ratio"`
	Waiting  float64 `json:"waiting_seconds"`
	Queue    uint64  `json:"queue"`
	Cached   uint64  `json:"cached_files"`
	Updates  float64 `json:"updates_per_second"`
	Files    float64 `json:"files_per_second"`
	Values   float64 `json:"values_per_second"`
	Capacity float64 `json:"capacity_files_per_second"` // 0: files never waited long enough to tell
}

// newWriteOutJSON is nil when nothing is known.
func newWriteOutJSON(w journal.WriteOut) *writeOutJSON {
	if w.Span == 0 {
		return nil
	}
	return &writeOutJSON{
		Age: w.Age.Seconds(), Span: w.Span.Seconds(), Idle: w.Idle, Waiting: w.Waiting.Seconds(), Queue: w.Queue, Cached: w.Cached,
		Updates: w.Updates, Files: w.Files, Values: w.Values, Capacity: w.Capacity,
	}
}

// String is a cell of the table: the share of the time without waiting files is what is left for more.
func (w *writeOutJSON) String() string {
	switch {
	case w == nil:
		return ""
	case w.Age > writeOutStale.Seconds():
		return "not seen for " + seconds(w.Age)
	case w.Waiting >= writeOutBehind.Seconds():
		return fmt.Sprintf("behind for %s, %d files wait", seconds(w.Waiting), w.Queue)
	default:
		return fmt.Sprintf("%.0f %% idle, %.0f files/s", math.Floor(w.Idle*100), w.Files)
	}
}
