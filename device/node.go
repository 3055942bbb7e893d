package device

import "time"

// NodeState says how a node works, in one of its roles.
type NodeState string

// The states of nodes. A process tells the first four of itself; the others are known of processes that are not there.
const (
	NodeActive   NodeState = "active"
	NodeDraining NodeState = "draining" // takes nothing new and finishes what it has
	NodeDrained  NodeState = "drained"  // takes nothing new and has nothing
	NodeSkewed   NodeState = "skewed"   // its clock differs from that of Redis: it neither leads nor polls
	NodeStopped  NodeState = "stopped"  // it ended as it was told to
	NodeInactive NodeState = "inactive" // there is no live process
)

// Presence is what the eventlog said last of a node. "" stands for nothing yet.
type Presence string

// The presences of nodes.
const (
	PresencePresent Presence = "present"
	PresenceMissing Presence = "missing" // gone without having stopped
	PresenceStopped Presence = "stopped"
)

// Orders are what operators want of a node, whatever its own .env says. The zero Orders want nothing.
type Orders struct {
	Groups   []int64 // when Assigned: the poller groups that it is to serve, none when empty
	Assigned bool
	Workers  int // polls at the same time; 0 leaves it to the setting service_poller_workers
	Draining bool
}

// Node is a process of the cluster in one of its roles, as its row has it.
type Node struct {
	NodeID   string
	Role     string // producer, consumer or web
	Host     string
	PID      int
	Version  string
	Groups   []int64 // poller groups it is assigned to; nil when it was never assigned (then its .env or group 0 decides)
	Assigned bool    // Groups come from the node's row, set by CLI or UI
	Own      []int64 // DISTRIBUTED_POLLER_GROUP of its own .env; nil when missing
	Served   []int64 // poller groups that it served when it reported; nil for a role without groups
	Workers  int     // set by CLI or UI; 0 when the setting decides
	Draining bool    // it is to take nothing new
	State    NodeState
	Presence Presence
	LastSeen time.Time
	Started  time.Time
}

// Work is what a node did of one kind of work. Done counts devices that were
// polled or discovered, whatever they answered; Errors the turns that this node
// took up and could not finish.
type Work struct {
	Kind    string // poller or discovery
	Workers int    // at the same time at most, now

	Window       time.Duration // how long ago the rest begins: 5 minutes, less after a start
	Done, Errors int64
	Busy         time.Duration // of all workers together; at most Capacity
	Capacity     time.Duration // how long all workers that there were could have worked in the window
	LatenessMean time.Duration // first request minus the beginning of the slot; 0 for discoveries
	LatenessMax  time.Duration

	DoneTotal, ErrorsTotal int64 // since the process started
	BusyTotal              time.Duration
}

// MeanWorkers is how many workers there were in the window on average, rounded
// up, and Workers for a window of no length.
func (w Work) MeanWorkers() int {
	if w.Window <= 0 {
		return w.Workers
	}
	return int((w.Capacity + w.Window - 1) / w.Window)
}

// NodeHistory is the work of one node, role and kind in the window that ended at
// At. Its Workers are those of the window on average, rounded up, and its
// Capacity is theirs.
type NodeHistory struct {
	NodeID  string
	Role    string
	At      time.Time
	Work            // without the totals
	Pending int64   // tasks that waited in the queues of its poller groups at At
	Groups  []int64 // poller groups it served at At
}
