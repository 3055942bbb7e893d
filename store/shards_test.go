package store

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/settings"
)

// TestShardsOfDevices is apart from the other behaviours: the setting counts for all devices of a database.
func TestShardsOfDevices(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pinShards(t, openEngine(t, database(t)))
		})
	}
}

func pinShards(t *testing.T, e engine) {
	alone := added(t, e)
	if alone.Shard != 0 {
		t.Errorf("without further shards it is in shard %d", alone.Shard)
	}
	if err := e.SetSetting(t.Context(), settings.KeyRRDShards, "2=b:42217  1=a:42217,c:42217", "test"); err != nil {
		t.Fatal(err)
	}
	stored, err := e.LoadSettings(t.Context())
	if err != nil || stored[settings.KeyRRDShards] != "1=a:42217,c:42217 2=b:42217" {
		t.Errorf("stored: %q, %v", stored[settings.KeyRRDShards], err)
	}
	numbers := ShardNumbers(settings.NewValues(stored).Shards())
	if !slices.Equal(numbers, []int{0, 1, 2}) {
		t.Errorf("the shards in force are %v", numbers)
	}
	used := map[int]device.Device{}
	for range 60 {
		d := added(t, e)
		if want := device.ShardOf(d.RRDDir, numbers); d.Shard != want {
			t.Fatalf("%s is in shard %d, want %d", d.Hostname, d.Shard, want)
		}
		used[d.Shard] = d
	}
	if len(used) != 3 {
		t.Fatalf("60 devices use %d shards", len(used))
	}
	if d := reread(t, e, alone.ID); d.Shard != 0 {
		t.Error("a device moved by itself")
	}
	for _, value := range []string{"1=a:42217", "", "2=b:42217 3=d:42217"} {
		err := e.SetSetting(t.Context(), settings.KeyRRDShards, value, "test")
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "pollux rrd rebalance --without") {
			t.Errorf("set to %q: %v", value, err)
		}
	}
	if err := e.UnsetSetting(t.Context(), settings.KeyRRDShards, "test"); !errors.Is(err, ErrInvalid) {
		t.Errorf("unset: %v", err)
	}
	if err := e.SetSetting(t.Context(), settings.KeyRRDShards, "1=a:42217 2=b:42217 3=d:42217", "test"); err != nil {
		t.Errorf("a further shard: %v", err)
	}
	moveShards(t, e, used[1])
}

func moveShards(t *testing.T, e engine, d device.Device) {
	for _, move := range []struct{ from, to, want int }{{0, 2, 1}, {1, 3, 3}, {1, 2, 3}} {
		if err := e.MoveDevice(t.Context(), d.ID, move.from, move.to); err != nil {
			t.Fatal(err)
		}
		if got := reread(t, e, d.ID); got.Shard != move.want {
			t.Errorf("moved from %d to %d it is in shard %d, want %d", move.from, move.to, got.Shard, move.want)
		}
	}
	if err := e.MoveDevice(t.Context(), 1<<40, 0, 1); err != nil {
		t.Errorf("a device that was removed: %v", err)
	}
}

// TestAShardStaysWhileADeviceComes has somebody take a shard out while a device is given it.
func TestAShardStaysWhileADeviceComes(t *testing.T) {
	t.Parallel()
	for name, database := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openEngine(t, database(t))
			for what, take := range map[string]func() error{
				"unset": func() error { return e.UnsetSetting(t.Context(), settings.KeyRRDShards, "test") },
				"set":   func() error { return e.SetSetting(t.Context(), settings.KeyRRDShards, "2=b:42217", "test") },
			} {
				setShards(t, e, "1=a:42217")
				waitsForDevice(t, e, what, take)
			}
			setShards(t, e, "1=a:42217")
			shardRace(t, e)
		})
	}
}

func setShards(t *testing.T, e engine, value string) {
	t.Helper()
	if err := e.SetSetting(t.Context(), settings.KeyRRDShards, value, "test"); err != nil {
		t.Fatal(err)
	}
}

// waitsForDevice takes shard 1 out between the moment when a device is given it and the one when its row is there.
func waitsForDevice(t *testing.T, e engine, what string, take func() error) {
	t.Helper()
	d := added(t, e)
	tx, err := e.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if _, err := e.shardFor(t.Context(), tx, "sw"); err != nil {
		t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() { taken <- take() }()
	select {
	case err := <-taken:
		t.Errorf("%s: the shard was taken out while a device was given it: %v", what, err)
		taken <- err
	case <-time.After(300 * time.Millisecond):
	}
	comes(t, tx, d.ID)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-taken; !errors.Is(err, ErrInvalid) {
		t.Errorf("%s: the shard that has a device was taken out: %v", what, err)
	}
	if err := e.MoveDevice(t.Context(), d.ID, 1, 0); err != nil {
		t.Fatal(err)
	}
}

// comes puts a device into shard 1.
func comes(t *testing.T, tx bun.Tx, id int64) {
	t.Helper()
	if _, err := tx.NewUpdate().Table("devices").Set("shard = 1").Where("id = ?", id).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// shardRace has devices added and the shards taken out at once: whoever is first, no device is in a shard that is gone.
func shardRace(t *testing.T, e engine) {
	t.Helper()
	for range 4 {
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				if _, err := e.AddDevice(t.Context(), described()); err != nil {
					t.Errorf("adding: %v", err)
				}
			})
		}
		var unset error
		wait.Go(func() { unset = e.UnsetSetting(t.Context(), settings.KeyRRDShards, "test") })
		wait.Wait()
		all, err := e.Devices(t.Context(), Filter{Limit: maxPageSize})
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := slices.DeleteFunc(all, func(d device.Device) bool { return d.Shard == 0 })
		if unset == nil && len(elsewhere) > 0 {
			t.Errorf("%d devices are in a shard that was taken out", len(elsewhere))
		}
		if unset != nil && !errors.Is(unset, ErrInvalid) {
			t.Errorf("taking it out: %v", unset)
		}
		for _, d := range elsewhere {
			if err := e.MoveDevice(t.Context(), d.ID, d.Shard, 0); err != nil {
				t.Fatal(err)
			}
		}
		setShards(t, e, "1=a:42217")
	}
}
