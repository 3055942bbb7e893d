package main

import (
	"fmt"
	"strings"

	"pollux/producer"
)

// billingLines say how the billed ports of a device are read; none when none is billed.
func billingLines(f producer.Facts) [][2]string {
	b := f.Billing
	if b == nil {
		return nil
	}
	read := "not all were read yet"
	if b.Read > 0 {
		read = "all were read in the slot from " + timeOfDay(b.Read)
	}
	if b.Lacking > 0 {
		read += fmt.Sprintf("; %d lack the slot before the present one", b.Lacking)
	}
	lines := [][2]string{{"billed ports", fmt.Sprintf("%d, read every %d s; %s", b.Ports, b.Interval, read)}}
	if f.Redis == nil {
		by := "served by nobody"
		if len(b.Queue.Nodes) > 0 {
			by = "served by " + strings.Join(b.Queue.Nodes, ", ")
		}
		lines = append(lines, [2]string{"", "task of the slot from " + timeOfDay(b.Slot) + ": " + taskText(b.Task)}, [2]string{"", queueText(b.Queue) + "; " + by})
	}
	return lines
}

// billingJSON says how the billed ports of a device are read.
type billingJSON struct {
	Ports    int        `json:"ports"`
	Interval int        `json:"interval"`
	Slot     *string    `json:"slot"`
	Read     *string    `json:"last_read_slot"` // that all ports were read in; null when one never was
	Lacking  int        `json:"lacking_ports"`
	Queue    *queueJSON `json:"queue"` // null when Redis does not answer
	Task     *taskJSON  `json:"task"`
}

func shownBilling(f producer.Facts) *billingJSON {
	b := f.Billing
	if b == nil {
		return nil
	}
	shown := &billingJSON{Ports: b.Ports, Interval: b.Interval, Slot: second(b.Slot), Read: second(b.Read), Lacking: b.Lacking}
	if f.Redis == nil {
		queue := shownQueue(b.Queue)
		shown.Queue, shown.Task = &queue, &taskJSON{orDefault(b.Task.State, "none"), b.Task.Retried, b.Task.LastError, rfc3339(b.Task.NextAt), b.Task.Place}
	}
	return shown
}
