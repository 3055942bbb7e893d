package journal

import (
	"context"
	"fmt"
	"slices"

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
//
// It stays when a term ends in the middle of a replay and the same process goes on.
type torn map[int64]recorded

// recorded says which of a device's entries files had the values of as their last.
type recorded struct {
	at     position // the newest such entry
	before position // the one in front of it; of two files of a device one may be an entry behind
	next   position // the device's first entry behind at; zero until that comes
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

// restate states again what files have whose first line behind that is among
// lines. They must have been touched. A file can be torn only by a line that the former instance was sent,
// and only a source whose value is a difference to the last one goes wrong.
func (t *term) restate(ctx context.Context, lines []line) error {
	again := int(t.state.instance % (rrdcached.MaxAgain + 1))
	if again == 0 || t.faults.noRestate {
		return nil // before the first restart; and now and then one goes without, because the numbers begin anew
	}
	if len(lines) > 0 && lines[0].at.after(t.end) {
		clear(t.torn)
		return nil
	}
	var updates []rrdcached.Update
	var in had
	for i := range lines {
		l := &lines[i]
		second, _ := t.files.touched(l.hash)
		at, ok := t.torn.note(l, second)
		if !ok || l.at.after(t.end) || !differences(l.update.Sources) {
			continue
		}
		if in.at != at {
			var err error
			if in, err = t.had(ctx, at); err != nil {
				return err
			}
		}
		if u, ok := in.update(l, second); ok {
			updates = append(updates, u)
		}
	}
	for len(updates) > 0 {
		n := min(len(updates), rrdcached.MaxRestate)
		err := t.ask(ctx, func(ctx context.Context) error { return t.client.Restate(ctx, updates[:n], again) })
		if err != nil {
			return fmt.Errorf("state again what %d files have: %w", n, err)
		}
		updates = updates[n:]
	}
	return nil
}

// differences says whether one of the sources keeps what grew since its last value.
func differences(sources []rrdcached.Source) bool {
	return slices.ContainsFunc(sources, func(s rrdcached.Source) bool { return s.Type == "DERIVE" || s.Type == "COUNTER" })
}

// had is one entry of the log that was recorded before: what its files have, in the order of the entry.
type had struct {
	at    position
	files map[string][]rrdcached.Update
}

// update is the one that the line's file has as its last, if it is of this
// entry. Of two in that second it is not known which one the file took.
func (h had) update(l *line, second uint32) (found rrdcached.Update, ok bool) {
	for _, u := range h.files[l.update.File] {
		switch {
		case u.Time.Unix() != int64(second) || u.Check() != nil:
		case ok:
			return u, false
		default:
			found, ok = u, true
		}
	}
	return found, ok
}

// had reads one entry again; one that is no longer in the log has no files. When
// Redis does not answer it is asked while the lease is held, as for the entries that come next.
func (t *term) had(ctx context.Context, at position) (had, error) {
	h := had{at: at, files: map[string][]rrdcached.Update{}}
	for {
		messages, err := t.journal.client.XRangeN(ctx, t.journal.stream, at.String(), at.String(), 1).Result()
		if err == nil && len(messages) == 0 {
			return h, nil
		}
		if err == nil {
			i := item{position: at}
			if i.decode(&t.decoder, messages[0].Values) == nil { // else it was counted when it was read first
				for _, l := range t.lines(&i) {
					h.files[l.update.File] = append(h.files[l.update.File], l.update)
				}
			}
			return h, nil
		}
		if err := t.hold(ctx); err != nil {
			return h, err
		}
		wait(ctx, t.pace.reread)
	}
}
