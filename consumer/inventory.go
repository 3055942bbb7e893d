package consumer

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pollux/device"
	"pollux/ops"
	"pollux/poller"
	"pollux/secret"
	"pollux/store"
)

const (
	// maxCopies and maxCopiedPorts bound the copies kept for when the database
	// is away: at about 300 bytes a port, 120 MB. Any node of a group may get
	// any of its devices, so more nodes do not make room for more devices.
	maxCopies      = 20_000
	maxCopiedPorts = 400_000

	// What a database that hangs holds a worker for.
	readTimeout = 2 * time.Second
	saveTimeout = 5 * time.Second
	// slowFailure is how long a failed call lasts at least that shows a
	// database which hangs: for retryAfter it is then not asked again, or every
	// worker would wait for it.
	slowFailure = time.Second
	retryAfter  = 2 * time.Second
)

// errHanging says that the database was not asked.
var errHanging = errors.New("the database does not answer")

// inventory reads poll targets from the store and saves what polls found. It
// keeps a copy of each target, the least recently used ones leave first, so
// that polling goes on while the database is away.
type inventory struct {
	store   Store
	metrics *metrics
	log     *slog.Logger

	mu     sync.Mutex
	copies map[int64]*list.Element // of target
	used   *list.List              // most recently used first
	ports  int                     // size of all copies
	retry  time.Time               // before it the database is not asked
	away   bool                    // as the log told

	changes ops.Seldom // of away
	sealed  sealed
	former  ops.Seldom // polls with credentials of a copy, because those in the database do not open
}

// target is a copy.
type target struct {
	device     device.Device
	ports      []device.Port
	components []device.Component // shared, they do not change
	outages    []device.Outage    // shared, they do not change
	memory     *poller.Memory     // of the last poll by this node; it does not change

	// The device's before its components were read: they may be newer, never older.
	discovered time.Time
	generation int
}

// componentSize is what a component takes in ports, about: it has more texts.
const componentSize = 3

// outagesPerPort is how many outages take what a port does.
const outagesPerPort = 6

// size is what a copy counts for, in ports.
func (t target) size() int {
	return len(t.ports) + componentSize*len(t.components) + len(t.outages)/outagesPerPort + t.memory.Size()/3
}

func newInventory(s Store, m *metrics, log *slog.Logger) *inventory {
	return &inventory{store: s, metrics: m, log: log, copies: map[int64]*list.Element{}, used: list.New()}
}

// read returns a device with its ports, components and outages, from the copies when the
// store fails. Components change at discoveries only: they are read anew when the device
// was discovered since. The error is store.ErrNotFound when the store says so, else the store's
// error when there is no copy.
func (i *inventory) read(ctx context.Context, id int64) (target, error) {
	var found target
	err := i.ask(ctx, readTimeout, func(ctx context.Context) (err error) {
		found.device, found.ports, err = i.store.PollTarget(ctx, id)
		return err
	})
	if err == nil {
		found, err = i.complete(ctx, found)
	}
	if err == nil {
		found, err = i.addOutages(ctx, found)
	}
	switch {
	case err == nil:
		if former, known := i.copy(id); known {
			found.memory = former.memory
			if !former.discovered.Equal(found.discovered) {
				found.memory = former.memory.AfterDiscovery()
			}
		}
		i.keep(found)
		i.sealed.forget(id)
		i.metrics.targets.WithLabelValues(sourceDatabase).Inc()
		return found, nil
	case errors.Is(err, store.ErrNotFound):
		i.forget(id)
		i.sealed.forget(id)
		return target{}, err
	}
	sealed := errors.Is(err, secret.ErrOpen)
	if sealed {
		i.sealed.note(id, time.Now())
	}
	found, known := i.copy(id)
	switch {
	case !known:
		return target{}, err
	case sealed:
		i.metrics.targets.WithLabelValues(sourceSealed).Inc()
		if untold, due := i.former.Note(time.Now()); due {
			i.log.Error("the stored credentials of a device do not open: it is polled with those that this node read last; "+
				"give this node the key in APP_PREVIOUS_KEYS, or set them anew with: pollux device set", "device", id, "err", err, "untold_before", untold)
		}
	default:
		i.metrics.targets.WithLabelValues(sourceCopy).Inc()
	}
	return found, nil
}

// complete adds the components: those of the copy, unless the device was
// discovered since or has a new interval. Then the device is read once more after them:
// should the interval change in between, the poll knows the old files under the new
// interval, never new files under the old one.
func (i *inventory) complete(ctx context.Context, found target) (target, error) {
	id := found.device.ID
	former, known := i.copy(id)
	switch {
	case found.device.DiscoveredAt.IsZero():
		return found, nil
	case known && former.discovered.Equal(found.device.DiscoveredAt) && former.generation == found.device.Generation:
		found.components, found.discovered, found.generation = former.components, former.discovered, former.generation
		return found, nil
	}
	found.discovered, found.generation = found.device.DiscoveredAt, found.device.Generation
	err := i.ask(ctx, readTimeout, func(ctx context.Context) error {
		components, err := i.store.Components(ctx, id)
		if err != nil {
			return err
		}
		found.device, found.ports, err = i.store.PollTarget(ctx, id)
		found.components = components
		return err
	})
	return found, err
}

