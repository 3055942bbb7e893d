package device

import "time"

// Outcome is how a slot of a device ended. Every slot ends in exactly one.
type Outcome string

// The outcomes of a slot. A slot is missed when it has none of the first four.
const (
	OutcomeUp      Outcome = "up"      // every module answered
	OutcomePartial Outcome = "partial" // up, but at least one module failed
	OutcomeDown    Outcome = "down"    // no answer at all
	OutcomeAuth    Outcome = "auth"    // wrong credentials
	OutcomeExpired Outcome = "expired" // the slot was over before the poll began
	OutcomeSkipped Outcome = "skipped" // not polled; a reason says why
)

// Finished says whether the outcome finishes a slot: a later offer of the slot is a repeat.
func (o Outcome) Finished() bool {
	switch o {
	case OutcomeUp, OutcomePartial, OutcomeDown, OutcomeAuth:
		return true
	default:
		return false
	}
}

// Severity of an event, in LibreNMS's words.
type Severity string

// The severities of events.
const (
	SeverityOK      Severity = "ok"
	SeverityInfo    Severity = "info"
	SeverityNotice  Severity = "notice"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)

// Severities are all of them, from the mildest to the gravest.
func Severities() []Severity {
	return []Severity{SeverityOK, SeverityInfo, SeverityNotice, SeverityWarning, SeverityError}
}

// EventTypes are the types of the events that this version writes.
func EventTypes() []string {
	return []string{"auth", "bill", "coverage", "credential", "down", "entity", "host", "interface", "journal", "key", "mempool", "neighbour", "node", "poller_group", "processor", "queue", "reboot", "sensor", "settings", "storage", "system", "up"}
}

// Event is a line of the eventlog.
type Event struct {
	ID       int64
	Time     time.Time
	DeviceID int64  // 0 when it concerns no device
	PortID   int64  // 0 when it concerns no port
	Type     string // one of EventTypes
	Severity Severity
	Message  string
	Node     string // NODE_ID of the node that noticed it
	Actor    string // who did it, for changes made by people
}

// WithoutAlarm is an event as an ignored device makes it: nothing that is watched for warnings sees it.
func (e Event) WithoutAlarm() Event {
	if e.Severity == SeverityWarning || e.Severity == SeverityError {
		e.Severity = SeverityNotice
	}
	return e
}

// ModuleResult is how one poll module went.
type ModuleResult struct {
	Name     string
	Duration time.Duration
	Err      error // nil when the module is complete
}

// Poll is the result of one poll: what the store keeps of it. Measurements travel apart, through the journal.
type Poll struct {
	DeviceID      int64
	Slot          int64 // Unix second
	Outcome       Outcome
	Reason        string    // why it is down, auth or partial; one line of at most 200 bytes
	At            time.Time // sample time by the clock of Redis; guards the row: an older poll changes nothing
	Duration      time.Duration
	Facts         *Facts // nil when the core module gave nothing
	Ports         []PortReading
	PortsComplete bool               // the port tables were read to their end: ports absent from them count as missed
	Components    []ComponentReading // those that were measured
	Refused       int                // values of components that cannot be
	Events        []Event
	Node          string
	Rediscover    bool // it restarted, and is to be discovered at once
}
