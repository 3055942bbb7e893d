package producer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"pollux/cluster"
	"pollux/device"
	"pollux/journal"
	"pollux/store"
	"pollux/tasks"
)

// recentEvents is how many events of a device the facts hold.
const recentEvents = 10

// Outside is what the command found out before it asks the desk: what does not
// answer, and why. nil means that it answers.
type Outside struct {
	Redis     error
	Journal   error            // of the journal's Redis, which may be another one
	RRDCached map[string]error // of the device's shard, by address as RRDCACHED or rrd.shards has it
}

// TaskFacts are what asynq knows of the task of a slot.
type TaskFacts struct {
	State     string // pending, active, scheduled, retry, archived, completed; "" when there is none
	Retried   int
	LastError string
	NextAt    time.Time // when a task that waits for its time goes on; zero for the others
	Place     string    // "<host>:<pid>" of who carries it out; "" when that is not known (yet)
}

// waits says that the task has not been taken, or is not there yet.
func (t TaskFacts) waits() bool {
	switch t.State {
	case "", "pending", "retry", "scheduled":
		return true
	default:
		return false
	}
}

// Facts are all that says why a device was or was not polled.
type Facts struct {
	Outside
	Now    time.Time // of Redis; local when Redis does not answer
	Device device.Device

	Distributed bool // the setting distributed_poller: poller groups are on
	GroupName   string
	GroupExists bool
	Queue       QueueState // of the device's poller group
	Memory      Memory     // of Redis

	Leader      cluster.Holder // who leads; the zero Holder for nobody
	LeaderSince time.Time      // zero when it is not known

	Last journal.Last // finished slots
	Slot int64        // Unix second, the present slot; 0 when none has begun yet
	Next int64        // Unix second, the one after it
	Task TaskFacts    // of the present slot

	Billing *BillingFacts // nil when none of its ports is billed

	Lease cluster.Holder // of the device: who polls it now
	Lapse time.Duration  // of that lease, unless it is renewed

	DownSince time.Time // zero unless it is down, and for a device that was down always
	Unpolled  Unpolled
	Events    []device.Event // the newest first
}

// SlotEnd is the Unix second at which the present slot ends.
func (f Facts) SlotEnd() int64 { return f.Slot + int64(f.Device.Interval) }

// Facts gathers what says why a device was or was not polled. What does not
// answer is a fact; an error means that the inventory does not answer.
func (d *Desk) Facts(ctx context.Context, of device.Device, o Outside) (Facts, error) {
	f := Facts{Outside: o, Now: time.Now(), Device: of, Distributed: d.deps.Distributed}
	v, err := d.inventory(ctx)
	if err != nil {
		return f, err
	}
	f.GroupName, f.GroupExists = v.names[of.Group], exists(v.names, of.Group)
	if f.Events, err = d.deps.Events.Events(ctx, store.EventFilter{DeviceID: of.ID, Limit: recentEvents}); err != nil {
		return f, err
	}
	if f.Redis == nil {
		f.Redis = d.askRedis(ctx, &v, &f)
	}
	if f.Journal == nil {
		f.Journal = d.askJournal(ctx, &f)
	}
	f.place()
	if f.Redis == nil {
		f.Redis = d.askForTask(ctx, &f)
	}
	if f.Journal != nil { // the inventory's copy may lack the last poll, but it is better than nothing
		f.Last = journal.Last{Slot: of.PolledSlot, Outcome: of.LastOutcome, SampleAt: of.PolledAt}
	}
	if err := d.askBilling(ctx, &v, &f); err != nil {
		return f, err
	}
	f.Unpolled = unpolled(scheduled(of), f.Last, 0, 0, f.Now.Unix())
	return f, d.askSince(ctx, &f)
}

func exists(names map[int64]string, group int64) bool {
	_, found := names[group]
	return found
}

