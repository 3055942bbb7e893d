package device

import (
	"hash/fnv"
	"strconv"
)

// Bounds of a device's interval in seconds.
const (
	MinInterval = 10
	MaxInterval = 3600
)

// Phase is the fixed offset of a device's slots inside its interval, in whole
// seconds: FNV-1a-64 of the decimal id, modulo the interval. It spreads the
// polls of a network evenly.
func Phase(id int64, interval int) int64 {
	if interval <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(strconv.FormatInt(id, 10)))
	return int64(h.Sum64() % uint64(interval))
}

// SlotAt is the beginning of the slot of a device that contains the Unix
// second now: phase + k x interval, the greatest that is not after now.
func SlotAt(id int64, interval int, now int64) int64 {
	if interval <= 0 {
		return now
	}
	phase, step := Phase(id, interval), int64(interval)
	k := (now - phase) / step
	if (now-phase)%step < 0 {
		k--
	}
	return phase + k*step
}

// SlotFromChange is the Unix second before which no slot of a changed interval
// begins: the end of the slot of the old interval that contains now.
func SlotFromChange(id int64, oldInterval int, now int64) int64 {
	return SlotAt(id, oldInterval, now) + int64(oldInterval)
}
