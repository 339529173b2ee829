package main

import (
	"errors"
	"sync"
)

const (
	// collectChunk is how many changed states are copied out before the lock is let go, so that
	// a commit is not felt by those who wait.
	collectChunk = 256
	// evictedSoon is how many evicted changes wake the committer before its time.
	evictedSoon = 1 << 16
	// evictedMax is how many may wait when the disk does not keep up; then requests are refused.
	evictedMax = 4 * evictedSoon
	// spareMax is the largest list of changes that is kept for the next commit: after millions at
	// once the list goes back to the heap.
	spareMax = 1 << 16
)

var errBusy = errors.New("BUSY commits are behind, try again")

// node is a user in the cache, and a link of the list of use.
type node struct {
	user       uint64
	prev, next *node
	states     stateSet
	dirty      int
	evicted    bool
}

// change names a read state that was changed since the last commit.
type change struct {
	node    *node
	channel uint64
}

// partition is one cache: a map of users, their read states, and a list from the last used to the
// longest unused. Its lock is never held over a read or write of the table's files.
type partition struct {
	layout   layout
	capacity int
	table    *table

	mu      sync.Mutex
	users   map[uint64]*node
	list    node
	states  int
	changes []change
	spare   []change
	loading map[uint64]chan struct{}
	// evicted changes that are not on disk yet
	waiting int
	counts  counts

	// one commit at a time, or the second could end before the first has written what it took
	committing sync.Mutex
	// wakes the committer before its time
	hurry chan struct{}
}

// counts of one partition since the start.
type counts struct {
	hits, misses, evictions uint64
}

func newPartition(l layout, capacity int, t *table) *partition {
	p := &partition{
		layout: l, capacity: capacity, table: t,
		users: map[uint64]*node{}, loading: map[uint64]chan struct{}{},
		hurry: make(chan struct{}, 1),
	}
	p.list.prev, p.list.next = &p.list, &p.list
	return p
}

// acquire returns a user with the lock held, from the table when they are not in the cache. The
// caller calls release.
func (p *partition) acquire(user uint64) (*node, error) {
	p.mu.Lock()
	for {
		if found := p.users[user]; found != nil {
			p.counts.hits++
			p.unlink(found)
			p.pushFront(found)
			return found, nil
		}
		if done, busy := p.loading[user]; busy {
			p.mu.Unlock()
			<-done
			p.mu.Lock()
			continue
		}
		return p.load(user)
	}
}

// load brings a user into the cache. Nobody else does at the same time, so nothing that is read
// here can have become old when it is put into the cache. Called and left with the lock held,
// except after an error.
func (p *partition) load(user uint64) (*node, error) {
	p.counts.misses++
	done := make(chan struct{})
	p.loading[user] = done
	p.mu.Unlock()

	records, err := p.table.ofUser(user)

	p.mu.Lock()
	delete(p.loading, user)
	close(done)
	if err == nil && p.waiting > evictedMax {
		err = errBusy
	}
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	made := &node{user: user, states: p.layout.newStates(len(records))}
	for _, one := range records {
		made.states.add(one.channel, readState{cursor: one.cursor, mentions: one.mentions})
	}
	p.states += len(records)
	p.users[user] = made
	p.pushFront(made)
	return made, nil
}

// release evicts what is too much, but not the one in hand, and lets the lock go.
func (p *partition) release(held *node) {
	if held.states.len() == 0 {
		p.drop(held)
	}
	for p.states > p.capacity && p.list.prev != held && p.list.prev != &p.list {
		p.evict(p.list.prev)
	}
	p.mu.Unlock()
}

// evict commits what is not committed and forgets the user.
func (p *partition) evict(leaving *node) {
	if leaving.dirty > 0 {
		leaving.states.each(func(channel uint64, state *readState) {
			if state.dirty {
				p.table.put(toRecord(leaving.user, channel, state))
			}
		})
		p.waiting += leaving.dirty
		if p.waiting > evictedSoon {
			select {
			case p.hurry <- struct{}{}:
			default:
			}
		}
	}
	p.counts.evictions++
	p.drop(leaving)
}

func (p *partition) drop(leaving *node) {
	leaving.evicted = true
	p.states -= leaving.states.len()
	p.unlink(leaving)
	delete(p.users, leaving.user)
}

// stateOf returns the read state to change, a new one if there is none.
func (p *partition) stateOf(held *node, channel uint64) *readState {
	if found := held.states.get(channel); found != nil {
		return found
	}
	p.states++
	return held.states.add(channel, readState{})
}

func (p *partition) changed(held *node, channel uint64, state *readState) {
	if state.dirty {
		return
	}
	state.dirty = true
	held.dirty++
	p.changes = append(p.changes, change{held, channel})
}

// ack moves a cursor forward and clears the mention counter; false when it was there already.
func (p *partition) ack(user, channel, id uint64) (bool, error) {
	held, err := p.acquire(user)
	if err != nil {
		return false, err
	}
	defer p.release(held)
	state := p.stateOf(held, channel)
	if state.cursor >= id {
		return false, nil
	}
	state.cursor, state.mentions = id, 0
	p.changed(held, channel, state)
	return true, nil
}

// mention counts a message that names the user, unless they have read past it.
func (p *partition) mention(user, channel, id uint64) error {
	held, err := p.acquire(user)
	if err != nil {
		return err
	}
	defer p.release(held)
	state := p.stateOf(held, channel)
	if state.cursor < id {
		state.mentions++
		p.changed(held, channel, state)
	}
	return nil
}

// read appends the read states of a user, or the one in a channel when it is not 0.
func (p *partition) read(user, channel uint64, to []record) ([]record, error) {
	held, err := p.acquire(user)
	if err != nil {
		return to, err
	}
	defer p.release(held)
	if channel == 0 {
		held.states.each(func(channel uint64, state *readState) {
			to = append(to, toRecord(user, channel, state))
		})
	} else if state := held.states.get(channel); state != nil {
		to = append(to, toRecord(user, channel, state))
	}
	return to, nil
}

// commit makes every change before it durable.
func (p *partition) commit() error {
	p.committing.Lock()
	defer p.committing.Unlock()
	p.mu.Lock()
	changes := p.changes
	p.changes, p.spare = p.spare[:0], nil
	waiting := p.waiting
	p.mu.Unlock()
	for rest := changes; len(rest) > 0; {
		chunk := rest[:min(collectChunk, len(rest))]
		rest = rest[len(chunk):]
		p.collect(chunk)
	}
	// Else it would keep evicted users in memory.
	clear(changes)
	err := p.table.flush()
	p.mu.Lock()
	if cap(changes) <= spareMax {
		p.spare = changes[:0]
	}
	if err == nil {
		p.waiting -= waiting
	}
	p.mu.Unlock()
	return err
}

func (p *partition) collect(chunk []change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range chunk {
		if one.node.evicted {
			continue
		}
		state := one.node.states.get(one.channel)
		state.dirty = false
		one.node.dirty--
		p.table.put(toRecord(one.node.user, one.channel, state))
	}
}

func (p *partition) pushFront(one *node) {
	one.prev, one.next = &p.list, p.list.next
	one.prev.next, one.next.prev = one, one
}

func (p *partition) unlink(one *node) {
	one.prev.next, one.next.prev = one.next, one.prev
}

func toRecord(user, channel uint64, state *readState) record {
	return record{user: user, channel: channel, cursor: state.cursor, mentions: state.mentions}
}
