package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"pollux/billing"
	"pollux/device"
)

// counterRow is a row of bill_counters: what was read last of a billed port.
type counterRow struct {
	bun.BaseModel `bun:"table:bill_counters"`

	PortID        int64 `bun:"port_id,pk"`
	Slot          int64 `bun:"slot"`
	SlotSeconds   int   `bun:"slot_seconds"`
	ReadAt        int64 `bun:"read_at"`
	Uptime        int64 `bun:"uptime"`
	Discontinuity int64 `bun:"discontinuity"`
	In            int64 `bun:"in_counter"` // the bits of an unsigned number
	Out           int64 `bun:"out_counter"`
	Bits          int   `bun:"counter_bits"`
	IfIndex       int64 `bun:"if_index"`
	IfSpeed       int64 `bun:"if_speed"`
	Flags         int   `bun:"flags"` // of the sample that it made
}

func counterOf(r billing.Reading, flags billing.Flag) counterRow {
	return counterRow{
		PortID: r.Port, Slot: r.Slot, SlotSeconds: r.Interval, ReadAt: millis(r.Read), Uptime: int64(r.Uptime), Discontinuity: int64(r.Discontinuity),
		In: int64(r.In), Out: int64(r.Out), Bits: r.Bits, IfIndex: r.Index, IfSpeed: bounded(r.Speed), Flags: int(flags),
	}
}

func (r *counterRow) reading() billing.Reading {
	return billing.Reading{
		Port: r.PortID, Slot: r.Slot, Interval: r.SlotSeconds, Read: fromMillis(r.ReadAt), Uptime: uint32(r.Uptime), Discontinuity: uint32(r.Discontinuity),
		In: uint64(r.In), Out: uint64(r.Out), Bits: r.Bits, Index: r.IfIndex, Speed: unsigned(r.IfSpeed),
	}
}

// sampleRow is a row of bill_samples.
type sampleRow struct {
	bun.BaseModel `bun:"table:bill_samples"`

	PortID      int64 `bun:"port_id,pk"`
	Slot        int64 `bun:"slot,pk"`
	SlotSeconds int   `bun:"slot_seconds"`
	Slots       int   `bun:"slots"`
	ReadAt      int64 `bun:"read_at"`
	SpanMS      int64 `bun:"span_ms"`
	In          int64 `bun:"in_bytes"`
	Out         int64 `bun:"out_bytes"`
	Flags       int   `bun:"flags"`
}

func sampleColumns(s billing.Sample) sampleRow {
	return sampleRow{
		PortID: s.Port, Slot: s.Slot, SlotSeconds: s.Width, Slots: s.Slots, ReadAt: millis(s.Read), SpanMS: s.Span.Milliseconds(),
		In: bounded(s.In), Out: bounded(s.Out), Flags: int(s.Flags),
	}
}

func (r *sampleRow) sample() billing.Sample {
	return billing.Sample{
		Port: r.PortID, Slot: r.Slot, Width: r.SlotSeconds, Slots: r.Slots, Read: fromMillis(r.ReadAt), Span: time.Duration(r.SpanMS) * time.Millisecond,
		In: unsigned(r.In), Out: unsigned(r.Out), Flags: billing.Flag(r.Flags),
	}
}

const (
	// collectBatch bounds one statement of Collect. Fewer rows cost more each, more hold their locks for longer.
	collectBatch = 1000
	// MaxLate is how long after its slot's end a reading is still taken. Later
	// ones are refused, so that a period can be closed CloseAfter its end; the next reading covers the time.
	MaxLate = 5 * time.Minute
)

// Collect makes samples of readings and keeps both, 1,000 ports in a
// transaction: the row of what was read last is compared and set in the one
// that writes the sample. It returns the samples that it wrote. Readings of
// any devices may be mixed, and should: one statement for 500 to 1,000 ports
// costs the database a fraction of one for each device.
//
// Refused quietly, since nothing is lost by it: a reading whose slot is not
// newer than the last of its port (delivered twice, or by a clock that stepped
// back), one whose slot was over for MaxLate at now, and one of a port that no bill has.
// On an error the samples that it returns are kept all the same; the same
// readings may be handed in again. Errors: ErrInvalid for a reading that cannot
// be one, and then nothing is kept; ErrUnavailable.
func (s *Store) Collect(ctx context.Context, readings []billing.Reading, now time.Time) ([]billing.Sample, error) {
	doing := fmt.Sprintf("keep %d readings of billed ports", len(readings))
	due := make([]billing.Reading, 0, len(readings))
	for _, r := range readings {
		if err := r.Validate(); err != nil {
			return nil, s.fail(doing, fmt.Errorf("%w %w", ErrInvalid, err))
		}
		if now.Before(time.Unix(r.Slot+int64(r.Interval), 0).Add(MaxLate)) {
			due = append(due, r)
		}
	}
	// In one order everywhere, so that two collections never wait for each other in a circle.
	slices.SortFunc(due, func(a, b billing.Reading) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Slot, b.Slot))
	})
	var samples []billing.Sample
	var failed error
	for size := evenBatch(len(due)); len(due) > 0; {
		batch := due[:min(len(due), size)]
		written, err := s.collectBatch(ctx, doing, batch)
		if samples = append(samples, written...); errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return samples, err
		}
		failed, due = errors.Join(failed, err), due[len(batch):]
	}
	return samples, failed
}

