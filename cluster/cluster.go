// Package cluster coordinates the processes of Pollux over Redis: the
// connection (plain, password, ACL user, unix socket, TLS, Sentinel), leases,
// the clock that all nodes share, the registry of live nodes, the identity of
// the cluster, and the janitor of asynq's keys.
//
// It must not know what the leases guard: no device, no schedule, no SQL. It
// writes keys under "pollux:" only, except that the janitor removes entries
// from asynq's own keys. A lease here saves work; it is no proof of
// exclusiveness, and whoever needs an order checks it where it writes.
package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
)

// LeaderKey is the key of the lease that the leading producer holds.
const LeaderKey = "pollux:leader"

// BillingKey is the key of the lease of the consumer that serves the queue billing.
const BillingKey = "pollux:billing"

const (
	clusterKey   = "pollux:cluster"
	nodeKeys     = "pollux:node:"
	deviceLeases = "pollux:lease:"
)

// maxText bounds what is shown of a text that another process put into Redis, in bytes.
const maxText = 255

// place is this process in words for people: "<host>:<pid>".
func place() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + ":" + strconv.Itoa(os.Getpid())
}

// random returns 16 random bytes as 32 hexadecimal digits.
func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}

// printable makes a text from Redis fit for a log line or a terminal.
func printable(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// register adds a collector, or returns the one of the same name that is
// there already: the roles of one process share their metrics.
func register[C prometheus.Collector](registerer prometheus.Registerer, collector C) C {
	err := registerer.Register(collector)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if existing, ok := there.ExistingCollector.(C); ok {
			return existing
		}
	}
	if err != nil {
		panic(err) // two collectors of one name and different shape: a mistake in the program
	}
	return collector
}
