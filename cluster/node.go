package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"pollux/device"
)

const (
	maxEntry     = 8 << 10 // bytes of one node's entry
	maxNodes     = 2048
	scanCount    = 1000   // keys that Redis looks at per call
	maxScanCalls = 10_000 // so that a cursor that never ends does not hang us
	maxKinds     = 8      // of work in one entry
	maxWorkers   = 1 << 20
	maxSpan      = 1 << 43 // milliseconds: 278 years, which a time.Duration just holds
)

// Node is a live process as the registry knows it: its last heartbeat is less than 15 s old.
type Node struct {
	Token   string           `json:"token"` // random per process; first, because the scripts compare how the entry begins
	Role    string           `json:"-"`     // from the key
	NodeID  string           `json:"-"`     // from the key
	Host    string           `json:"host"`
	PID     int              `json:"pid"`
	Version string           `json:"version"`
	Started time.Time        `json:"started"`
	Groups  []int64          `json:"groups"`         // poller groups it serves; nil for a role without groups
	Keys    []string         `json:"keys,omitempty"` // ids of the APP_KEYs that it can open credentials with
	State   device.NodeState `json:"state,omitempty"`
	Leader  bool             `json:"leader,omitempty"` // it leads the producers
	Work    []device.Work    `json:"-"`
	Seen    time.Time        `json:"-"` // its last heartbeat by the local clock, as what is left of the entry's life tells
}

// nodeEntry is a Node as it stands in Redis.
type nodeEntry struct {
	Node
	Numbers []workEntry `json:"work,omitempty"`
}

// workEntry is a device.Work in an entry; durations are milliseconds.
type workEntry struct {
	Kind         string `json:"kind"`
	Workers      int    `json:"workers"`
	Window       int64  `json:"window"`
	Done         int64  `json:"done"`
	Errors       int64  `json:"errors"`
	Busy         int64  `json:"busy"`
	Capacity     int64  `json:"capacity"`
	LatenessMean int64  `json:"late_mean"`
	LatenessMax  int64  `json:"late_max"`
	DoneTotal    int64  `json:"done_total"`
	ErrorsTotal  int64  `json:"errors_total"`
	BusyTotal    int64  `json:"busy_total"`
}

