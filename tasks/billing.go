package tasks

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

const (
	// MinCollect and MaxCollect bound the length of a collect slot, in seconds.
	MinCollect = 60
	MaxCollect = 900

	// billingRetries is how often a billing task may fail, by a lost lease mostly, before it is archived.
	billingRetries = 10
	// MaxCalculation is how long one calculation may take, in seconds.
	MaxCalculation = 600
)

// BillingCollect asks for one reading of all billed ports of a device.
type BillingCollect struct {
	DeviceID int64 `json:"device_id"`
	Slot     int64 `json:"slot"`     // Unix second at which the collect slot begins, a multiple of Interval
	Interval int   `json:"interval"` // seconds; the slot ends at Slot + Interval
}

// End is the Unix second at which the collect slot is over. A reading that comes later belongs to another slot.
func (b BillingCollect) End() int64 { return b.Slot + int64(b.Interval) }

// ID is the task's id: the same reading offered twice is refused the second time, as long as it is for the same queue.
func (b BillingCollect) ID() string {
	return TypeBillingCollect + ":" + strconv.FormatInt(b.DeviceID, 10) + ":" + strconv.FormatInt(b.Slot, 10)
}

// CollectQueue is the queue of a device's readings: that of its poller group, or the one that belongs to none.
func CollectQueue(distributed bool, group int64) string {
	if distributed {
		return Queue(KindBilling, group)
	}
	return BillingQueue
}

// Task builds the asynq task for a queue that CollectQueue names. As with a
// poll, the slot in the id lets a failed or finished task block no later slot, and the consumer's own deadline
// comes before the timeout.
func (b BillingCollect) Task(queue string) (*asynq.Task, error) {
	payload, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the reading of device %d for billing: %w", b.DeviceID, err)
	}
	interval := time.Duration(b.Interval) * time.Second
	return asynq.NewTask(TypeBillingCollect, payload,
		asynq.TaskID(b.ID()), asynq.Queue(queue),
		asynq.MaxRetry(billingRetries), asynq.Timeout(interval), asynq.Retention(interval)), nil
}

// ParseBillingCollect reads the payload of a reading. It trusts nothing.
func ParseBillingCollect(payload []byte) (BillingCollect, error) {
	var b BillingCollect
	if len(payload) > maxPayload {
		return BillingCollect{}, fmt.Errorf("%w: %d bytes", ErrPayload, len(payload))
	}
	if err := json.Unmarshal(payload, &b); err != nil {
		return BillingCollect{}, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if b.DeviceID <= 0 || b.Slot <= 0 || b.Interval < MinCollect || b.Interval > MaxCollect || b.Slot%int64(b.Interval) != 0 {
		return BillingCollect{}, fmt.Errorf("%w: device %d, slot %d, interval %d", ErrPayload, b.DeviceID, b.Slot, b.Interval)
	}
	return b, nil
}

// BillingCalculate asks for the calculation of all bills.
type BillingCalculate struct {
	Slot     int64 `json:"slot"`     // Unix second at which the slot begins, a multiple of Interval
	Interval int   `json:"interval"` // seconds; the slot ends at Slot + Interval
}

// End is the Unix second at which the slot is over: the next calculation does what this one did not.
func (b BillingCalculate) End() int64 { return b.Slot + int64(b.Interval) }

// ID is the task's id.
func (b BillingCalculate) ID() string {
	return TypeBillingCalculate + ":" + strconv.FormatInt(b.Slot, 10)
}

// Task builds the asynq task for BillingQueue.
func (b BillingCalculate) Task() (*asynq.Task, error) {
	payload, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode the calculation of bills: %w", err)
	}
	return asynq.NewTask(TypeBillingCalculate, payload,
		asynq.TaskID(b.ID()), asynq.Queue(BillingQueue),
		asynq.MaxRetry(billingRetries), asynq.Timeout(MaxCalculation*time.Second), asynq.Retention(time.Duration(b.Interval)*time.Second)), nil
}

// ParseBillingCalculate reads the payload of a calculation. It trusts nothing.
func ParseBillingCalculate(payload []byte) (BillingCalculate, error) {
	var b BillingCalculate
	if len(payload) > maxPayload {
		return BillingCalculate{}, fmt.Errorf("%w: %d bytes", ErrPayload, len(payload))
	}
	if err := json.Unmarshal(payload, &b); err != nil {
		return BillingCalculate{}, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if b.Slot <= 0 || b.Interval <= 0 || b.Interval > 86_400 {
		return BillingCalculate{}, fmt.Errorf("%w: slot %d, interval %d", ErrPayload, b.Slot, b.Interval)
	}
	return b, nil
}

// collectSpread is the part of a collect slot over which the readings are spread: its first half, so that
// a task whose node died comes again, after 60 to 105 s, while the slot of 300 s still lasts.
const collectSpread = 2

// CollectSpread is over how many seconds from the begin of a collect slot the readings of the devices are spread.
func CollectSpread(interval int) int { return max(interval/collectSpread, 1) }
