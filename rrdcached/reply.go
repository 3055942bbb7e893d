package rrdcached

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	maxReplyLine  = 16 << 10 // bytes; the longest real line names 100 sources: 2 KB
	maxReplyLines = 60_000
)

// replies reads what the daemon answers. The daemon is not trusted: a reply
// that is too long, too large or of another form is ErrProtocol.
type replies struct{ in *bufio.Reader }

// status is the first line of a reply: the number of lines that follow it, or
// a negative number for an error.
type status struct {
	code int
	text string
}

func newReplies(from io.Reader) *replies {
	return &replies{in: bufio.NewReaderSize(from, maxReplyLine)}
}

// pending says whether something has been read that nobody asked for.
func (r *replies) pending() bool { return r.in.Buffered() > 0 }

// line reads one line and returns it without its newline. It is valid until the next read.
func (r *replies) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, maxReplyLine)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	return line[:len(line)-1], nil
}

// status reads the first line of a reply, "<number> <text>".
func (r *replies) status() (status, error) {
	line, err := r.line()
	if err != nil {
		return status{}, err
	}
	number, text, _ := bytes.Cut(line, []byte{' '})
	code, err := strconv.Atoi(string(number))
	if err != nil || code > maxReplyLines {
		return status{}, fmt.Errorf("%w: it begins with %q", ErrProtocol, printable(string(line)))
	}
	return status{code: code, text: string(text)}, nil
}

// lines reads the n lines after a status and hands each to use.
func (r *replies) lines(n int, use func(line []byte) error) error {
	for range n {
		line, err := r.line()
		if err != nil {
			return err
		}
		if err := use(line); err != nil {
			return fmt.Errorf("%w: %w in %q", ErrProtocol, err, printable(string(line)))
		}
	}
	return nil
}

// batch reads the two replies of a batch of n lines and calls refused for each error line with the line's index.
func (r *replies) batch(n int, refused func(index int, text string)) error {
	if err := r.goAhead(); err != nil {
		return err
	}
	return r.batchEnd(n, refused)
}

// goAhead reads the answer to BATCH.
func (r *replies) goAhead() error {
	reply, err := r.status()
	if err != nil {
		return err
	}
	if reply.code < 0 {
		return refusal(reply.text)
	}
	return textOnly(reply)
}

// batchEnd reads the answer to the dot: "<count> errors", then a line
// "<number> <text>" for each line of the batch that was refused, in order, counted from 1.
func (r *replies) batchEnd(n int, refused func(index int, text string)) error {
	reply, err := r.status()
	if err != nil {
		return err
	}
	if reply.code < 0 || reply.code > n {
		return fmt.Errorf("%w: %d errors for a batch of %d lines", ErrProtocol, reply.code, n)
	}
	last := 0
	return r.lines(reply.code, func(line []byte) error {
		number, text, _ := bytes.Cut(line, []byte{' '})
		index, err := strconv.Atoi(string(number))
		if err != nil || index <= last || index > n {
			return errors.New("no line of the batch")
		}
		last = index
		refused(index-1, string(text))
		return nil
	})
}