// List reads all live nodes, ordered by role and NODE_ID. Entries that are not
// ours or malformed are left out. More than 2,048 nodes are an error.
func List(ctx context.Context, client redis.UniversalClient) ([]Node, error) {
	keys, err := nodeKeyList(ctx, client)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	var entries []redis.Cmder
	entries, err = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, key := range keys {
			pipe.GetRange(ctx, key, 0, maxEntry-1)
			pipe.PTTL(ctx, key)
		}
		return nil
	})
	var reply redis.Error
	if err != nil && !errors.As(err, &reply) { // a reply concerns one key only, of another type
		return nil, fmt.Errorf("read the nodes in Redis: %w", err)
	}
	nodes := make([]Node, 0, len(keys))
	now := time.Now()
	for i, key := range keys {
		text, ok := entries[2*i].(*redis.StringCmd)
		if !ok || text.Err() != nil || text.Val() == "" { // "" lapsed since the scan
			continue
		}
		node, err := parseEntry(key, text.Val())
		if err != nil {
			continue
		}
		node.Seen = now
		if left, ok := entries[2*i+1].(*redis.DurationCmd); ok && left.Val() > 0 && left.Val() <= nodeTTL {
			node.Seen = now.Add(left.Val() - nodeTTL)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// nodeKeyList finds the keys of the registry, sorted. SCAN may return a key twice.
func nodeKeyList(ctx context.Context, client redis.UniversalClient) ([]string, error) {
	var keys []string
	var cursor uint64
	for range maxScanCalls {
		found, next, err := client.Scan(ctx, cursor, nodeKeys+"*", scanCount).Result()
		if err != nil {
			return nil, fmt.Errorf("look for nodes in Redis: %w", err)
		}
		keys = append(keys, found...)
		if len(keys) > maxNodes {
			return nil, fmt.Errorf("look for nodes in Redis: more than %d keys begin with %s", maxNodes, nodeKeys)
		}
		if next == 0 {
			slices.Sort(keys)
			return slices.Compact(keys), nil
		}
		cursor = next
	}
	return nil, fmt.Errorf("look for nodes in Redis: no end after %d calls of SCAN", maxScanCalls)
}

// entry is the value of the registry's key for this process now.
func (r *Registry) entry() ([]byte, error) {
	node := nodeEntry{Node: Node{
		Token: r.token, Host: r.info.Host, PID: r.info.PID, Version: r.info.Version, Started: r.info.Started.UTC(), Keys: r.info.Keys,
	}}
	if r.info.Groups != nil {
		node.Groups = r.info.Groups()
	}
	if r.info.Status != nil {
		status := r.info.Status()
		node.State, node.Leader = status.State, status.Leader
		for _, w := range status.Work {
			node.Numbers = append(node.Numbers, toEntry(w))
		}
	}
	entry, err := json.Marshal(node)
	if err != nil {
		return nil, fmt.Errorf("encode the entry of node %s: %w", r.info.NodeID, err)
	}
	if len(entry) > maxEntry {
		return nil, fmt.Errorf("encode the entry of node %s: %d bytes are more than %d; it serves too many groups", r.info.NodeID, len(entry), maxEntry)
	}
	return entry, nil
}

func toEntry(w device.Work) workEntry {
	return workEntry{
		Kind: w.Kind, Workers: w.Workers, Window: w.Window.Milliseconds(), Done: w.Done, Errors: w.Errors, Busy: w.Busy.Milliseconds(), Capacity: w.Capacity.Milliseconds(),
		LatenessMean: w.LatenessMean.Milliseconds(), LatenessMax: w.LatenessMax.Milliseconds(),
		DoneTotal: w.DoneTotal, ErrorsTotal: w.ErrorsTotal, BusyTotal: w.BusyTotal.Milliseconds(),
	}
}

// work reads a workEntry, which any process may have written: what cannot be is 0.
func (e workEntry) work() device.Work {
	count := func(n int64) int64 { return max(n, 0) }
	span := func(ms int64) time.Duration { return time.Duration(min(max(ms, 0), maxSpan)) * time.Millisecond }
	return device.Work{
		Kind: printable(e.Kind), Workers: min(max(e.Workers, 0), maxWorkers), Window: span(e.Window), Done: count(e.Done), Errors: count(e.Errors),
		Busy: span(e.Busy), Capacity: span(e.Capacity), LatenessMean: span(e.LatenessMean), LatenessMax: span(e.LatenessMax),
		DoneTotal: count(e.DoneTotal), ErrorsTotal: count(e.ErrorsTotal), BusyTotal: span(e.BusyTotal),
	}
}

// entryBegin is how every entry of a token begins; encoding/json keeps the order of the fields.
func entryBegin(token string) string { return `{"token":"` + token + `"` }

// parseEntry reads an entry that any process may have written.
func parseEntry(key, entry string) (Node, error) {
	role, id, found := strings.Cut(strings.TrimPrefix(key, nodeKeys), ":")
	if !found || !roleForm.MatchString(role) || !nodeIDForm.MatchString(id) {
		return Node{}, fmt.Errorf("%w: key %q", ErrNodeID, printable(key))
	}
	var read nodeEntry
	if err := json.Unmarshal([]byte(entry), &read); err != nil {
		return Node{}, fmt.Errorf("read the entry of node %s: %w", id, err)
	}
	node := read.Node
	node.Role, node.NodeID = role, id
	node.Token, node.Host, node.Version = printable(node.Token), printable(node.Host), printable(node.Version)
	switch node.State {
	case device.NodeActive, device.NodeDraining, device.NodeDrained, device.NodeSkewed:
	default: // an older or newer program
		node.State = device.NodeActive
	}
	for _, numbers := range read.Numbers[:min(len(read.Numbers), maxKinds)] {
		node.Work = append(node.Work, numbers.work())
	}
	return node, nil
}
