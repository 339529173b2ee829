package main

import (
	"cmp"
	"fmt"
	"slices"
)

// readState is what is known of one user in one channel.
type readState struct {
	cursor   uint64
	mentions uint32
	// changed since the last commit
	dirty bool
}

// stateSet holds the read states of one user by channel. A pointer it returns is valid until the
// next add.
type stateSet interface {
	get(channel uint64) *readState
	add(channel uint64, state readState) *readState
	each(visit func(channel uint64, state *readState))
	len() int
}

// layout says how the read states of a user lie in memory.
type layout string

const (
	// layoutMap is what most teams write: an object for each read state, found by a map. The
	// collector walks every one of them in each cycle.
	layoutMap layout = "map"
	// layoutSlice is what a team writes that has met the collector: a sorted array of each user,
	// without a pointer inside, which the collector does not look into.
	layoutSlice layout = "slice"
)

func parseLayout(name string) (layout, error) {
	switch l := layout(name); l {
	case layoutMap, layoutSlice:
		return l, nil
	}
	return "", fmt.Errorf("layout %q is neither map nor slice", name)
}

// newStates makes an empty set with room for so many states.
func (l layout) newStates(room int) stateSet {
	if l == layoutSlice {
		return &sliceStates{entries: make([]sliceEntry, 0, room)}
	}
	return make(mapStates, room)
}

type mapStates map[uint64]*readState

func (m mapStates) get(channel uint64) *readState { return m[channel] }

func (m mapStates) add(channel uint64, state readState) *readState {
	m[channel] = &state
	return &state
}

func (m mapStates) each(visit func(channel uint64, state *readState)) {
	for channel, state := range m {
		visit(channel, state)
	}
}

func (m mapStates) len() int { return len(m) }

// sliceEntry is 24 bytes, none of them a pointer.
type sliceEntry struct {
	channel uint64
	state   readState
}

type sliceStates struct {
	entries []sliceEntry
}

func (s *sliceStates) find(channel uint64) (int, bool) {
	return slices.BinarySearchFunc(s.entries, channel, func(entry sliceEntry, wanted uint64) int {
		return cmp.Compare(entry.channel, wanted)
	})
}

func (s *sliceStates) get(channel uint64) *readState {
	at, found := s.find(channel)
	if !found {
		return nil
	}
	return &s.entries[at].state
}

func (s *sliceStates) add(channel uint64, state readState) *readState {
	at, _ := s.find(channel)
	// An eighth more at a time: append would double, and half of the memory would be air.
	if length := len(s.entries); length == cap(s.entries) {
		larger := make([]sliceEntry, length, length+length/8+1)
		copy(larger, s.entries)
		s.entries = larger
	}
	s.entries = slices.Insert(s.entries, at, sliceEntry{channel, state})
	return &s.entries[at].state
}

func (s *sliceStates) each(visit func(channel uint64, state *readState)) {
	for at := range s.entries {
		visit(s.entries[at].channel, &s.entries[at].state)
	}
}

func (s *sliceStates) len() int { return len(s.entries) }
