package rrd

import (
	"context"
	"errors"
	"fmt"
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
// No tolerance is needed: both sides computed each value from the same updates,
// and RRDCached prints what it has in the same way, with 11 digits.
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
		err := p.both(ctx, func(ctx context.Context, i int, e *daemon) error {
			var err error
			series[i], err = e.client.Fetch(ctx, file, function, time.Unix(max(begin, 1), 0), time.Unix(end, 0))
			return err
		})
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if series[0].Step != series[1].Step || int64(series[0].Step) > w.length || !series[0].Start.Equal(series[1].Start) {
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
			if x == y || math.IsNaN(x) && math.IsNaN(y) {
				continue
			}
			if c.differ++; c.differ == 1 || a.Time.Before(c.first) {
				c.first, c.source, c.values = a.Time, series[0].Names[i], [2]float64{x, y}
			}
			break
		}
	}
}

// both asks both ends at the same time.
func (p *pair) both(ctx context.Context, ask func(ctx context.Context, i int, e *daemon) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, e := range p.ends {
		group.Go(func() error { return ask(ctx, i, e) })
	}
	return group.Wait()
}
