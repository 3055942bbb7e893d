// Package rrd reads graphs, and compares, copies and clears RRD trees: those of two RRDCached
// that should hold the same, the one that a new RRDCached begins with, and what
// removed devices have left behind.
//
// It must not parse flags, print, or poll. It never sends RRDCached an update:
// the recorder is the only writer, and knows a restart by the count of updates.
// It never locks a file: an update of a file that is locked is lost.
package rrd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pollux/device"
	"pollux/journal"
	"pollux/measurement"
	"pollux/rrdcached"
)

// What makes a command refuse. The texts say which tree or address it is about.
var (
	ErrSameTarget = errors.New("both addresses lead to the same RRD tree")
	ErrNotTree    = errors.New("not the RRD tree of this RRDCached")
	ErrLacking    = errors.New("not all trees of the shard are the same, or known")
	ErrInUse      = errors.New("RRDCached is in use already")
)

// identityFile says whose tree it is. It is never copied and never removed.
const identityFile = "_pollux.rrd"

// maxGenerations bounds the files of one port: the newest generations count.
const maxGenerations = 200

// Ports reads the ports of a device; *store.Store has such a method.
type Ports func(ctx context.Context, deviceID int64) ([]device.Port, error)

// Components reads the components of a device; *store.Store has such a method.
type Components func(ctx context.Context, deviceID int64) ([]device.Component, error)

// Files are the files that a device may have, relative to the base of the tree:
// of each port, each component and of the device itself one for each generation. Not all of them need
// exist: a generation that no poll saw has none.
func Files(d device.Device, ports []device.Port, components []device.Component) []string {
	var files []string
	add := func(generation int, path func(generation int) string) {
		for g := max(0, generation-maxGenerations+1); g <= generation; g++ {
			files = append(files, path(g))
		}
	}
	add(d.Generation, func(g int) string { return measurement.Path(d.RRDDir, measurement.KindUptime, 0, g) })
	for _, name := range ownNames() {
		add(d.Generation, func(g int) string { return measurement.NamedPath(d.RRDDir, name, g) })
	}
	for _, port := range ports {
		add(port.Generation, func(g int) string { return measurement.Path(d.RRDDir, measurement.KindPort, port.ID, g) })
	}
	for i := range components {
		add(components[i].Generation, func(g int) string { return measurement.NamedPath(d.RRDDir, components[i].RRDName, g) })
	}
	return files
}

// ownNames are the files of what is known of a device without its help.
func ownNames() []string {
	names := []string{measurement.OwnName(measurement.KindICMP, ""), measurement.OwnName(measurement.KindPollerPerf, "")}
	for _, module := range append(device.PollModules(), "core") {
		names = append(names, measurement.OwnName(measurement.KindPollerPerf, module))
	}
	for _, period := range device.AvailabilityPeriods() {
		names = append(names, measurement.OwnName(measurement.KindAvailability, strconv.Itoa(int(period.Seconds()))))
	}
	return names
}

// daemon is one RRDCached.
type daemon struct {
	address string
	target  string // id of its tree
	client  *rrdcached.Client
}

// dial connects to an RRDCached of this cluster and changes nothing there. A tree without identity is ErrNotTree.
func dial(ctx context.Context, address, clusterID string) (*daemon, error) {
	client, err := rrdcached.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("RRDCached at %s: %w", address, err)
	}
	target, err := journal.ReadIdentity(ctx, client, clusterID)
	if err != nil {
		_ = client.Close() // the reason is the other error
		if errors.Is(err, rrdcached.ErrNoFile) {
			err = fmt.Errorf("%w: no node of this cluster has recorded there", ErrNotTree)
		}
		return nil, fmt.Errorf("RRDCached at %s: %w", address, err)
	}
	return &daemon{address: address, target: target, client: client}, nil
}

func (e *daemon) close() { _ = e.client.Close() } // nothing is lost with a connection that only asked

// settleTries and settlePause bound how long a file that is just being written is waited for: 2 s.
const (
	settleTries = 80
	settlePause = 25 * time.Millisecond
)

// pause lasts d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// written asks for what a file on disk says of itself, after what RRDCached held of it was written. False when there is no file.
func (e *daemon) written(ctx context.Context, file string) (info rrdcached.Info, exists bool, err error) {
	err = e.client.Flush(ctx, file)
	if err == nil {
		info, err = e.client.Info(ctx, file)
	}
	if errors.Is(err, rrdcached.ErrNoFile) {
		return rrdcached.Info{}, false, nil
	}
	if err != nil {
		return rrdcached.Info{}, false, e.about(ctx, file, err)
	}
	return info, true, nil
}

// fileError says that an RRDCached cannot read a file that is there.
type fileError struct{ address, file, why string }

// Error implements error.
func (e *fileError) Error() string {
	return fmt.Sprintf("RRDCached at %s cannot read %s: %s", e.address, e.file, e.why)
}

// forbidden begins what an RRDCached says whose option -P forbids a command: nothing is wrong with the file.
const forbidden = "Permission denied"

// about tells a file that cannot be read, which is a *fileError, from trouble with its
// RRDCached. What it says of a damaged file may be no reply at all; that ends the connection, and there is a new one then.
func (e *daemon) about(ctx context.Context, file string, err error) error {
	var reply *rrdcached.ReplyError
	switch {
	case errors.As(err, &reply) && !strings.HasPrefix(reply.Text, forbidden):
		return &fileError{e.address, file, reply.Text}
	case errors.Is(err, rrdcached.ErrProtocol):
		client, dialErr := rrdcached.Dial(ctx, e.address)
		if dialErr != nil {
			return errors.Join(err, dialErr)
		}
		e.client = client
		return &fileError{e.address, file, "what it says of the file makes no sense"}
	}
	return fmt.Errorf("RRDCached at %s: read %s: %w", e.address, file, err)
}
