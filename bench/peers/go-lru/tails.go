package main

import "sync"

// tailsOwner is the user under whom a table keeps the last message of channels; users begin at 1.
const tailsOwner = 0

// tails knows the last message of the channels of one part. All of them stay in memory: there are
// few beside the read states, and the map holds no pointer.
type tails struct {
	table *table

	mu    sync.RWMutex
	last  map[uint64]uint64
	dirty map[uint64]struct{}

	// one commit at a time, as in a partition
	committing sync.Mutex
}

func openTails(t *table) (*tails, error) {
	records, err := t.ofUser(tailsOwner)
	if err != nil {
		return nil, err
	}
	opened := &tails{table: t, last: make(map[uint64]uint64, len(records)), dirty: map[uint64]struct{}{}}
	for _, one := range records {
		opened.last[one.channel] = one.cursor
	}
	return opened, nil
}

// raise says that a message was posted; false when it is not above the last one.
func (t *tails) raise(channel, id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last[channel] >= id {
		return false
	}
	t.last[channel] = id
	t.dirty[channel] = struct{}{}
	return true
}

func (t *tails) of(channel uint64) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last[channel]
}

func (t *tails) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.last)
}

func (t *tails) commit() error {
	t.committing.Lock()
	defer t.committing.Unlock()
	t.mu.Lock()
	dirty := t.dirty
	t.dirty = map[uint64]struct{}{}
	t.mu.Unlock()
	for channel := range dirty {
		// The value of now, which may be a later one than the mark was made for.
		t.table.put(record{user: tailsOwner, channel: channel, cursor: t.of(channel)})
	}
	return t.table.flush()
}
