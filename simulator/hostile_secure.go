package simulator

import (
	"encoding/binary"
	"time"
)

// The engine of a hostile v3 device keeps no state either: what it says of
// itself follows from the time and from the message that asks.

// jumping lets the engine's time leap.
func jumping(r *responder, _ *envelope, s *seal) {
	s.seconds += r.at.now / int64(time.Second) % maxJumps * timeJump
}

// jumped shows an older time to who discovers the engine, so that the first request always comes after a leap.
func jumped(_ *responder, _ *envelope, s *seal, report int) int {
	if report == unknownEngineIDs {
		s.seconds -= timeJump
	}
	return report
}

// rebooted is an engine that has restarted since it was discovered.
func rebooted(_ *responder, _ *envelope, s *seal) { s.boots++ }

// rebooting shows the boots before that to who discovers the engine.
func rebooting(_ *responder, _ *envelope, s *seal, report int) int {
	if report == unknownEngineIDs {
		s.boots--
	}
	return report
}

// changing makes the engine another one for each message.
func changing(_ *responder, e *envelope, s *seal) {
	s.engine = binary.BigEndian.AppendUint32(append([]byte(nil), s.engine...), uint32(e.id))
}

// reporting has a reason to refuse each request: its engine one time, its time the other.
func reporting(_ *responder, e *envelope, _ *seal, report int) int {
	switch {
	case report == unknownEngineIDs || e.id%2 != 0:
		return unknownEngineIDs
	case e.flags&flagAuth != 0 && report != wrongDigests && report != unknownUserNames:
		return notInTimeWindows
	default:
		return report
	}
}
