package simulator

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	recordingSuffix = ".snmprec"
	maxLibrary      = 96 << 20 // bytes of recordings kept in memory
)

// library is a directory of recordings. They are read when first asked for, and
// the ones not asked for longest are dropped when they exceed limit.
type library struct {
	dir   string
	names map[string]bool // fixed when the library is opened, so that no request can name another file
	limit int
	log   *slog.Logger

	mu     sync.Mutex
	held   map[string]*list.Element // of *volume
	recent *list.List               // the most recently used first
	weight int
}

type volume struct {
	name      string
	once      sync.Once
	recording *recording // nil if it could not be read
	weight    int        // counted in library.weight
}

func openLibrary(dir string, log *slog.Logger) (*library, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	names := map[string]bool{}
	for _, entry := range entries {
		if name, found := strings.CutSuffix(entry.Name(), recordingSuffix); found && name != "" && !entry.IsDir() {
			names[name] = true
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no %s file in %s: %w", recordingSuffix, dir, fs.ErrNotExist)
	}
	return &library{dir: dir, names: names, limit: maxLibrary, log: log, held: map[string]*list.Element{}, recent: list.New()}, nil
}

// find returns the recording of a name, or nil if there is none or it cannot be read.
func (l *library) find(name []byte) *recording {
	if l == nil || !l.names[string(name)] {
		return nil
	}
	v := l.take(string(name))
	v.once.Do(func() {
		recording, err := l.read(v.name)
		if err != nil {
			l.log.Warn("a recording is left out", "name", v.name, "error", err)
			return
		}
		v.recording = recording
		l.add(v)
	})
	return v.recording
}

func (l *library) take(name string) *volume {
	l.mu.Lock()
	defer l.mu.Unlock()
	element := l.held[name]
	if element == nil {
		element = l.recent.PushFront(&volume{name: name})
		l.held[name] = element
	}
	l.recent.MoveToFront(element)
	return element.Value.(*volume)
}

// add counts a recording that was just read and drops others to make room. A
// volume that is dropped while it is read or used is simply read again the next time.
func (l *library) add(v *volume) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if element := l.held[v.name]; element == nil || element.Value.(*volume) != v {
		return
	}
	v.weight = v.recording.weight()
	l.weight += v.weight
	for l.weight > l.limit && l.recent.Len() > 1 {
		oldest := l.recent.Remove(l.recent.Back()).(*volume)
		delete(l.held, oldest.name)
		l.weight -= oldest.weight
	}
}

func (l *library) read(name string) (*recording, error) {
	file, err := os.Open(filepath.Join(l.dir, name+recordingSuffix))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	recording, skipped, err := readRecording(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	l.log.Debug("recording read", "name", name, "objects", recording.size(), "lines_left_out", skipped)
	return recording, nil
}
