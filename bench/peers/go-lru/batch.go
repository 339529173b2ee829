package main

import (
	"slices"
	"sync"
)

// batchKeptMax is the largest batch whose memory is used again; one of a fill goes back to the heap.
const batchKeptMax = 1 << 18

// batch holds rows in the order they were put, and finds those of a user. It has no pointer inside,
// and is used again after its commit, so commits leave the collector next to nothing to do.
type batch struct {
	entries []batchEntry
	// the last entry of a user
	heads map[uint64]int32
}

type batchEntry struct {
	record
	// the entry of the same user before this one, or -1
	before int32
}

// batches are few: partitions commit one after another.
var batches = sync.Pool{New: func() any { return &batch{heads: map[uint64]int32{}} }}

func newBatch() *batch { return batches.Get().(*batch) }

// free gives the batch to the next who asks; nobody may hold it.
func (b *batch) free() {
	if len(b.entries) > batchKeptMax {
		return
	}
	b.entries = b.entries[:0]
	clear(b.heads)
	batches.Put(b)
}

func (b *batch) put(one record) {
	before, known := b.heads[one.user]
	if !known {
		before = -1
	}
	b.heads[one.user] = int32(len(b.entries))
	b.entries = append(b.entries, batchEntry{one, before})
}

// ofUser appends the rows of a user, the last one put at the end.
func (b *batch) ofUser(user uint64, to []record) []record {
	start := len(to)
	at, known := b.heads[user]
	for ; known && at >= 0; at = b.entries[at].before {
		to = append(to, b.entries[at].record)
	}
	slices.Reverse(to[start:])
	return to
}

// inOrder returns the latest row of each key, in order, one a call.
func (b *batch) inOrder() func() (record, bool, error) {
	all := make([]record, len(b.entries))
	for at := range b.entries {
		all[at] = b.entries[at].record
	}
	all = latest(all)
	return func() (record, bool, error) {
		if len(all) == 0 {
			return record{}, false, nil
		}
		one := all[0]
		all = all[1:]
		return one, true, nil
	}
}