func scheduled(d device.Device) device.Scheduled {
	return device.Scheduled{ID: d.ID, Group: d.Group, Interval: d.Interval, SlotFrom: d.SlotFrom, Created: d.CreatedAt.Unix()}
}

// askRedis reads what Redis knows of the cluster and of the queue.
func (d *Desk) askRedis(ctx context.Context, v *view, f *Facts) error {
	if err := d.look(ctx, v); err != nil {
		return err
	}
	f.Now = v.now
	q, err := d.read(ctx, tasks.Queue(tasks.KindPoller, f.Device.Group))
	if err != nil {
		return err
	}
	f.Queue = v.state(q)
	if f.Memory, err = readMemory(ctx, d.deps.Redis); err != nil {
		return err
	}
	leader, since, err := leaderSince(ctx, d.deps.Redis)
	if err != nil {
		return err
	}
	f.Leader, f.LeaderSince = cluster.ParseHolder(leader), since
	f.Lease, f.Lapse, err = cluster.DeviceHolder(ctx, d.deps.Redis, f.Device.ID)
	return err
}

// place finds the slot that is under way, and the next one.
func (f *Facts) place() {
	d, now := f.Device, f.Now.Unix()
	f.Slot = device.SlotAt(d.ID, d.Interval, now)
	f.Next = f.Slot + int64(d.Interval)
	if f.Slot < d.SlotFrom {
		f.Slot = 0
		f.Next = device.SlotAt(d.ID, d.Interval, max(d.SlotFrom, now)+int64(d.Interval)-1)
	}
}

func (d *Desk) askJournal(ctx context.Context, f *Facts) error {
	last, err := d.deps.Journal.Last(ctx, []int64{f.Device.ID})
	if err == nil && len(last) != 1 {
		err = fmt.Errorf("read the last finished slots: %d answers for one device", len(last))
	}
	if err != nil {
		return err
	}
	f.Last = last[0]
	return nil
}

// askForTask looks for the task of the present slot, and for who carries it out.
func (d *Desk) askForTask(_ context.Context, f *Facts) error {
	if f.Slot == 0 {
		return nil
	}
	id := tasks.Poll{DeviceID: f.Device.ID, Slot: f.Slot, Interval: f.Device.Interval}.ID()
	var err error
	f.Task, err = d.taskIn(tasks.Queue(tasks.KindPoller, f.Device.Group), id)
	return err
}

// taskIn looks for a task in a queue. The zero TaskFacts says that there is none.
func (d *Desk) taskIn(queue, id string) (TaskFacts, error) {
	info, err := d.inspector.GetTaskInfo(queue, id)
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return TaskFacts{}, nil
	}
	if err != nil {
		return TaskFacts{}, fmt.Errorf("read the task %s: %w", id, err)
	}
	task := TaskFacts{State: info.State.String(), Retried: info.Retried, LastError: fmt.Sprintf("%.300s", info.LastErr)}
	if info.State == asynq.TaskStateRetry || info.State == asynq.TaskStateScheduled {
		task.NextAt = info.NextProcessAt
	}
	if info.State != asynq.TaskStateActive {
		return task, nil
	}
	servers, err := d.inspector.Servers()
	if err != nil {
		return task, fmt.Errorf("list who carries out tasks: %w", err)
	}
	for _, server := range servers {
		for _, worker := range server.ActiveWorkers {
			if worker.TaskID == id {
				task.Place = server.Host + ":" + strconv.Itoa(server.PID)
			}
		}
	}
	return task, nil
}

// askSince finds since when a device is down: its last event of that kind.
func (d *Desk) askSince(ctx context.Context, f *Facts) error {
	if f.Last.Outcome != device.OutcomeDown && f.Device.Status != device.StatusDown {
		return nil
	}
	events, err := d.deps.Events.Events(ctx, store.EventFilter{DeviceID: f.Device.ID, Type: string(device.StatusDown), Limit: 1})
	if err != nil {
		return err
	}
	if len(events) == 1 {
		f.DownSince = events[0].Time
	}
	return nil
}