// addOutages adds the outages: those of the copy, unless one began or ended since.
func (i *inventory) addOutages(ctx context.Context, found target) (target, error) {
	changed := found.device.OutagesChanged
	if changed.IsZero() {
		return found, nil
	}
	if former, known := i.copy(found.device.ID); known && former.device.OutagesChanged.Equal(changed) {
		found.outages = former.outages
		return found, nil
	}
	err := i.ask(ctx, readTimeout, func(ctx context.Context) (err error) {
		found.outages, err = i.store.Outages(ctx, found.device.ID)
		return err
	})
	return found, err
}

// save hands a poll to the store. When that fails it is counted, and the copy
// takes over what the next poll compares with.
func (i *inventory) save(ctx context.Context, poll device.Poll) {
	err := i.ask(ctx, saveTimeout, func(ctx context.Context) error { return i.store.SavePoll(ctx, poll) })
	if err == nil {
		i.metrics.saves.WithLabelValues(saveOK).Inc()
		return
	}
	i.metrics.saves.WithLabelValues(saveFailed).Inc()
	i.log.Debug("a poll's state is not saved; the next one brings it again", "device", poll.DeviceID, "slot", poll.Slot, "err", err)
	i.mu.Lock()
	defer i.mu.Unlock()
	element, known := i.copies[poll.DeviceID]
	if !known {
		return
	}
	changed := element.Value.(target)
	changed.device.PolledAt, changed.device.PolledSlot, changed.device.LastOutcome = poll.At, poll.Slot, poll.Outcome
	changed.device.PollDuration = poll.Duration
	absorb(changed.ports, poll)
	if poll.Facts != nil {
		changed.device.Facts = *poll.Facts
	}
	switch poll.Outcome {
	case device.OutcomeDown:
		changed.device.Status = device.StatusDown
	case device.OutcomeAuth:
		changed.device.Status = device.StatusAuth
	default:
		changed.device.Status = device.StatusUp
	}
	element.Value = changed
}

// remember keeps what a poll leaves for the next one of its device by this node.
func (i *inventory) remember(id int64, memory *poller.Memory) {
	i.mu.Lock()
	defer i.mu.Unlock()
	element, known := i.copies[id]
	if !known || memory == nil {
		return
	}
	changed := element.Value.(target)
	i.ports -= changed.size()
	changed.memory = memory
	i.ports += changed.size()
	element.Value = changed
}

// absorb takes over what a poll read of the ports of a copy. A port that was
// renamed or came back would else look so at each poll until the database is back,
// and its counters could never go on. Which ports are new or have vanished is the store's to say.
func absorb(ports []device.Port, poll device.Poll) {
	if len(poll.Ports) == 0 {
		return
	}
	read := make(map[int64]*device.PortReading, len(poll.Ports))
	for i := range poll.Ports {
		read[poll.Ports[i].PortID] = &poll.Ports[i]
	}
	for k := range ports {
		port := &ports[k]
		switch reading := read[port.ID]; {
		case reading != nil:
			port.State, port.Vanished, port.Missed = reading.State, false, 0
			if reading.Generation >= port.Generation {
				port.Generation, port.RRDMax = reading.Generation, reading.RRDMax
			}
		case poll.PortsComplete:
			port.Missed++
		}
	}
}

// ask calls the store in bounded time, unless it hangs.
func (i *inventory) ask(ctx context.Context, limit time.Duration, question func(context.Context) error) error {
	i.mu.Lock()
	hanging := time.Now().Before(i.retry)
	i.mu.Unlock()
	if hanging {
		return errHanging
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	err := question(asking)
	// A secret that does not open is no fault of the database, which answered.
	failed := err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, secret.ErrOpen) && ctx.Err() == nil
	i.mu.Lock()
	defer i.mu.Unlock()
	if failed && time.Since(began) >= slowFailure {
		i.retry = time.Now().Add(retryAfter)
	}
	i.tell(failed, err)
	return err
}

// tell logs when the database goes away and comes back. Of one that flaps it
// tells one change in ten seconds; what was told last is what is so, at most ten seconds later. The caller holds mu.
func (i *inventory) tell(failed bool, err error) {
	if failed == i.away {
		return
	}
	untold, due := i.changes.Note(time.Now())
	switch {
	case !due:
		return
	case failed:
		i.log.Warn("the database does not answer: polls go on with the last known inventory", "err", err, "untold_before", untold)
	default:
		i.log.Info("the database answers again", "untold_before", untold)
	}
	i.away = failed
}

func (i *inventory) keep(found target) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(found.device.ID)
	found.ports = slices.Clone(found.ports)
	i.copies[found.device.ID] = i.used.PushFront(found)
	i.ports += found.size()
	for i.used.Len() > maxCopies || i.ports > maxCopiedPorts {
		i.drop(i.used.Back().Value.(target).device.ID)
	}
	i.metrics.copies.Set(float64(len(i.copies)))
}

func (i *inventory) copy(id int64) (target, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	element, known := i.copies[id]
	if !known {
		return target{}, false
	}
	i.used.MoveToFront(element)
	found := element.Value.(target)
	found.ports = slices.Clone(found.ports)
	return found, true
}

func (i *inventory) forget(id int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.drop(id)
}

// drop removes a copy. The caller holds mu.
func (i *inventory) drop(id int64) {
	element, known := i.copies[id]
	if !known {
		return
	}
	i.ports -= i.used.Remove(element).(target).size()
	delete(i.copies, id)
	i.metrics.copies.Set(float64(len(i.copies)))
}
