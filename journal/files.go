package journal

import (
	"hash/maphash"
	"math"
	"time"
)

const (
	maxFiles   = 5_000_000 // files remembered; at the bound all are asked again
	maxTrusted = 1_000_000 // directories whose files' sources are trusted; at the bound all are looked at again
	maxRefused = 1000      // files whose refusal was logged
	maxAgain   = 10_000    // spoiled files that are asked again in vain, per era
)

// touch is what is known of one file.
type touch struct {
	second uint32 // whole second of the last update that the daemon answered; everything is refused at unusable
	asked  uint32 // the connection on which it was asked, of a spoiled file the era; 0 is never. In its upper 8 bits the round in which it was looked at
}

const (
	roundShift = 24
	askedMask  = 1<<roundShift - 1
	maxRound   = 255
)

func (t touch) when() uint32 { return t.asked & askedMask }

// round is when the sources of a file were compared, or this process created it; 0 for never.
func (t touch) round() uint32 { return t.asked >> roundShift }

// unusable stands for the second of a file that can take nothing in this era.
const unusable = math.MaxUint32

// files remembers which files were asked for their last update on this
// connection, and in which directories a file was found to have the right sources ever.
//
// A file is known by a 64-bit hash of its name, seeded per process: 16 bytes a
// file instead of 100. Two files with one hash (1 in 6 million for 2 million files)
// would cost the first touch of one of them, on this process only.
type files struct {
	seed       maphash.Seed
	limit      int // files remembered
	connection uint32
	era        uint32 // ends with the connection, and after some minutes of it: then spoiled files are asked again
	round      uint32 // of looking at files: in the next one all are looked at again, since they may have been replaced or deleted
	behind     bool   // in this era there was not the time to look at a file in whose turn it was
	failed     int    // spoiled files that were asked again in vain in this era
	known      map[uint64]touch
	trusted    map[uint64]struct{}
	refused    map[uint64]struct{} // whose refusal was logged on this connection
	foreign    map[uint64]struct{} // whose other sources were logged
}

func newFiles() *files {
	return &files{
		seed: maphash.MakeSeed(), limit: maxFiles, round: 1,
		known: map[uint64]touch{}, trusted: map[uint64]struct{}{}, refused: map[uint64]struct{}{}, foreign: map[uint64]struct{}{},
	}
}

// connect begins a new connection: every file must be asked again.
func (f *files) connect() {
	f.connection = f.connection%askedMask + 1
	f.renew()
	clear(f.refused)
}

// renew begins a new era: spoiled files are asked again, because somebody may have
// repaired them. A new round of looking at files begins only when the last one is
// through, or in a large tree the same files would be looked at each time.
func (f *files) renew() {
	f.era = f.era%askedMask + 1
	f.failed = 0
	if !f.behind {
		f.round = f.round%maxRound + 1
	}
	f.behind = false
}

func (f *files) hash(name string) uint64 { return maphash.String(f.seed, name) }

// touched returns what was learned of the file on this connection, of a spoiled file in this era.
func (f *files) touched(hash uint64) (second uint32, ok bool) {
	t, found := f.known[hash]
	if found && t.second == unusable {
		return unusable, t.when() == f.era || f.failed >= maxAgain
	}
	return t.second, found && t.when() == f.connection
}

// spoiled says whether the file could take nothing when it was asked last, on whatever connection.
func (f *files) spoiled(hash uint64) bool { return f.known[hash].second == unusable }

// room makes room for n files. All that was learned may be gone after it, so
// it must not be called between the first touch of a line and its sending.
func (f *files) room(n int) {
	if len(f.known)+n > f.limit {
		clear(f.known)
		clear(f.trusted)
	}
}

// learn notes the time of the file's last update in Unix seconds.
func (f *files) learn(hash uint64, last float64) {
	f.known[hash] = touch{uint32(max(0, min(math.Floor(last), unusable-1))), f.connection | f.known[hash].asked&^askedMask}
	delete(f.foreign, hash)
}

// inspect notes that the file's sources are those that they must be.
func (f *files) inspect(hash uint64) {
	t := f.known[hash]
	t.asked = t.when() | f.round<<roundShift
	f.known[hash] = t
}

// inspected says whether there is nothing to look at in this round: the sources are right, or the file takes nothing anyway.
func (f *files) inspected(hash uint64) bool {
	t := f.known[hash]
	return t.second == unusable || t.round() == f.round
}

// good says that the file's sources were right when they were looked at last.
func (f *files) good(hash uint64) bool { return f.known[hash].round() != 0 }

// spoil notes that the file can take nothing in this era.
func (f *files) spoil(hash uint64) {
	if f.spoiled(hash) {
		f.failed++
	}
	f.known[hash] = touch{unusable, f.era}
}

// trust notes that a file of a directory has the right sources; hash is the one of directory, kind and generation.
func (f *files) trust(hash uint64) {
	if len(f.trusted) >= maxTrusted {
		clear(f.trusted)
	}
	f.trusted[hash] = struct{}{}
}

// forget makes the file be asked again.
func (f *files) forget(hash uint64) { delete(f.known, hash) }

// firstRefusal is true once per file and connection, for a bounded number of files.
func (f *files) firstRefusal(hash uint64) bool {
	if _, found := f.refused[hash]; found || len(f.refused) >= maxRefused {
		return false
	}
	f.refused[hash] = struct{}{}
	return true
}

// firstForeign is true once per file, until it has been found good again, for a bounded number of files.
func (f *files) firstForeign(hash uint64) bool {
	if _, found := f.foreign[hash]; found || len(f.foreign) >= maxRefused {
		return false
	}
	f.foreign[hash] = struct{}{}
	return true
}

// present says whether a file whose last update was in second has the sample.
// The daemon may know that time as a whole second only, so whole seconds are compared.
func present(second uint32, sample time.Time) bool { return sample.Unix() <= int64(second) }
