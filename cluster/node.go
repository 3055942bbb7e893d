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
)

const (
	maxEntry     = 8 << 10 // bytes of one node's entry
	maxNodes     = 2048
	scanCount    = 1000   // keys that Redis looks at per call
	maxScanCalls = 10_000 // so that a cursor that never ends does not hang us
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
	Groups  []int64          `json:"groups"` // poller groups it serves; nil for a role without groups
	Counts  map[string]int64 `json:"counts,omitempty"`
	Keys    []string         `json:"keys,omitempty"` // ids of the APP_KEYs that it can open credentials with
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
		}
		return nil
	})
	var reply redis.Error
	if err != nil && !errors.As(err, &reply) { // a reply concerns one key only, of another type
		return nil, fmt.Errorf("read the nodes in Redis: %w", err)
	}
	nodes := make([]Node, 0, len(keys))
	for i, entry := range entries {
		text, ok := entry.(*redis.StringCmd)
		if !ok || text.Err() != nil || text.Val() == "" { // "" lapsed since the scan
			continue
		}
		if node, err := parseEntry(keys[i], text.Val()); err == nil {
			nodes = append(nodes, node)
		}
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
	node := Node{Token: r.token, Host: r.info.Host, PID: r.info.PID, Version: r.info.Version, Started: r.info.Started.UTC(), Keys: r.info.Keys}
	if r.info.Groups != nil {
		node.Groups = r.info.Groups()
	}
	if r.info.Counts != nil {
		node.Counts = r.info.Counts()
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

// entryBegin is how every entry of a token begins; encoding/json keeps the order of the fields.
func entryBegin(token string) string { return `{"token":"` + token + `"` }

// parseEntry reads an entry that any process may have written.
func parseEntry(key, entry string) (Node, error) {
	role, id, found := strings.Cut(strings.TrimPrefix(key, nodeKeys), ":")
	if !found || !roleForm.MatchString(role) || !nodeIDForm.MatchString(id) {
		return Node{}, fmt.Errorf("%w: key %q", ErrNodeID, printable(key))
	}
	var node Node
	if err := json.Unmarshal([]byte(entry), &node); err != nil {
		return Node{}, fmt.Errorf("read the entry of node %s: %w", id, err)
	}
	node.Role, node.NodeID = role, id
	node.Token, node.Host, node.Version = printable(node.Token), printable(node.Host), printable(node.Version)
	return node, nil
}
