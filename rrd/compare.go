package rrd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"pollux/rrdcached"
)

// Difference is one file that is not the same in both ends.
type Difference struct {
	Device   string // hostname
	File     string
	What     What
	From, To string    // what either end has
	First    time.Time // of DifferentRows: end of the first row that differs; zero otherwise
	Rows     int       // of DifferentRows: how many differ
}

// What says in what two files differ.
type What string

// The kinds of differences.
const (
	DifferentExistence What = "existence"
	DifferentStep      What = "step"
	DifferentSources   What = "sources"
	DifferentArchives  What = "archives"
	DifferentUpdate    What = "last update"
	DifferentRows      What = "rows"
	Unreadable         What = "unreadable" // at least one end cannot read it
)

// pair are the two ends of one comparison.
type pair struct {
	ends         [2]*daemon
	rowsCompared int64
}

// verdict is how one file compares.
type verdict struct {
	absent  bool        // in both ends
	moving  bool        // it was written faster than it could be read
	differs *Difference // nil when it does not
	// late is the end that lacks something that the other one has: the file, or updates after its own last one. -1 for none.
	late   int
	wanted time.Time // last update of the other end
}

// tries is how often a file is looked at that moves on under the comparison.
const tries = 8

// compare compares one file. What one end has beyond the other is not a difference yet: it may be on its way.
//
// Rows that differ count when a second look finds the same. An archive that moves on between
// INFO and FETCH has lost its first row, and FETCH says so by another step only where a coarser archive could answer.
func (p *pair) compare(ctx context.Context, file string) (verdict, error) {
	skip := 0
	var seen time.Time
	var refused *unreadableError
	for try := 0; try < tries; try++ {
		v, err := p.once(ctx, file, skip)
		differ := err == nil && v.differs != nil && v.differs.What == DifferentRows
		again := refused != nil
		switch {
		case errors.As(err, &refused) && again:
			return verdict{late: -1, differs: &Difference{File: file, What: Unreadable, From: refused.ends[0], To: refused.ends[1]}}, nil
		case errors.As(err, &refused): // it may just be made
			if err := pause(ctx, settlePause); err != nil {
				return v, err
			}
			continue
		case err != nil && !errors.Is(err, errMoved):
			return v, err
		case err == nil && (!differ || v.differs.First.Equal(seen)):
			return v, nil
		case differ && seen.IsZero():
			seen = v.differs.First
			continue
		case differ:
			seen = v.differs.First
		}
		skip = max(1, 4*skip)
	}
	return verdict{moving: true, late: -1}, nil
}

func (p *pair) once(ctx context.Context, file string, skip int) (verdict, error) {
	var infos [2]rrdcached.Info
	var exists [2]bool
	err := p.both(ctx, func(ctx context.Context, i int, e *daemon) (err error) {
		infos[i], exists[i], err = e.written(ctx, file)
		return err
	})
	v := verdict{late: -1}
	var refused *unreadableError
	switch {
	case errors.As(err, &refused):
		refused.missing(exists)
		return v, err
	case err != nil:
		return v, err
	case !exists[0] && !exists[1]:
		v.absent = true
		return v, nil
	case !exists[0] || !exists[1]:
		v.late = 0
		if exists[0] {
			v.late = 1
		}
		v.wanted = infos[1-v.late].LastUpdate
		return v, nil
	}
	if v.differs = schemas(infos); v.differs != nil {
		v.differs.File = file
		return v, nil
	}
	c, err := p.rows(ctx, file, infos, skip)
	p.rowsCompared += int64(c.rows)
	if err != nil {
		return v, err
	}
	if c.differ > 0 {
		v.differs = &Difference{
			File: file, What: DifferentRows, First: c.first, Rows: c.differ,
			From: c.source + " " + number(c.values[0]), To: c.source + " " + number(c.values[1]),
		}
		return v, nil
	}
	a, b := infos[0].LastUpdate, infos[1].LastUpdate
	if v.wanted = b; a.Before(b) {
		v.late = 0
	} else if v.wanted = a; b.Before(a) {
		v.late = 1
	}
	return v, nil
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// schemas compares what two files were created with.
func schemas(infos [2]rrdcached.Info) *Difference {
	a, b := infos[0], infos[1]
	switch {
	case a.Step != b.Step:
		return &Difference{What: DifferentStep, From: strconv.Itoa(a.Step) + " s", To: strconv.Itoa(b.Step) + " s"}
	case !slices.Equal(a.Sources, b.Sources):
		from, to := unequal(a.Sources, b.Sources)
		return &Difference{What: DifferentSources, From: from, To: to}
	case !slices.Equal(a.Archives, b.Archives):
		return &Difference{What: DifferentArchives, From: rrdcached.FormatArchives(a.Archives), To: rrdcached.FormatArchives(b.Archives)}
	default:
		return nil
	}
}

// unequal shows the first sources that are not the same.
func unequal(a, b []rrdcached.Source) (string, string) {
	show := func(s []rrdcached.Source, i int) string {
		if i >= len(s) {
			return fmt.Sprintf("%d sources", len(s))
		}
		limit := func(x float64) string {
			if x == rrdcached.NoLimit {
				return "U"
			}
			return number(x)
		}
		return fmt.Sprintf("%s:%s:%d:%s:%s", s[i].Name, s[i].Type, s[i].Heartbeat, limit(s[i].Min), limit(s[i].Max))
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return show(a, i), show(b, i)
}
