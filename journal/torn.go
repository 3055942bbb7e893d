package journal

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"pollux/measurement"
	"pollux/rrdcached"
)

// maxTorn bounds the devices whose last recorded entry is remembered during a replay, some 100 MB.
const maxTorn = 1_000_000

// torn remembers by device where in the log the last updates stand that files had when they were touched.
//
// RRDtool writes into its mapped file piece by piece: the last value of each source
// first, the time of the update at the end. A daemon that is killed in between leaves a file whose
// sources speak of different updates. The first line that is sent again would then add nothing to some of
// them, and two steps would be wrong. So in front of it the update that the file has is stated once more: on a good file that changes nothing.
type torn map[int64]recorded

// recorded says which of a device's entries files had the values of as their last.
type recorded struct {
	at     position // the newest such entry
	before position // the one in front of it; of two files of a device one may be an entry behind
	next   position // the device's first entry behind at; zero until that comes
}

// stated is one line that goes on from what its file had, and the entry that says what that is.
type stated struct {
	line *line
	in   position
}

// note takes in a line that was touched, and says of the first ones behind what their files have which entry that is.
func (t torn) note(l *line, second uint32) (in position, ok bool) {
	id := l.entry.DeviceID
	last, found := t[id]
	switch {
	case second == unusable:
	case l.update.Time.Unix() == int64(second):
		if !found && len(t) < maxTorn {
			t[id] = recorded{at: l.at}
		} else if found && l.at.after(last.at) {
			t[id] = recorded{at: l.at, before: last.at}
		}
	case !found || present(second, l.update.Time):
	case !l.at.after(last.at):
		return last.before, last.before != position{}
	case last.next == position{}:
		last.next = l.at
		t[id] = last
		return last.at, true
	case l.at.after(last.next):
		delete(t, id)
	default:
		return last.at, true
	}
	return position{}, false
}

// restate states again what files have whose first line behind that is among lines. They must have been touched.
func (t *term) restate(ctx context.Context, lines []line) error {
	again := int(t.state.instance % (rrdcached.MaxAgain + 1))
	if again == 0 || t.faults.noRestate {
		return nil // before the first restart, and now and then one goes without: the numbers begin anew
	}
	var wanted []stated
	for i := range lines {
		second, _ := t.files.touched(lines[i].hash)
		if in, ok := t.torn.note(&lines[i], second); ok {
			wanted = append(wanted, stated{&lines[i], in})
		}
	}
	for len(wanted) > 0 {
		n := min(len(wanted), rrdcached.MaxRestate)
		if err := t.restateSome(ctx, wanted[:n], again); err != nil {
			return err
		}
		wanted = wanted[n:]
	}
	return nil
}

func (t *term) restateSome(ctx context.Context, wanted []stated, again int) error {
	entries, err := t.entries(ctx, wanted)
	if err != nil {
		return err
	}
	var updates []rrdcached.Update
	for _, w := range wanted {
		second, _ := t.files.touched(w.line.hash)
		if u, ok := had(entries[w.in], w.line, second); ok {
			updates = append(updates, u)
		}
	}
	if len(updates) == 0 {
		return nil
	}
	err = t.ask(ctx, func(ctx context.Context) error { return t.client.Restate(ctx, updates, again) })
	if err != nil {
		return fmt.Errorf("state again what %d files have: %w", len(updates), err)
	}
	return nil
}

// had is the update that the line's file has as its last: of an entry's, the
// first one in that second that RRDCached was sent. There is none when what the file has is of an earlier entry.
func had(files map[string][]*measurement.Measurement, l *line, second uint32) (u rrdcached.Update, ok bool) {
	for _, m := range files[l.update.File] {
		if m.Time.Unix() != int64(second) {
			continue
		}
		u = rrdcached.Update{File: l.update.File, Time: m.Time, Sources: l.update.Sources}
		for _, value := range m.Values {
			u.Values = append(u.Values, value.Wire())
		}
		if u.Check() == nil {
			return u, true
		}
	}
	return u, false
}

// entries reads the entries that the lines go on from, as measurements by file. Those that are no longer in the log are left out.
func (t *term) entries(ctx context.Context, wanted []stated) (map[position]map[string][]*measurement.Measurement, error) {
	entries := map[position]map[string][]*measurement.Measurement{}
	pipe := t.journal.client.Pipeline()
	reads := map[position]*redis.XMessageSliceCmd{}
	for _, w := range wanted {
		if reads[w.in] == nil {
			reads[w.in] = pipe.XRangeN(ctx, t.journal.stream, w.in.String(), w.in.String(), 1)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read entries of the log again: %w", err)
	}
	for at, read := range reads {
		for _, message := range read.Val() {
			i := item{position: at}
			if err := i.decode(&t.decoder, message.Values); err != nil {
				continue // it was counted when it was read first
			}
			files := make(map[string][]*measurement.Measurement, len(i.entry.Measurements))
			for n := range i.entry.Measurements {
				m := &i.entry.Measurements[n]
				file := m.File(i.entry.Dir, m.Generation)
				files[file] = append(files[file], m)
			}
			entries[at] = files
		}
	}
	return entries, nil
}
