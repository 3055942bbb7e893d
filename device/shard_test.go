package device_test

import (
	"fmt"
	"math"
	"testing"

	"pollux/device"
)

func TestShardsGetEvenParts(t *testing.T) {
	t.Parallel()
	const devices = 20_000
	for _, shards := range [][]int{{0}, {0, 1}, {0, 1, 2}, {0, 3, 7, 63}} {
		count := map[int]int{}
		for i := range devices {
			count[device.ShardOf(fmt.Sprintf("sw-%04d.example", i), shards)]++
		}
		want := float64(devices) / float64(len(shards))
		for _, shard := range shards {
			if off := math.Abs(float64(count[shard])-want) / want; off > 0.05 {
				t.Errorf("of shards %v, %d has %d devices, want about %.0f", shards, shard, count[shard], want)
			}
		}
		if len(count) != len(shards) {
			t.Errorf("of shards %v devices go to %v", shards, count)
		}
	}
	if got := device.ShardOf("sw1", nil); got != 0 {
		t.Errorf("without shards: %d", got)
	}
}

// TestShardsThatComeAndGo holds the reason for rendezvous hashing: nothing moves between shards that stay.
func TestShardsThatComeAndGo(t *testing.T) {
	t.Parallel()
	const devices = 10_000
	moved := 0
	for i := range devices {
		name := fmt.Sprintf("10.%d.%d.1", i/250, i%250)
		two, three := device.ShardOf(name, []int{0, 1}), device.ShardOf(name, []int{2, 1, 0})
		if two != three {
			moved++
			if three != 2 {
				t.Fatalf("%s goes from shard %d to %d when shard 2 comes", name, two, three)
			}
		}
		if without := device.ShardOf(name, []int{0, 2}); three != 1 && without != three {
			t.Fatalf("%s goes from shard %d to %d when shard 1 goes", name, three, without)
		}
	}
	if share := float64(moved) / devices; share < 0.30 || share > 0.37 {
		t.Errorf("%.3f of the devices go to a third shard", share)
	}
}
