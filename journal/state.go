package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// position is the id of an entry of the stream; the zero position is before all.
type position struct{ ms, seq uint64 }

// parsePosition reads "<ms>-<seq>". "" is the zero position.
func parsePosition(text string) (position, error) {
	if text == "" {
		return position{}, nil
	}
	left, right, _ := strings.Cut(text, "-")
	ms, err := strconv.ParseUint(left, 10, 64)
	seq, seqErr := strconv.ParseUint(right, 10, 64)
	if err != nil || seqErr != nil {
		return position{}, fmt.Errorf("%.50q is not the id of an entry", text)
	}
	return position{ms, seq}, nil
}

func (p position) String() string {
	return strconv.FormatUint(p.ms, 10) + "-" + strconv.FormatUint(p.seq, 10)
}

func (p position) after(q position) bool {
	return p.ms > q.ms || p.ms == q.ms && p.seq > q.seq
}

// state is what Redis keeps for one target.
type state struct {
	acked    position // RRDCached has answered all up to here
	durable  position // all up to here is written to disk
	updates  uint64   // UPDATE commands that the daemon has received: fewer at the next connect mean another instance
	instance uint64   // counts the instances of the daemon that were seen
}

func (j *Journal) loadState(ctx context.Context, target string) (state, error) {
	fields, err := j.client.HGetAll(ctx, j.key("cursor", target)).Result()
	if err != nil {
		return state{}, fmt.Errorf("read the cursor of target %s: %w", target, err)
	}
	var s state
	var errs [4]error
	s.acked, errs[0] = parsePosition(fields["acked"])
	s.durable, errs[1] = parsePosition(fields["durable"])
	s.updates, errs[2] = parseNumber(fields["updates"])
	s.instance, errs[3] = parseNumber(fields["instance"])
	if err := errors.Join(errs[:]...); err != nil {
		return state{}, fmt.Errorf("read the cursor of target %s: %w", target, err)
	}
	return s, nil
}

func parseNumber(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.50q is not a number", text)
	}
	return number, nil
}

// lastID is the greatest id that the stream ever gave out.
func (j *Journal) lastID(ctx context.Context) (position, error) {
	info, err := j.client.XInfoStream(ctx, j.stream).Result()
	if err != nil {
		if redis.HasErrorPrefix(err, "no such key") {
			return position{}, nil
		}
		return position{}, fmt.Errorf("read the end of the log: %w", err)
	}
	return parsePosition(info.LastGeneratedID)
}

// targets are the ids of the targets that have a cursor, with their states.
func (j *Journal) targets(ctx context.Context) (map[string]state, error) {
	ids, err := j.client.SMembers(ctx, j.key("targets")).Result()
	if err != nil {
		return nil, fmt.Errorf("read the targets of the journal: %w", err)
	}
	states := make(map[string]state, len(ids))
	for _, id := range ids {
		s, err := j.loadState(ctx, id)
		if err != nil {
			return nil, err
		}
		states[id] = s
	}
	return states, nil
}

// trimRounds is how often one trim repeats: Redis removes at most 10,000
// entries at a time, and after a long backlog there are many more.
const trimRounds = 50

// trim removes what is durable in every target.
func (j *Journal) trim(ctx context.Context) error {
	states, err := j.targets(ctx)
	if err != nil || len(states) == 0 {
		return err
	}
	durable, _ := reach(states)
	if durable == (position{}) {
		return nil
	}
	for range trimRounds {
		removed, err := j.client.XTrimMinIDApprox(ctx, j.stream, durable.String(), 0).Result()
		if err != nil {
			return fmt.Errorf("trim the log: %w", err)
		}
		if removed == 0 {
			break
		}
	}
	return nil
}

// reach is up to where the log is durable in every target, and up to where at least one target has acknowledged it.
func reach(states map[string]state) (durable, acked position) {
	first := true
	for _, s := range states {
		if first || durable.after(s.durable) {
			durable = s.durable
		}
		if s.acked.after(acked) {
			acked = s.acked
		}
		first = false
	}
	return durable, acked
}