// evenBatch is how many of n readings go into each batch: all are about as
// large, so that no few that are left over have statements of their own.
func evenBatch(n int) int {
	batches := max((n+collectBatch-1)/collectBatch, 1)
	return (n + batches - 1) / batches
}

// collectBatch writes a batch, and in halves when one of its ports keeps it from being written.
func (s *Store) collectBatch(ctx context.Context, doing string, batch []billing.Reading) ([]billing.Sample, error) {
	var written []billing.Sample
	err := s.tx(ctx, doing, func(ctx context.Context, tx bun.Tx) (err error) {
		written, err = s.collect(ctx, tx, batch)
		return err
	})
	if err == nil {
		return written, nil
	}
	if errors.Is(err, ErrUnavailable) || ctx.Err() != nil || len(batch) == 1 {
		return nil, err
	}
	first, err := s.collectBatch(ctx, doing, batch[:len(batch)/2])
	if errors.Is(err, ErrUnavailable) {
		return first, err
	}
	second, also := s.collectBatch(ctx, doing, batch[len(batch)/2:])
	return append(first, second...), errors.Join(err, also)
}

// collect takes readings in the order of their ports and slots.
func (s *Store) collect(ctx context.Context, tx bun.Tx, readings []billing.Reading) ([]billing.Sample, error) {
	ports := make([]int64, 0, len(readings))
	for i, r := range readings {
		if i == 0 || r.Port != readings[i-1].Port {
			ports = append(ports, r.Port)
		}
	}
	var old []counterRow
	if err := s.locked(tx.NewSelect().Model(&old).Where("port_id IN (?)", bun.List(ports)).Order("port_id")).Scan(ctx); err != nil {
		return nil, err
	}
	last, odd := make(map[int64]billing.Reading, len(old)), map[int64]bool{}
	for i := range old {
		last[old[i].PortID] = old[i].reading()
		odd[old[i].PortID] = billing.Flag(old[i].Flags)&billing.Implausible != 0
	}
	var strange []billing.Sample // implausible ones of ports whose last sample was not
	samples := make([]billing.Sample, 0, len(readings))
	flags := make(map[int64]billing.Flag, len(ports))
	for _, r := range readings {
		before, billed := last[r.Port]
		if !billed {
			continue
		}
		sample, newer := billing.Measure(before, r)
		if !newer {
			continue
		}
		last[r.Port], flags[r.Port] = r, sample.Flags
		samples = append(samples, sample)
		if isOdd := sample.Flags&billing.Implausible != 0; isOdd != odd[r.Port] {
			if odd[r.Port] = isOdd; isOdd {
				strange = append(strange, sample)
			}
		}
	}
	if len(samples) == 0 {
		return nil, nil
	}
	if err := s.writeSamples(ctx, tx, samples, last, flags); err != nil {
		return nil, err
	}
	return samples, tellImplausible(ctx, tx, strange)
}

// maxStrange bounds how many events one batch writes.
const maxStrange = 100

// tellImplausible writes an event for each port that begins to give
// implausible samples; one that goes on does not fill the eventlog.
func tellImplausible(ctx context.Context, tx bun.Tx, samples []billing.Sample) error {
	if len(samples) == 0 {
		return nil
	}
	samples = samples[:min(len(samples), maxStrange)]
	ids := make([]int64, len(samples))
	for i, sample := range samples {
		ids[i] = sample.Port
	}
	var ports []struct {
		ID     int64  `bun:"id"`
		Device int64  `bun:"device_id"`
		Name   string `bun:"if_name"`
	}
	if err := tx.NewSelect().Table("ports").Column("id", "device_id", "if_name").Where("id IN (?)", bun.List(ids)).Order("id").Scan(ctx, &ports); err != nil {
		return err
	}
	events := make([]device.Event, len(ports))
	for i, p := range ports {
		events[i] = billEvent("", "port %d (%s): its counters went faster than the port can, and the direction that did counts nothing in this sample; see: pollux bill samples BILL --flagged", p.ID, p.Name)
		events[i].DeviceID, events[i].PortID, events[i].Severity = p.Device, p.ID, device.SeverityWarning
	}
	return addEvents(ctx, tx, events)
}

func (s *Store) writeSamples(ctx context.Context, tx bun.Tx, samples []billing.Sample, last map[int64]billing.Reading, flags map[int64]billing.Flag) error {
	rows, counters := make([]sampleRow, len(samples)), make([]counterRow, 0, len(flags))
	for i, sample := range samples {
		rows[i] = sampleColumns(sample)
		if i == 0 || sample.Port != samples[i-1].Port {
			counters = append(counters, counterOf(last[sample.Port], flags[sample.Port]))
		}
	}
	if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
		return err
	}
	_, err := s.upsert(tx.NewInsert().Model(&counters), "port_id").Exec(ctx)
	return err
}
