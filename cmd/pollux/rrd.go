package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pollux/device"
	"pollux/journal"
	"pollux/rrd"
	"pollux/rrdcached"
	"pollux/store"
)

func (p *program) rrdCommand() *cobra.Command {
	command := &cobra.Command{Use: "rrd", Short: "Read RRD files; compare, copy, move and clear their trees", Args: words(0), RunE: help}
	command.AddCommand(p.rrdFetchCommand(), p.rrdVerifyCommand(), p.rrdCopyCommand(), p.rrdOrphansCommand(), p.rrdRebalanceCommand())
	return command
}

// rrdShard is a shard of the journal with the RRDCached that record it.
type rrdShard struct {
	number    int
	journal   *journal.Journal
	addresses []string
}

// rrdShards are all shards.
func (n *node) rrdShards() []rrdShard {
	var shards []rrdShard
	for _, number := range store.ShardNumbers(n.settings.Values().Shards()) {
		shards = append(shards, rrdShard{number: number, journal: n.shards.Shard(number), addresses: n.addresses(number)})
	}
	return shards
}

// rrdShard is the one that an address belongs to; one that no configuration names belongs to the only shard.
func (n *node) rrdShard(addresses ...string) (rrdShard, error) {
	shards := n.rrdShards()
	var found []rrdShard
	for _, s := range shards {
		if slices.ContainsFunc(addresses, func(address string) bool { return slices.Contains(s.addresses, address) }) {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return rrdShard{}, usagef("%.200s are of shards %d and %d, which have different devices", strings.Join(addresses, " and "), found[0].number, found[1].number)
	case len(shards) == 1:
		return shards[0], nil
	}
	return rrdShard{}, usagef("none of the shards has an RRDCached at %.200q; write an address as it is configured", strings.Join(addresses, " or "))
}

// checkAddresses refuses what cannot be the address of an RRDCached.
func checkAddresses(addresses ...string) error {
	for _, address := range addresses {
		if _, _, err := rrdcached.ParseAddress(address); err != nil {
			return usagef("%v", err)
		}
	}
	return nil
}

// pageOfDevices is how many devices are read at a time.
const pageOfDevices = 1000

// eachDevice are the devices of the inventory, without secrets, in the order of their ids.
func eachDevice(ctx context.Context, s *store.Store) iter.Seq2[device.Device, error] {
	return paged(func(after int64) ([]device.Device, error) {
		return s.Devices(ctx, store.Filter{AfterID: after, Limit: pageOfDevices})
	}, func(d device.Device) int64 { return d.ID })
}

// eachRemoved are the devices that were removed.
func eachRemoved(ctx context.Context, s *store.Store) iter.Seq2[device.Removed, error] {
	return paged(func(after int64) ([]device.Removed, error) {
		return s.RemovedDevices(ctx, after, pageOfDevices)
	}, func(r device.Removed) int64 { return r.ID })
}

// paged goes through a list that is read in pages; an error ends it.
func paged[T any](read func(after int64) ([]T, error), id func(T) int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := int64(0); ; {
			list, err := read(after)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			if len(list) == 0 {
				return
			}
			for _, one := range list {
				if after = id(one); !yield(one, nil) {
					return
				}
			}
		}
	}
}

// ofShard leaves the devices of one shard.
func ofShard(devices iter.Seq2[device.Device, error], shard int) iter.Seq2[device.Device, error] {
	return func(yield func(device.Device, error) bool) {
		for d, err := range devices {
			if (err != nil || d.Shard == shard) && !yield(d, err) {
				return
			}
		}
	}
}

// sampled leaves n devices, each with the same chance.
func sampled(devices iter.Seq2[device.Device, error], n int) iter.Seq2[device.Device, error] {
	return func(yield func(device.Device, error) bool) {
		var chosen []device.Device
		seen := 0
		for d, err := range devices {
			if err != nil {
				yield(d, err)
				return
			}
			seen++
			if len(chosen) < n {
				chosen = append(chosen, d)
			} else if at := rand.IntN(seen); at < n {
				chosen[at] = d
			}
		}
		for _, d := range chosen {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// progressEvery is how often a command that takes long says how far it is.
const progressEvery = 10 * time.Second

// sometimes calls at most every 10 s, and not at first.
func sometimes[T any](say func(T)) func(T) {
	last := time.Now()
	return func(value T) {
		if time.Since(last) >= progressEvery {
			last = time.Now()
			say(value)
		}
	}
}

// rrdAdvice adds what to do to an error of package rrd.
func rrdAdvice(err error) error {
	switch {
	case errors.Is(err, journal.ErrTargetKnown):
		return fmt.Errorf("%w; take it out of RRDCACHED on every node, restart them, and run: pollux journal forget TARGET", err)
	case errors.Is(err, journal.ErrTargetBusy):
		return fmt.Errorf("%w, or another copy is under way; take it out of RRDCACHED on every node and restart them first", err)
	case errors.Is(err, journal.ErrNoTarget):
		return fmt.Errorf("%w; see: pollux journal status", err)
	case errors.Is(err, rrd.ErrInUse):
		return fmt.Errorf("%w; restart it, and keep everything away from it", err)
	case errors.Is(err, rrd.ErrNotTree):
		return fmt.Errorf("%w; name the directory that is the base (-b) of that RRDCached", err)
	default:
		return err
	}
}
