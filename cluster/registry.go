package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
)

const (
	nodeTTL       = 15 * time.Second
	heartbeat     = 5 * time.Second
	takenPatience = 20 * time.Second // longer than the TTL: after a kill -9 the old entry lapses in time
	takenRetry    = time.Second
	maxAutoNodes  = 1000
)

// AutoID as a NODE_ID asks for a name from the cluster: "<role>-<n>" with the
// lowest free n, or the one that this host's process with the same pid had
// until it was killed: a container that is started again keeps both.
const AutoID = "auto"

// Why a node cannot be registered.
var (
	// ErrTaken says that another live process holds the NODE_ID in the same role.
	ErrTaken = errors.New("the NODE_ID is taken")
	// ErrNodeID says that a NODE_ID or role is malformed.
	ErrNodeID = errors.New("a NODE_ID has 1 to 64 of the characters A-Z a-z 0-9 . _ -")
)

var (
	nodeIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	roleForm   = regexp.MustCompile(`^[a-z]{1,32}$`)
)

// registerScript writes a node's entry unless another token's stands there,
// which it returns, cut to 8 KiB. When Redis is out of memory, the old entry of
// this token lives on: a full Redis must not make every node look dead.
// ARGV: how the entries of this token begin, the entry, TTL in ms.
var registerScript = redis.NewScript(`
local there = redis.call('GETRANGE', KEYS[1], 0, 8191)
if there ~= '' and string.sub(there, 1, #ARGV[1]) ~= ARGV[1] then
	return there
end
local result = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if result.err then
	if there == '' then
		return result
	end
	redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return ''`)

