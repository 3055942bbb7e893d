package journal

import (
	"context"
	"time"
)

// Hurry makes a recorder work at the pace of an accelerated test: grace and the
// distance of marks as given, everything else in fractions of a second.
func (r *Recorder) Hurry(grace, mark time.Duration) {
	r.pace = pace{
		grace: grace, mark: mark, look: 300 * time.Millisecond, tick: 100 * time.Millisecond,
		idle: 50 * time.Millisecond, backoff: 200 * time.Millisecond, block: 100 * time.Millisecond, keep: 100 * time.Millisecond,
		reread: 20 * time.Millisecond, renew: 300 * time.Millisecond, full: r.pace.full, yield: r.pace.yield, patience: r.pace.patience,
		behind: r.pace.behind,
	}
}

// WithoutProbe switches rule J2 off: lines are sent without asking what the file has.
func (r *Recorder) WithoutProbe() { r.faults.noProbe = true }

// WithoutStoredUpdates switches rule J3 off: a restart is seen only by the process that was there.
func (r *Recorder) WithoutStoredUpdates() { r.faults.forgetUpdates = true }

// WithoutRestating sends lines behind what files have without stating that again.
func (r *Recorder) WithoutRestating() { r.faults.noRestate = true }

// FullFor sets how long a full disk holds up the log.
func (r *Recorder) FullFor(d time.Duration) { r.pace.full = d }

// BehindAfter sets how long files may wait to be written without a line in the log.
func (r *Recorder) BehindAfter(d time.Duration) { r.pace.behind = d }

// Inspect lets one part in so many of the time go into looking at sources.
func (r *Recorder) Inspect(parts int) { r.pace.inspect = parts }

// Patience sets how long an entry of a later program is waited for, a tenth of it without the lease.
func (r *Recorder) Patience(d time.Duration) { r.pace.yield, r.pace.patience = d/10, d }

// Still makes a recorder do nothing but its rounds.
func (r *Recorder) Still() { r.pace.tick = time.Hour }

// Knows makes a recorder read entries up to a version, as that of another program would.
func (r *Recorder) Knows(version byte) { r.faults.newest = version }

// RememberFiles bounds the files that a recorder remembers.
func (r *Recorder) RememberFiles(n int) { r.files.limit = n }

// StoreScript is the hash of the script that stores a cursor.
var StoreScript = storeScript.Hash()

// CutScript is the hash of the script that cuts the log.
var CutScript = cutScript.Hash()

// CutScriptText is its text.
const CutScriptText = cutText

// ErrNewer is the error of an entry that a later program wrote.
var ErrNewer = errNewer

// Trim trims as the recorder does.
func (j *Journal) Trim(ctx context.Context) error { return j.trim(ctx) }

// Key is the name of a key of the journal.
func (j *Journal) Key(parts ...string) string {
	switch parts[0] {
	case keyLast, keyMoves, keyOwners:
		return common(parts[0])
	}
	return j.key(parts...)
}

// Stream is the name of the log.
func (j *Journal) Stream() string { return j.stream }

// EncodeEntry encodes as Append does.
func EncodeEntry(e Entry) ([]byte, error) { return new(encoder).encode(&e) }

// DecodeEntry decodes as the recorder does.
func DecodeEntry(payload []byte) (Entry, error) { return new(decoder).decode(payload) }

// Encoder encodes with reused buffers.
func Encoder() func(*Entry) ([]byte, error) { return new(encoder).encode }

// Decoder decodes with a reused buffer.
func Decoder() func([]byte) (Entry, error) { return new(decoder).decode }
