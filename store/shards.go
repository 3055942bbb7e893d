package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/settings"
)

// ShardNumbers are the shards in force: 0, and those of the setting rrd.shards.
func ShardNumbers(shards []settings.Shard) []int {
	numbers := []int{0}
	for _, s := range shards {
		numbers = append(numbers, s.Number)
	}
	return numbers
}

// shardFor is the shard that a new device is given. Until the transaction ends
// nobody changes the setting: a shard is not taken out while a device comes into it. Without
// the setting there is shard 0 only, which stays.
func (s *Store) shardFor(ctx context.Context, tx bun.Tx, rrdDir string) (int, error) {
	var stored string
	query := "SELECT value FROM settings WHERE name = ?" + forShare[s.db.Dialect().Name()]
	err := tx.NewRaw(query, settings.KeyRRDShards).Scan(ctx, &stored)
	if err != nil && !missing(err) {
		return 0, err
	}
	shards := settings.NewValues(map[string]string{settings.KeyRRDShards: stored}).Shards()
	return device.ShardOf(rrdDir, ShardNumbers(shards)), nil
}

// checkShards refuses a value of rrd.shards that lacks a shard which has devices:
// their measurements would have no place to go to.
func checkShards(ctx context.Context, tx bun.Tx, value string) error {
	shards, err := settings.ParseShards(value)
	if err != nil {
		return fmt.Errorf("%w setting: %w", ErrInvalid, err)
	}
	var used []struct {
		Shard   int `bun:"shard"`
		Devices int `bun:"devices"`
	}
	err = tx.NewSelect().Table("devices").Column("shard").ColumnExpr("COUNT(*) AS devices").Group("shard").Order("shard").Scan(ctx, &used)
	if err != nil {
		return err
	}
	there := map[int]bool{}
	for _, number := range ShardNumbers(shards) {
		there[number] = true
	}
	for _, u := range used {
		if !there[u.Shard] {
			return fmt.Errorf("%w setting: shard %d has %d devices; move them first: pollux rrd rebalance --without %d", ErrInvalid, u.Shard, u.Devices, u.Shard)
		}
	}
	return nil
}

// MoveDevice notes that a device was moved from one shard to another. It does
// nothing when the device is of another shard than from, or was removed.
func (s *Store) MoveDevice(ctx context.Context, id int64, from, to int) error {
	return s.tx(ctx, fmt.Sprintf("move the device %d to shard %d", id, to), func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Table("devices").Set("shard = ?", to).Where("id = ?", id).Where("shard = ?", from).Exec(ctx)
		return err
	})
}
