// Package tasks holds the only words that producer and consumer share: the
// task types, their payloads, their ids and the queues they travel in.
//
// It must not enqueue, run or schedule anything, and a payload must never
// carry more than ids and times: whatever is put here can be read in Redis.
package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
)

// The types of tasks.
const (
	TypePoll     = "poll"
	TypeDiscover = "discover"

	TypeBillingCollect   = "billing:collect"
	TypeBillingCalculate = "billing:calculate"
)

// The kinds of queues: the first part of a queue's name.
const (
	KindPoller    = "poller"
	KindDiscovery = "discovery"
	KindBilling   = "billing"
)

// BillingQueue is the queue of those billing tasks that belong to no poller group:
// only the holder of the lease of billing serves it.
const BillingQueue = KindBilling

// maxPayload is far above what any payload of ours needs; a larger one is not ours.
const maxPayload = 256

// CredentialsDoNotOpen is what a consumer notes of a task that it hands back
// because no key of its node opens the device's stored credentials. A producer
// looks for it to say why a device is not polled.
const CredentialsDoNotOpen = "the device's credentials do not open with the keys of this node"

// maxRetry is how often a poll may fail, by a lost lease mostly, before it is archived.
const maxRetry = 10

var queueName = regexp.MustCompile(`^(poller|discovery):[0-9]+$|^billing(:[0-9]+)?$`)

// ErrPayload says that a task's payload is not one that this program wrote.
var ErrPayload = errors.New("malformed task payload")

// Poll asks for one poll of a device in one slot.
type Poll struct {
	DeviceID int64 `json:"device_id"`
	Slot     int64 `json:"slot"`     // Unix second at which the slot begins
	Interval int   `json:"interval"` // seconds; the slot ends at Slot + Interval
}

// End is the Unix second at which the slot is over.
func (p Poll) End() int64 { return p.Slot + int64(p.Interval) }

// ID is the task's id: the same poll offered twice is refused the second time.
func (p Poll) ID() string {
	return TypePoll + ":" + strconv.FormatInt(p.DeviceID, 10) + ":" + strconv.FormatInt(p.Slot, 10)
}

// Task builds the asynq task for the queue of a poller group.
//
// The id holds the slot, so a failed or finished task never blocks a later
// slot. asynq archives a task whose retries are used up not only when it fails
// once more, but also when it is handed back, which uses up none: so there are
// more of them than nodes can die in a slot. What should not run again ends
// otherwise: a slot that is over is done, a malformed task or one that panics
// asks for no retry. Timeout is the last resort only: the consumer's own deadline comes first.
func (p Poll) Task(group int64) (*asynq.Task, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode the poll of device %d: %w", p.DeviceID, err)
	}
	interval := time.Duration(p.Interval) * time.Second
	return asynq.NewTask(TypePoll, payload,
		asynq.TaskID(p.ID()), asynq.Queue(Queue(KindPoller, group)),
		asynq.MaxRetry(maxRetry), asynq.Timeout(interval), asynq.Retention(interval)), nil
}

// ParsePoll reads the payload of a poll task. It trusts nothing: anybody who
// reaches Redis can write one.
func ParsePoll(payload []byte) (Poll, error) {
	var p Poll
	if len(payload) > maxPayload {
		return Poll{}, fmt.Errorf("%w: %d bytes", ErrPayload, len(payload))
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Poll{}, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if p.DeviceID <= 0 || p.Slot <= 0 || p.Interval <= 0 || p.Interval > 86_400 {
		return Poll{}, fmt.Errorf("%w: device %d, slot %d, interval %d", ErrPayload, p.DeviceID, p.Slot, p.Interval)
	}
	return p, nil
}

// discoverRetries is how often a discovery may fail, by a lost lease mostly, before it is archived.
const discoverRetries = 3

// MaxDiscovery is how long a discovery may take, in seconds: far more than the largest device needs.
const MaxDiscovery = 660

// Discover asks for one discovery of a device in one slot of the discovery's own interval.
type Discover struct {
	DeviceID int64 `json:"device_id"`
	Slot     int64 `json:"slot"`     // Unix second at which the slot begins
	Interval int   `json:"interval"` // seconds; the slot ends at Slot + Interval
}

// ID is the task's id: the same discovery offered twice is refused the second time.
func (d Discover) ID() string {
	return TypeDiscover + ":" + strconv.FormatInt(d.DeviceID, 10) + ":" + strconv.FormatInt(d.Slot, 10)
}

// discoverRetention is how long a finished discovery keeps others of its slot away. One that
// left the device undiscovered, because the database was away, may then be offered again.
const discoverRetention = 10 * time.Minute

// Task builds the asynq task for the queue of a poller group.
func (d Discover) Task(group int64) (*asynq.Task, error) {
	payload, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode the discovery of device %d: %w", d.DeviceID, err)
	}
	return asynq.NewTask(TypeDiscover, payload,
		asynq.TaskID(d.ID()), asynq.Queue(Queue(KindDiscovery, group)),
		asynq.MaxRetry(discoverRetries), asynq.Timeout(MaxDiscovery*time.Second), asynq.Retention(discoverRetention)), nil
}

// ParseDiscover reads the payload of a discovery task. It trusts nothing.
func ParseDiscover(payload []byte) (Discover, error) {
	var d Discover
	if len(payload) > maxPayload {
		return Discover{}, fmt.Errorf("%w: %d bytes", ErrPayload, len(payload))
	}
	if err := json.Unmarshal(payload, &d); err != nil {
		return Discover{}, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if d.DeviceID <= 0 || d.Slot <= 0 || d.Interval <= 0 || d.Interval > 366*86_400 {
		return Discover{}, fmt.Errorf("%w: device %d, slot %d, interval %d", ErrPayload, d.DeviceID, d.Slot, d.Interval)
	}
	return d, nil
}

// Queue is the name of the queue of a kind and a poller group, such as "poller:0".
func Queue(kind string, group int64) string { return kind + ":" + strconv.FormatInt(group, 10) }

// SplitQueue returns kind and poller group of a queue's name; "" and -1 for one that is not ours or belongs to no group.
func SplitQueue(name string) (kind string, group int64) {
	kind, number, found := strings.Cut(name, ":")
	group, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || !ValidQueue(name) || Queue(kind, group) != name {
		return "", -1
	}
	return kind, group
}

// ValidQueue says whether a name is one of ours. asynq itself takes any name
// that is not blank, and silently serves "default" when it is given none.
func ValidQueue(name string) bool { return queueName.MatchString(name) }
