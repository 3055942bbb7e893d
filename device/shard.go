package device

import (
	"hash/fnv"
	"io"
	"strconv"
)

// ShardOf is the shard that a device with this RRD directory goes to, of those
// there are: the one with the highest weight for it (rendezvous hashing). When a
// shard is added, devices move to it only; when one goes, only its devices move. No shards means 0.
func ShardOf(rrdDir string, shards []int) int {
	chosen, best := 0, uint64(0)
	for i, shard := range shards {
		weight := weightOf(rrdDir, shard)
		if i == 0 || weight > best || weight == best && shard < chosen {
			chosen, best = shard, weight
		}
	}
	return chosen
}

func weightOf(rrdDir string, shard int) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, strconv.Itoa(shard)+"/"+rrdDir) // never fails
	return mix(h.Sum64())
}

// mix spreads a hash over all bits, which FNV does not for short texts: the
// last step of MurmurHash3, by Austin Appleby, public domain.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