// deregisterScript deletes the entry of the token only.
var deregisterScript = redis.NewScript(`
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)

// NodeInfo is what a process tells about itself.
type NodeInfo struct {
	Role    string // producer, consumer or web
	NodeID  string // NODE_ID, or AutoID
	Host    string
	PID     int
	Version string
	Started time.Time
	Groups  func() []int64 // poller groups it serves now; nil for a role without groups
	Status  func() Status  // how it works now; nil for active without anything to tell
	Keys    []string       // ids of the APP_KEYs that it can open credentials with
}

// Status is what a process tells of how it works.
type Status struct {
	State  device.NodeState
	Leader bool          // it leads the producers
	Work   []device.Work // one per kind of work
}

// Registry holds the entry of one process in one role: pollux:node:<role>:<NODE_ID>.
type Registry struct {
	client redis.UniversalClient
	info   NodeInfo
	token  string
	log    *slog.Logger

	refresh  chan struct{} // asks for a heartbeat at once
	every    time.Duration // between two heartbeats
	patience time.Duration // with another holder
}

// NewRegistry prepares the entry. A malformed role or NODE_ID is ErrNodeID.
func NewRegistry(client redis.UniversalClient, info NodeInfo, log *slog.Logger) (*Registry, error) {
	if !nodeIDForm.MatchString(info.NodeID) || !roleForm.MatchString(info.Role) {
		return nil, fmt.Errorf("%w, this one is %q (role %q)", ErrNodeID, printable(info.NodeID), printable(info.Role))
	}
	return &Registry{
		client: client, info: info, token: random(), log: log,
		refresh: make(chan struct{}, 1), every: heartbeat, patience: takenPatience,
	}, nil
}

// Refresh asks for a heartbeat at once, since what the process tells has changed. It does not wait for it.
func (r *Registry) Refresh() {
	select {
	case r.refresh <- struct{}{}:
	default: // one is asked for already
	}
}

// NodeID is the node's name: that of the NodeInfo, or after Register the one that AutoID found.
func (r *Registry) NodeID() string { return r.info.NodeID }

// Register takes the NODE_ID. When another process holds it, Register waits up to
// 20 s for the entry to lapse, so that a restart right after a kill -9 works; then
// the error is ErrTaken and names the holder's host and pid.
func (r *Registry) Register(ctx context.Context) error {
	if r.info.NodeID == AutoID {
		return r.registerAuto(ctx)
	}
	return r.registerAs(ctx)
}

// registerAs takes the name of the NodeInfo, and waits for it.
func (r *Registry) registerAs(ctx context.Context) error {
	giveUp := time.Now().Add(r.patience)
	for waiting := false; ; waiting = true {
		holder, err := r.beat(ctx)
		if err == nil && holder == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("register node %s: %w", r.info.NodeID, ctx.Err())
		}
		if time.Now().After(giveUp) {
			if err != nil {
				return fmt.Errorf("register node %s: %w", r.info.NodeID, err)
			}
			return r.taken(holder)
		}
		if !waiting && holder != nil {
			r.log.Info("the NODE_ID is still registered; waiting for the entry to lapse",
				"node_id", r.info.NodeID, "role", r.info.Role, "host", holder.Host, "pid", holder.PID, "at_most", r.patience)
		}
		pause(ctx, takenRetry)
	}
}

func (r *Registry) registerAuto(ctx context.Context) error {
	if r.info.NodeID = r.former(ctx); r.info.NodeID != AutoID {
		err := r.registerAs(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrTaken) {
			r.info.NodeID = AutoID
			return err
		}
		// Whoever has it lives: in a container that shares the host's name, for instance.
	}
	for n := 1; n <= maxAutoNodes; n++ {
		r.info.NodeID = r.info.Role + "-" + strconv.Itoa(n)
		holder, err := r.beat(ctx)
		if err != nil {
			r.info.NodeID = AutoID
			return fmt.Errorf("register a node of role %s: %w", r.info.Role, err)
		}
		if holder == nil {
			return nil
		}
	}
	r.info.NodeID = AutoID
	return fmt.Errorf("%w: all of %s-1 to %s-%d", ErrTaken, r.info.Role, r.info.Role, maxAutoNodes)
}

// former is the automatic name that the process before this one had on this
// host under the same pid, AutoID for none. Its entry has not lapsed yet.
func (r *Registry) former(ctx context.Context) string {
	nodes, err := List(ctx, r.client)
	if err != nil {
		return AutoID // who registers finds out what is wrong
	}
	for i := range nodes {
		n := &nodes[i]
		number, automatic := strings.CutPrefix(n.NodeID, r.info.Role+"-")
		if _, err := strconv.Atoi(number); err != nil || !automatic {
			continue
		}
		if n.Role == r.info.Role && n.Host == r.info.Host && n.PID == r.info.PID {
			return n.NodeID
		}
	}
	return AutoID
}

// Run renews the entry every 5 s until ctx ends, then removes it. An entry that
// was lost is made again. When another process has taken the NODE_ID in the meantime
// (this one had no Redis for 15 s), Run ends with ErrTaken.
func (r *Registry) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	defer r.deregister(ctx)
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-r.refresh:
		}
		holder, err := r.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			r.log.Warn("the node's heartbeat does not reach Redis; trying on", "node_id", r.info.NodeID, "error", err)
		case err == nil && failing:
			r.log.Info("the node's heartbeat reaches Redis again", "node_id", r.info.NodeID)
		}
		failing = err != nil
		if holder != nil {
			return r.taken(holder)
		}
	}
}

// beat writes the entry once; holder is the other process that has the NODE_ID, nil for none.
func (r *Registry) beat(ctx context.Context) (holder *Node, err error) {
	entry, err := r.entry()
	if err != nil {
		return nil, err
	}
	limit, stop := context.WithTimeout(ctx, commandTimeout)
	defer stop()
	there, err := registerScript.Run(limit, r.client, []string{r.key()}, entryBegin(r.token), entry, nodeTTL.Milliseconds()).Text()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", r.key(), err)
	}
	if there == "" {
		return nil, nil
	}
	node, err := parseEntry(r.key(), there)
	if err != nil { // something stands there all the same
		node = Node{Host: "an unknown host"}
	}
	return &node, nil
}

func (r *Registry) deregister(ctx context.Context) {
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer stop()
	if err := deregisterScript.Run(limit, r.client, []string{r.key()}, entryBegin(r.token)).Err(); err != nil {
		r.log.Warn("the node's entry is left to lapse", "node_id", r.info.NodeID, "error", err)
	}
}

func (r *Registry) taken(holder *Node) error {
	return fmt.Errorf("%w: %s of role %s is in use by host %s, pid %d: stop that process or give this one another NODE_ID (or NODE_ID=auto)",
		ErrTaken, r.info.NodeID, r.info.Role, holder.Host, holder.PID)
}

func (r *Registry) key() string { return nodeKeys + r.info.Role + ":" + r.info.NodeID }
