package producer

import (
	"context"

	"pollux/tasks"
)

// BillingFacts say how the billed ports of a device are read.
type BillingFacts struct {
	Ports    int        // that are in bills
	Interval int        // of collect slots, in seconds
	Slot     int64      // Unix second at which the present collect slot began
	Read     int64      // slot that all ports were read in; 0 when one never was
	Lacking  int        // ports that were not read in the slot before the present one, nor in this
	Queue    QueueState // that their readings come through
	Task     TaskFacts  // of the present slot
}

// askBilling finds out how a device's billed ports are read; nil when none is billed.
func (d *Desk) askBilling(ctx context.Context, v *view, f *Facts) error {
	if d.deps.Billed == nil || f.Device.PingOnly {
		return nil
	}
	ports, err := d.deps.Billed.BilledPorts(ctx, f.Device.ID)
	if err != nil || len(ports) == 0 {
		return err
	}
	interval := max(d.deps.CollectInterval, 1)
	now := f.Now.Unix()
	b := &BillingFacts{Ports: len(ports), Interval: interval, Slot: now - modulo(now, int64(interval)), Read: ports[0].Last}
	for _, port := range ports {
		b.Read = min(b.Read, port.Last)
		if port.Last < b.Slot-int64(interval) {
			b.Lacking++
		}
	}
	f.Billing = b
	if f.Redis != nil {
		return nil
	}
	queue := tasks.CollectQueue(d.deps.DistributedBilling, f.Device.Group)
	q, err := d.read(ctx, queue)
	if err == nil {
		b.Queue = v.state(q)
		b.Task, err = d.taskIn(queue, tasks.BillingCollect{DeviceID: f.Device.ID, Slot: b.Slot, Interval: interval}.ID())
	}
	f.Redis = err
	return nil
}
