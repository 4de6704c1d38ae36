package keyspace

import (
	"slices"
	"strconv"
	"strings"

	"chatcore/domain"
)

// A chat's partition is a hash of its id modulo the number of partitions; both are fixed for the life of a log.
const (
	DefaultPartitions = 16
	MaxPartitions     = 1024

	HashName = "fnv1a-64" // the hash, in a log's identity
	slots    = 16384      // of a Redis Cluster
)

func partitionOf(chat domain.ChatID, partitions int) int {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(chat) {
		h = (h ^ uint64(chat[i])) * prime
	}
	return int(h % uint64(partitions)) //nolint:gosec // below partitions, which is an int
}

// tags returns a hash tag for each partition. Masters have ranges of slots. So the slots are divided into as many ranges as there are partitions, and
// each partition gets the smallest number whose slot is in the middle half of its range. The partitions are then spread evenly over any number of
// masters up to the number of partitions.
func tags(partitions int) []string {
	out := make([]string, partitions)
	for found, n := 0, 0; found < partitions; n++ {
		tag := strconv.Itoa(n)
		slot := int(crc16(tag)) % slots
		p := slot * partitions / slots
		if out[p] == "" && inMiddle(slot, p, partitions) {
			out[p] = tag
			found++
		}
	}
	return out
}

// firstTags returns the tags that a log's first partition can have, over all numbers of partitions.
func firstTags() []string {
	var found []string
	left := make([]int, 0, MaxPartitions)
	for partitions := range MaxPartitions {
		left = append(left, partitions+1)
	}
	for n := 0; len(left) > 0; n++ {
		tag := strconv.Itoa(n)
		slot, before := int(crc16(tag))%slots, len(left)
		left = slices.DeleteFunc(left, func(partitions int) bool { return slot*partitions/slots == 0 && inMiddle(slot, 0, partitions) })
		if len(left) < before {
			found = append(found, tag)
		}
	}
	return found
}

// inMiddle reports whether a slot is in the middle half of a partition's range.
func inMiddle(slot, partition, partitions int) bool {
	off := slot - (2*partition+1)*slots/(2*partitions)
	return max(off, -off) <= slots/(4*partitions)
}

// SlotOf returns the slot of a key.
func SlotOf(key string) int {
	if tag, ok := tagOf(key); ok {
		key = tag
	}
	return int(crc16(key)) % slots
}

// crc16 is the checksum by which Redis Cluster assigns slots: CRC-16/XMODEM
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// tagOf returns the part of a key that determines its slot: the content of the first braces or, without braces, the whole key. It returns false if
// the braces of a key form no tag: then no other key certainly has the same slot.
func tagOf(key string) (string, bool) {
	if _, after, open := strings.Cut(key, "{"); open {
		if tag, _, closed := strings.Cut(after, "}"); closed {
			return tag, tag != ""
		}
	}
	return key, key != "" && !strings.Contains(key, "}")
}
