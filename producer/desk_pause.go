package producer

import (
	"context"
	"fmt"
	"time"

	"pollux/device"
)

// Switched is a queue that Pause or Resume was asked for.
type Switched struct {
	Name    string
	Changed bool // false: it was so already
}

// Pause keeps the nodes from taking tasks of a queue, or of all queues when
// name is "". Tasks that are under way go on. actor stands in the event. ErrNoQueue names the queues there are.
func (d *Desk) Pause(ctx context.Context, name, actor string) ([]Switched, error) {
	return d.each(ctx, name, func(name string) (bool, error) {
		// asynq knows a queue from its first task on. Known, it shows in its pages, and goes with its group.
		if err := d.deps.Redis.SAdd(ctx, allQueuesKey, name).Err(); err != nil {
			return false, fmt.Errorf("pause queue %s: %w", name, err)
		}
		changed, err := d.turn(ctx, name, true, d.inspector.PauseQueue)
		if err != nil || !changed {
			return changed, err
		}
		return true, d.tell(ctx, name, "paused", actor)
	})
}

// Resume lets the nodes take tasks of a queue again, or of all queues when name is "".
func (d *Desk) Resume(ctx context.Context, name, actor string) ([]Switched, error) {
	return d.each(ctx, name, func(name string) (bool, error) {
		changed, err := d.turn(ctx, name, false, d.inspector.UnpauseQueue)
		if err != nil || !changed {
			return changed, err
		}
		return true, d.tell(ctx, name, "resumed", actor)
	})
}

// each does one thing with the queue of that name, or with all.
func (d *Desk) each(ctx context.Context, name string, work func(name string) (changed bool, err error)) ([]Switched, error) {
	var wanted []string
	if name != "" {
		wanted = []string{name}
	}
	names, err := d.named(ctx, wanted...)
	if err != nil {
		return nil, err
	}
	var all []Switched
	for _, name := range names {
		changed, err := work(name)
		if err != nil {
			return all, err
		}
		all = append(all, Switched{Name: name, Changed: changed})
	}
	return all, nil
}

// turn pauses or resumes a queue. asynq's errors do not tell "it is so already" from trouble, so the queue is asked.
func (d *Desk) turn(ctx context.Context, name string, pause bool, turn func(string) error) (changed bool, err error) {
	failure := turn(name)
	if failure == nil {
		return true, nil
	}
	there, err := d.deps.Redis.Exists(ctx, pausedKey(name)).Result()
	if err == nil && (there > 0) == pause {
		return false, nil
	}
	return false, fmt.Errorf("pause or resume queue %s: %w", name, failure)
}

// tell writes the event of what was done with a queue.
func (d *Desk) tell(ctx context.Context, name, what, actor string) error {
	err := d.deps.Events.AddEvent(ctx, device.Event{
		Time: time.Now(), Type: "queue", Severity: device.SeverityNotice, Message: "queue " + name + " " + what, Actor: actor,
	})
	if err != nil {
		return fmt.Errorf("queue %s is %s, but the eventlog does not say so: %w", name, what, err)
	}
	return nil
}
