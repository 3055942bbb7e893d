package rrd

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"pollux/rrdcached"
)

// maxDepth bounds how deep a tree is walked. RRD trees have one level of directories.
const maxDepth = 8

// copying is a copy at work.
type copying struct {
	tree     *tree
	source   *daemon
	out      *tar.Writer
	progress func(Copied)
	copied   Copied
}

func (s *copying) run(ctx context.Context) error {
	if err := s.directory(ctx, ".", 0); err != nil {
		return err
	}
	if err := s.out.Close(); err != nil {
		return fmt.Errorf("write the end of the archive: %w", err)
	}
	return nil
}

func (s *copying) directory(ctx context.Context, name string, depth int) error {
	entries, err := s.tree.list(name)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		inside := path.Join(name, entry.Name())
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case inside == identityFile:
		case rrdcached.CheckFile(inside) != nil:
			s.copied.Skipped++
		case entry.IsDir() && depth < maxDepth:
			err = s.enter(ctx, inside, entry, depth)
		case entry.Type().IsRegular() && strings.HasSuffix(inside, ".rrd"):
			err = s.file(ctx, inside)
		default:
			s.copied.Skipped++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *copying) enter(ctx context.Context, name string, entry fs.DirEntry, depth int) error {
	info, err := entry.Info()
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	if err := s.head(name+"/", info); err != nil {
		return err
	}
	s.copied.Directories++
	if err := s.directory(ctx, name, depth+1); err != nil {
		return err
	}
	if s.progress != nil {
		s.progress(s.copied)
	}
	return nil
}

// head writes the header of an entry. The owner goes along by name and number: tar takes it over when root unpacks.
func (s *copying) head(name string, info fs.FileInfo) error {
	head, err := tar.FileInfoHeader(info, "")
	if err == nil {
		head.Name = name
		err = s.out.WriteHeader(head)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return nil
}

// file copies one file, with all that RRDCached held of it by now.
func (s *copying) file(ctx context.Context, name string) error {
	known, exists, err := s.source.written(ctx, name)
	var refused *fileError
	if errors.As(err, &refused) {
		return s.unreadable(name, refused)
	}
	if err != nil {
		return err
	}
	if !exists {
		if _, err := s.tree.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return nil // it went away
		}
		return fmt.Errorf("%w: RRDCached at %s has no file %s", ErrNotTree, s.source.address, name)
	}
	data, info, err := s.tree.read(ctx, name)
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	h, err := parseHeader(data)
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	if h.lastUpdate.Before(known.LastUpdate) { // a backup of the tree, or a file system that lags behind
		return fmt.Errorf("%w: %s was updated last at %s, in RRDCached at %s at %s", ErrNotTree, name,
			h.lastUpdate.UTC().Format(time.RFC3339), s.source.address, known.LastUpdate.UTC().Format(time.RFC3339))
	}
	if err := s.head(name, info); err != nil {
		return err
	}
	if _, err := s.out.Write(data); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	s.copied.Files++
	s.copied.Bytes += int64(len(data))
	return nil
}

// unreadable passes over what ends with .rrd and is no RRD file. One whose header is
// sound is damaged behind it: passed over, its history would be missing in the copy and nobody would know.
func (s *copying) unreadable(name string, why error) error {
	switch _, err := s.tree.header(name); {
	case errors.Is(err, errHeader):
		s.copied.Skipped++
		return nil
	case errors.Is(err, fs.ErrNotExist): // it went away
		return nil
	case err != nil:
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return fmt.Errorf("copy %s: %w; mend the file or move it away", name, why)
}
