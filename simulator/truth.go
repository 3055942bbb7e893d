package simulator

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

const (
	entrySize    = 28
	entryVersion = 2
)

// Entry is one octet counter that was answered, or a whole reply that held none.
type Entry struct {
	// Device counts from 0, Port from 1; 0 for a reply without octet counters.
	Device, Port int
	// Source is the UDP port that the request came from. It tells apart two polls of a
	// device that run at the same time; the kernel gives it to another one later.
	Source uint16
	// Column is InOctets or OutOctets, or NoColumn for a reply without octet counters.
	Column Column
	// Wide says whether the object was the 64-bit one, ifHCInOctets or ifHCOutOctets.
	Wide bool
	// UnixNano is the time for which the reply was computed, in ns since 1970.
	UnixNano int64
	// Counter is the value answered.
	Counter uint64
}

// ErrLog says that a log is no log of answers, or ends within an entry.
var ErrLog = errors.New("not a whole log of answered counters")

// ReadLog yields the entries of a log that an Agent wrote to Config.Log, in the order in which
// they were written; those of answers given at the same time may be out of order by a batch of 32.
// It stops at the first error, which wraps ErrLog or is the reader's. The format is 28 bytes an
// entry, big-endian: version 2, column, width in bits, 0, device (4), source (2), port (2), time (8), counter (8).
// Logs may be concatenated.
func ReadLog(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		in := bufio.NewReader(r)
		var raw [entrySize]byte
		for {
			_, err := io.ReadFull(in, raw[:])
			switch {
			case err == io.EOF:
				return
			case err == io.ErrUnexpectedEOF:
				yield(Entry{}, fmt.Errorf("read an entry: %w", ErrLog))
				return
			case err != nil:
				yield(Entry{}, fmt.Errorf("read an entry: %w", err))
				return
			case raw[0] != entryVersion || !(raw[1] < byte(columns) && (raw[2] == 32 || raw[2] == 64) || Column(raw[1]) == NoColumn && raw[2] == 0):
				yield(Entry{}, fmt.Errorf("entry begins with % x: %w", raw[:4], ErrLog))
				return
			}
			if !yield(decodeEntry(&raw), nil) {
				return
			}
		}
	}
}

func decodeEntry(raw *[entrySize]byte) Entry {
	return Entry{
		Device: int(binary.BigEndian.Uint32(raw[4:])), Source: binary.BigEndian.Uint16(raw[8:]), Port: int(binary.BigEndian.Uint16(raw[10:])),
		Column: Column(raw[1]), Wide: raw[2] == 64,
		UnixNano: int64(binary.BigEndian.Uint64(raw[12:])), Counter: binary.BigEndian.Uint64(raw[20:]),
	}
}

// truth collects the entries of the answers that one worker is making. The nil one collects nothing.
type truth struct {
	raw []byte
}

func (t *truth) note(at *moment, o *object, value uint64) {
	if t == nil || o.column != InOctets && o.column != OutOctets {
		return
	}
	width := byte(32)
	if o.kind == kindCounter64 {
		width = 64
	}
	t.append(at, o.column, width, o.port, value)
}

// noteReply notes a reply that has been made since the length mark, unless its counters tell of it.
func (t *truth) noteReply(at *moment, mark int) {
	if t != nil && len(t.raw) == mark {
		t.append(at, NoColumn, 0, 0, 0)
	}
}

func (t *truth) append(at *moment, column Column, width byte, port int, value uint64) {
	t.raw = append(t.raw, entryVersion, byte(column), width, 0)
	t.raw = binary.BigEndian.AppendUint32(t.raw, uint32(at.device))
	t.raw = binary.BigEndian.AppendUint16(t.raw, at.source)
	t.raw = binary.BigEndian.AppendUint16(t.raw, uint16(port))
	t.raw = binary.BigEndian.AppendUint64(t.raw, uint64(at.now))
	t.raw = binary.BigEndian.AppendUint64(t.raw, value)
}

// length is a mark that cut goes back to when a VarBind or a whole reply is dropped.
func (t *truth) length() int {
	if t == nil {
		return 0
	}
	return len(t.raw)
}

func (t *truth) cut(length int) {
	if t != nil {
		t.raw = t.raw[:length]
	}
}

// ledger is the one writer of a log; workers hand it their entries by the batch.
type ledger struct {
	mu  sync.Mutex
	out *bufio.Writer
	err error
}

func newLedger(w io.Writer) *ledger { return &ledger{out: bufio.NewWriterSize(w, 1<<18)} }

// take writes a worker's entries and empties them. The first error stays, since a log with a hole proves nothing.
func (l *ledger) take(t *truth) error {
	if t == nil || len(t.raw) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		_, l.err = l.out.Write(t.raw)
	}
	t.raw = t.raw[:0]
	return l.err
}

func (l *ledger) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = l.out.Flush()
	}
	return l.err
}
