package rrd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// maxFile bounds what is read of one file into memory.
const maxFile = 256 << 20

// tree is the base directory of an RRDCached on this machine. Nothing outside of it is ever opened.
type tree struct {
	root   *os.Root
	name   string
	target string // whose it is, by its identity
}

// openTree opens a directory and reads whose tree it is; one without identity, or of another cluster, is ErrNotTree.
func openTree(name, clusterID string) (*tree, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotTree, err)
	}
	t := &tree{root: root, name: name}
	if err := t.identify(clusterID); err != nil {
		t.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (t *tree) close() { _ = t.root.Close() } // only a descriptor

func (t *tree) identify(clusterID string) error {
	h, err := t.header(identityFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it has no %s", ErrNotTree, identityFile)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotTree, identityFile, err)
	}
	if len(h.sources) != 2 || !slices.Contains(h.sources, "c"+clusterID) {
		return fmt.Errorf("%w: %s does not name cluster %s", ErrNotTree, identityFile, clusterID)
	}
	for _, name := range h.sources {
		if name != "c"+clusterID && len(name) == len(clusterID)+1 && name[0] == 't' {
			t.target = name[1:]
		}
	}
	if t.target == "" {
		return fmt.Errorf("%w: %s names no target", ErrNotTree, identityFile)
	}
	return nil
}

// header reads the header of a file, which must not be a symbolic link or anything else special.
func (t *tree) header(name string) (header, error) {
	file, err := t.open(name)
	if err != nil {
		return header{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxHeader))
	if err != nil {
		return header{}, err
	}
	return parseHeader(data)
}

var errSpecial = errors.New("not a regular file")

// open opens a regular file to read, and nothing else: no symbolic link, no pipe.
func (t *tree) open(name string) (*os.File, error) {
	looked, err := t.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !looked.Mode().IsRegular() {
		return nil, errSpecial
	}
	file, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !os.SameFile(looked, info) {
		err = errSpecial // it was exchanged meanwhile
	}
	if err != nil {
		_ = file.Close() // it was only looked at
		return nil, err
	}
	return file, nil
}

// list are the entries of a directory in the order of their names.
func (t *tree) list(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(t.root.FS(), name)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	return entries, nil
}

// read reads a file that RRDCached may be writing, as it is between two writes:
// RRDtool locks a file while it writes it, so nobody must have it locked before and
// after, and two readings must be the same. The error is errBusy when it never rests.
func (t *tree) read(ctx context.Context, name string) ([]byte, fs.FileInfo, error) {
	file, err := t.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	for range settleTries {
		info, err := file.Stat()
		if err != nil {
			return nil, nil, err
		}
		if info.Size() > maxFile {
			return nil, nil, fmt.Errorf("it has %d bytes, at most %d are copied", info.Size(), maxFile)
		}
		data, rests, err := twice(file, int(info.Size()))
		if err != nil || rests {
			return data, info, err
		}
		if err := pause(ctx, settlePause); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errBusy
}

var errBusy = errors.New("it is being written all the time")

// twice reads a file two times and says whether nobody wrote meanwhile.
func twice(file *os.File, size int) (data []byte, rests bool, err error) {
	before, err := writing(file)
	if err != nil || before {
		return nil, false, err
	}
	var readings [2][]byte
	for i := range readings {
		readings[i] = make([]byte, size)
		if _, err := file.ReadAt(readings[i], 0); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, false, nil // it was cut meanwhile
			}
			return nil, false, err
		}
	}
	after, err := writing(file)
	return readings[0], err == nil && !after && bytes.Equal(readings[0], readings[1]), err
}

// writing says whether another process holds a lock for writing, without taking one.
func writing(file *os.File) (bool, error) {
	lock := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		return false, fmt.Errorf("ask for locks: %w", err)
	}
	return lock.Type != syscall.F_UNLCK, nil
}
