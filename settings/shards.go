package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pollux/rrdcached"
)

const (
	maxShard   = 63
	maxTargets = 8 // of a shard
)

// Shard is the RRDCached that hold the same part of the devices.
type Shard struct {
	Number  int      // 1 to 63; 0 is that of RRDCACHED
	Targets []string // host:port, each of which gets every update
}

// ParseShards reads "1=a:42217,b:42217 2=c:42217", in any order. "" is none.
func ParseShards(text string) ([]Shard, error) {
	var shards []Shard
	var taken []string
	for _, word := range strings.Fields(text) {
		name, list, found := strings.Cut(word, "=")
		number, err := strconv.Atoi(name)
		if !found || err != nil || strconv.Itoa(number) != name || number < 1 || number > maxShard {
			return nil, fmt.Errorf("%.60q is not NUMBER=ADDRESS,... with a number from 1 to %d", word, maxShard)
		}
		if slices.ContainsFunc(shards, func(s Shard) bool { return s.Number == number }) {
			return nil, fmt.Errorf("shard %d stands there twice", number)
		}
		shard := Shard{Number: number, Targets: strings.Split(list, ",")}
		if len(shard.Targets) > maxTargets {
			return nil, fmt.Errorf("shard %d has more than %d addresses", number, maxTargets)
		}
		for _, target := range shard.Targets {
			network, _, err := rrdcached.ParseAddress(target)
			switch {
			case err != nil:
				return nil, fmt.Errorf("shard %d: %w", number, err)
			case network != "tcp":
				return nil, fmt.Errorf("shard %d: %.80q must be host:port, which every node can reach", number, target)
			case slices.Contains(taken, target):
				return nil, fmt.Errorf("%.80q stands there twice", target)
			}
			taken = append(taken, target)
		}
		shards = append(shards, shard)
	}
	slices.SortFunc(shards, func(a, b Shard) int { return a.Number - b.Number })
	return shards, nil
}

// formatShards writes what ParseShards reads, by number.
func formatShards(shards []Shard) string {
	words := make([]string, len(shards))
	for i, s := range shards {
		words[i] = strconv.Itoa(s.Number) + "=" + strings.Join(s.Targets, ",")
	}
	return strings.Join(words, " ")
}

// Shards returns the shards besides 0, by number.
func (v Values) Shards() []Shard {
	text, _ := v.Text(KeyRRDShards)
	shards, err := ParseShards(text)
	if err != nil {
		return nil // a stored value is checked before it is in force
	}
	return shards
}
