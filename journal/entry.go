package journal

import (
	"errors"
	"fmt"
	"strings"

	"pollux/device"
	"pollux/measurement"
	"pollux/rrdcached"
)

// MaxMeasurements is how many measurements an entry may hold: two for each of
// the 30,000 ports that are read of a device at most, since each may have a break, and some more.
const MaxMeasurements = 65_000

// Bounds of an entry. What exceeds them is refused by Append and dropped by the recorder.
const (
	maxBody       = 8 << 20       // bytes of an entry before compression: 30,000 ports with the longest counters and their breaks have 6 MB
	maxDir        = 255           // bytes of a directory's name, NAME_MAX of Linux
	maxSeconds    = 9_999_999_999 // Unix seconds that rrdcached takes as a time
	maxStep       = 86_400        // seconds
	maxHeartbeat  = 10_000_000    // seconds
	maxGeneration = 1_000_000
	maxName       = 200 // bytes of a file's name, without generation and ending
)

// Bounds of an entry of version 1. What exceeds them is of version 2: a program
// that knows version 1 only would drop it.
const (
	measurements1 = 10_000
	body1         = 1 << 20
)

// ErrEntry says that an entry is not one that the journal holds: out of bounds, of an unknown version, or damaged.
var ErrEntry = errors.New("not an entry of the journal")

// Entry is what one poll leaves in the log. It describes itself: whoever
// replays it needs neither the inventory nor the settings.
type Entry struct {
	DeviceID     int64          // at least 1
	Shard        int            // whose log it goes into, device.Device.Shard; not a part of what the log holds
	Slot         int64          // Unix second at which the device's turn began
	Outcome      device.Outcome // one that finishes a slot
	Dir          string         // directory of the device's RRD files, device.Device.RRDDir
	Step         int            // seconds, of files that must be created
	Heartbeat    int            // seconds, of files that must be created
	Measurements []measurement.Measurement
}

// outcomes are the numbers of outcomes in the log; they are never reused.
var outcomes = [...]device.Outcome{1: device.OutcomeUp, 2: device.OutcomePartial, 3: device.OutcomeDown, 4: device.OutcomeAuth}

// outcomeNumber is 0 for an outcome that does not finish a slot.
func outcomeNumber(o device.Outcome) byte {
	for number, outcome := range outcomes {
		if number > 0 && outcome == o {
			return byte(number)
		}
	}
	return 0
}

// check says with ErrEntry what is out of bounds. Writer and reader share it, so that nothing is accepted that could not be recorded.
func (e *Entry) check() error {
	switch {
	case e.DeviceID < 1:
		return bad("device %d", e.DeviceID)
	case e.Slot < 0 || e.Slot > maxSeconds:
		return bad("slot %d", e.Slot)
	case outcomeNumber(e.Outcome) == 0:
		return bad("outcome %.20q", string(e.Outcome))
	case len(e.Measurements) > MaxMeasurements:
		return bad("%d measurements, at most %d", len(e.Measurements), MaxMeasurements)
	case len(e.Measurements) == 0:
		return nil // only the slot and its outcome: nothing is filed
	case e.Step < 1 || e.Step > maxStep:
		return bad("step %d", e.Step)
	case e.Heartbeat < 1 || e.Heartbeat > maxHeartbeat:
		return bad("heartbeat %d", e.Heartbeat)
	}
	if err := checkDir(e.Dir); err != nil {
		return err
	}
	for i := range e.Measurements {
		if err := checkMeasurement(&e.Measurements[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkDir takes one component of a path, of the bytes that package rrdcached sends.
func checkDir(dir string) error {
	if len(dir) > maxDir {
		return bad("a directory of %d bytes", len(dir))
	}
	for i := range len(dir) {
		if dir[i] == '/' {
			return bad("directory %.80q holds a slash", dir)
		}
	}
	if err := rrdcached.CheckFile(dir); err != nil {
		return fmt.Errorf("%w: directory: %w", ErrEntry, err)
	}
	return nil
}

func checkMeasurement(m *measurement.Measurement) error {
	switch seconds := m.Time.Unix(); {
	case !m.Kind.Valid():
		return bad("measurements of kind %d", m.Kind)
	case m.Instance < 0:
		return bad("instance %d", m.Instance)
	case m.Generation < 0 || m.Generation > maxGeneration:
		return bad("generation %d", m.Generation)
	case seconds < 1 || seconds > maxSeconds:
		return bad("sample time %d", seconds)
	case m.Kind.Named() != (m.Name != ""), len(m.Name) > maxName, strings.Contains(m.Name, "/"):
		return bad("name %.80q of kind %d", m.Name, m.Kind)
	case len(m.Values) != len(m.Kind.Sources()):
		return bad("%d values for the %d sources of kind %d", len(m.Values), len(m.Kind.Sources()), m.Kind)
	}
	if m.Name != "" {
		if err := rrdcached.CheckFile(m.Name); err != nil {
			return fmt.Errorf("%w: name: %w", ErrEntry, err)
		}
	}
	return nil
}

// span is the earliest and the latest sample time in Unix milliseconds, zero without measurements.
func (e *Entry) span() (earliest, latest int64) {
	for i := range e.Measurements {
		at := e.Measurements[i].Time.UnixMilli()
		if i == 0 {
			earliest, latest = at, at
		}
		earliest, latest = min(earliest, at), max(latest, at)
	}
	return earliest, latest
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrEntry, fmt.Sprintf(format, args...))
}
