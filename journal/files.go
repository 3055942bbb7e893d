package journal

import (
	"hash/maphash"
	"math"
	"time"
)

const (
	maxFiles   = 5_000_000 // files remembered; at the bound all are asked again
	maxRefused = 1000      // files whose refusal was logged
)

// touch is what is known of one file.
type touch struct {
	second     uint32 // whole second of the last update that the daemon answered; everything is refused at unusable
	connection uint32 // on which it was asked; 0 is never
}

// unusable stands for the second of a file that can take nothing on this connection.
const unusable = math.MaxUint32

// files remembers which files were asked for their last update on this
// connection, and which were found to have the right sources ever.
//
// A file is known by a 64-bit hash of its name, seeded per process: 16 bytes a
// file instead of 100. Two files with one hash (1 in 6 million for 2 million files)
// would cost the first touch of one of them, on this process only.
type files struct {
	seed       maphash.Seed
	connection uint32
	known      map[uint64]touch
	refused    map[uint64]struct{}
}

func newFiles() *files {
	return &files{seed: maphash.MakeSeed(), known: map[uint64]touch{}, refused: map[uint64]struct{}{}}
}

// connect begins a new connection: every file must be asked again.
func (f *files) connect() {
	f.connection++
	clear(f.refused)
}

func (f *files) hash(name string) uint64 { return maphash.String(f.seed, name) }

// touched returns what was learned of the file on this connection.
func (f *files) touched(hash uint64) (second uint32, ok bool) {
	t, found := f.known[hash]
	return t.second, found && t.connection == f.connection
}

// checked says whether the file was found to have the right sources, on whatever connection.
func (f *files) checked(hash uint64) bool {
	t, found := f.known[hash]
	return found && t.second != unusable
}

// learn notes the time of the file's last update in Unix seconds.
func (f *files) learn(hash uint64, last float64) {
	f.put(hash, uint32(max(0, min(math.Floor(last), unusable-1))))
}

// spoil notes that the file can take nothing on this connection.
func (f *files) spoil(hash uint64) { f.put(hash, unusable) }

func (f *files) put(hash uint64, second uint32) {
	if len(f.known) >= maxFiles {
		clear(f.known)
	}
	f.known[hash] = touch{second, f.connection}
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

// present says whether a file whose last update was in second has the sample.
// The daemon may know that time as a whole second only, so whole seconds are compared.
func present(second uint32, sample time.Time) bool { return sample.Unix() <= int64(second) }
