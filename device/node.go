package device

import "time"

// Node is a process of the cluster in one of its roles.
type Node struct {
	NodeID   string
	Role     string // producer, consumer or web
	Host     string
	PID      int
	Version  string
	Groups   []int64 // poller groups it is assigned to; nil when it was never assigned (then its .env or group 0 decides)
	Assigned bool    // Groups come from the node's row, set by CLI or UI
	LastSeen time.Time
	Started  time.Time
}
