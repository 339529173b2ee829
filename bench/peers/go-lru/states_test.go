package main

import (
	"maps"
	"math/rand/v2"
	"testing"
)

func TestBothLayoutsHoldWhatAMapHolds(t *testing.T) {
	for _, l := range []layout{layoutMap, layoutSlice} {
		random := rand.New(rand.NewPCG(1, 2))
		states, model := l.newStates(0), map[uint64]readState{}
		for range 20_000 {
			channel := random.Uint64N(500) + 1
			state := states.get(channel)
			if _, known := model[channel]; known != (state != nil) {
				t.Fatalf("%s: channel %d known: %v", l, channel, known)
			}
			if state == nil {
				state = states.add(channel, readState{})
			}
			state.cursor += channel
			state.mentions++
			model[channel] = *state
		}
		found := map[uint64]readState{}
		states.each(func(channel uint64, state *readState) { found[channel] = *state })
		if !maps.Equal(found, model) || states.len() != len(model) {
			t.Errorf("%s: %d states, want %d", l, states.len(), len(model))
		}
	}
}

func TestALayoutThatDoesNotExistIsRefused(t *testing.T) {
	if _, err := parseLayout("tree"); err == nil {
		t.Error("taken")
	}
}
