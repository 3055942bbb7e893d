package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

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
