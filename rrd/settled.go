package rrd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// settled reads a file that nobody updates any more, once everything that was
// is on disk: RRDCached says that a file is written while it still writes it. Its
// last update it says by the step only, so the last of two in one step may be missing: see changed.
func (s *site) settled(ctx context.Context, name string) ([]byte, fs.FileInfo, error) {
	for range settleTries {
		info, exists, err := s.written(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		if !exists {
			return nil, nil, fmt.Errorf("RRDCached at %s does not find it", s.address)
		}
		last, err := s.client.Last(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		data, stat, err := s.read(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		h, err := parseHeader(data)
		if err != nil {
			return nil, nil, err
		}
		if on := h.lastUpdate.Unix(); info.Step > 0 && on-on%int64(info.Step) >= last.Unix() {
			return data, stat, nil
		}
		if err := pause(ctx, settlePause); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errBusy
}

// changed says whether a file is being written, or was since it had that last update.
func (t *tree) changed(name string, last time.Time) (bool, error) {
	file, err := t.open(name)
	if err != nil {
		return false, err
	}
	busy, err := writing(file)
	_ = file.Close() // it was only looked at
	if err != nil || busy {
		return busy, err
	}
	h, err := t.header(name)
	return !h.lastUpdate.Equal(last), err
}

// write puts a file into the tree in one step, with the owner and the rights of the tree it comes from.
func (t *tree) write(name string, data []byte, like fs.FileInfo) (err error) {
	if err := t.root.Mkdir(path.Dir(name), 0o755); err == nil {
		t.give(path.Dir(name), like)
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	part := path.Dir(name) + "/." + path.Base(name) + ".part"
	if err := t.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := t.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, like.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		t.give(part, like)
		err = t.root.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, t.root.Remove(part))
	}
	return nil
}

// sync makes the names in a directory, and its own, survive a crash of the machine: what
// was written to a file does, but not that it has a name. A file system that cannot do so says EINVAL.
func (t *tree) sync(directory string) error {
	for _, name := range []string{directory, "."} {
		d, err := t.root.Open(name)
		if err != nil {
			return err
		}
		err = d.Sync()
		_ = d.Close() // it was only read
		if err != nil && !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	return nil
}

// give makes a file the property of whoever owned the one it was copied from. Only root may.
func (t *tree) give(name string, like fs.FileInfo) {
	if stat, ok := like.Sys().(*syscall.Stat_t); ok {
		_ = t.root.Chown(name, int(stat.Uid), int(stat.Gid))
	}
}
