package rrd

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"pollux/rrdcached"
)

// Bounds of one FETCH, so that what both ends answer stays below 20 MB. RRDCached's default archives fit into one.
const (
	fetchRows  = 20_000
	fetchCells = 1_000_000
	fetchSpan  = 19 * 366 * 24 * 3600 // seconds; package rrdcached asks for 20 years at most
)

// errMoved says that an archive moved on between INFO and FETCH.
var errMoved = errors.New("the archive has moved on")

// compared is what a comparison of rows found.
type compared struct {
	rows   int       // that were compared
	differ int       // of them
	first  time.Time // end of the first row that differs
	source string    // in which it does
	values [2]float64
}

// rows compares all archives of a file in both ends, up to the time that both have. skip are
// rows at the beginning of each archive that are left out, because the file is moving on.
//
// Both sides computed each value from the same updates; see sameRate for what may differ all the same.
func (p *pair) rows(ctx context.Context, file string, infos [2]rrdcached.Info, skip int) (compared, error) {
	var c compared
	until := min(infos[0].LastUpdate.Unix(), infos[1].LastUpdate.Unix())
	for i, archive := range infos[0].Archives {
		if slices.ContainsFunc(infos[0].Archives[:i], func(a rrdcached.Archive) bool {
			return a.Function == archive.Function && a.Steps == archive.Steps && a.Rows >= archive.Rows
		}) {
			continue
		}
		length := int64(archive.Steps) * int64(infos[0].Step)
		begin := int64(1)
		for _, info := range infos {
			begin = max(begin, info.LastUpdate.Unix()/length*length-int64(archive.Rows)*length)
		}
		begin = (begin + length - 1) / length * length // an archive longer than the time since 1970
		begin += int64(min(skip, archive.Rows-1)) * length
		if err := p.archive(ctx, file, archive.Function, window{begin, until / length * length, length, len(infos[0].Sources)}, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// window is what is asked of one archive: Unix seconds, and the length of its rows.
type window struct {
	begin, end, length int64
	sources            int
}

// archive compares the rows of one archive. FETCH has no word for an archive:
// it takes the finest one that reaches back to the begin. Asked for its own begin
// an archive answers, unless a finer one reaches as far, whose rows are as good.
func (p *pair) archive(ctx context.Context, file, function string, w window, c *compared) error {
	most := max(1, min(fetchRows, int64(fetchCells/max(w.sources, 1)), fetchSpan/w.length))
	for begin := w.begin; begin < w.end; begin += most * w.length {
		end := min(w.end, begin+most*w.length)
		var series [2]rrdcached.Series
		var gone [2]bool
		err := p.both(ctx, func(ctx context.Context, i int, e *daemon) error {
			var err error
			series[i], err = e.client.Fetch(ctx, file, function, time.Unix(max(begin, 1), 0), time.Unix(end, 0))
			if gone[i] = errors.Is(err, rrdcached.ErrNoFile); err == nil || gone[i] {
				return nil
			}
			return e.about(ctx, file, err)
		})
		if err != nil {
			return err
		}
		if gone[0] || gone[1] || series[0].Step != series[1].Step || int64(series[0].Step) > w.length || !series[0].Start.Equal(series[1].Start) {
			return errMoved
		}
		c.add(series, w.end)
	}
	return nil
}

// add compares two readings of the same window, up to a Unix second.
func (c *compared) add(series [2]rrdcached.Series, until int64) {
	for r := range min(len(series[0].Rows), len(series[1].Rows)) {
		a, b := series[0].Rows[r], series[1].Rows[r]
		if a.Time.Unix() > until {
			return
		}
		c.rows++
		for i := range a.Values {
			x, y := a.Values[i], b.Values[i]
			if sameRate(x, y) {
				continue
			}
			if c.differ++; c.differ == 1 || a.Time.Before(c.first) {
				c.first, c.source, c.values = a.Time, series[0].Names[i], [2]float64{x, y}
			}
			break
		}
	}
}

// rateTolerance is how far apart two values of one row may be, as a share. Of two targets the
// one that was restarted was told again what its files had (rrdcached.Restate), up to 0.9 ms after the update itself: that much of a
// step is filed a little later, 1 in 10,000 of a row of 10 s.
const rateTolerance = 1e-4

// sameRate says whether two values of one row come of the same updates.
func sameRate(x, y float64) bool {
	return x == y || math.IsNaN(x) && math.IsNaN(y) || math.Abs(x-y) <= rateTolerance*math.Max(math.Abs(x), math.Abs(y))
}

// both asks both ends at the same time. When a file cannot be read the error is an *unreadableError.
func (p *pair) both(ctx context.Context, ask func(ctx context.Context, i int, e *daemon) error) error {
	var refused [2]*fileError
	group, ctx := errgroup.WithContext(ctx)
	for i, e := range p.ends {
		group.Go(func() error {
			err := ask(ctx, i, e)
			if errors.As(err, &refused[i]) {
				return nil // an error here would interrupt the other end, and end its connection
			}
			return err
		})
	}
	if err := group.Wait(); err != nil || refused[0] == nil && refused[1] == nil {
		return err
	}
	u := &unreadableError{ends: [2]string{readable, readable}}
	for i, end := range refused {
		if end != nil {
			u.ends[i] = end.why
		}
	}
	return u
}

const readable = "readable"

// unreadableError says how the two ends take a file that at least one of them cannot read.
type unreadableError struct{ ends [2]string }

// Error implements error.
func (u *unreadableError) Error() string { return u.ends[0] + "; " + u.ends[1] }

// missing notes which end has no such file at all.
func (u *unreadableError) missing(exists [2]bool) {
	for i, there := range exists {
		if !there && u.ends[i] == readable {
			u.ends[i] = "missing"
		}
	}
}
