package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// newTestService opens a service; what is not said in the options is small.
func newTestService(t *testing.T, o options) *service {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	if o.partitions == 0 {
		o.partitions = 2
	}
	if o.capacity == 0 {
		o.capacity = 1_000_000
	}
	if o.interval == 0 {
		o.interval = time.Hour
	}
	if o.layout == "" {
		o.layout = layoutMap
	}
	opened, err := openService(o)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func (s *service) commitAll() {
	for number := range s.partitions {
		s.commit(number)
	}
}

type key struct{ user, channel uint64 }

// worker makes random changes to users of its own, and knows what must come of them.
type worker struct {
	random      *rand.Rand
	first, last uint64
	model       map[key]record
}

func (w *worker) step(t *testing.T, s *service) {
	user := w.first + w.random.Uint64N(w.last-w.first)
	one := key{user, w.random.Uint64N(12) + 1}
	id := w.random.Uint64N(1_000) + 1
	row := w.model[one]
	row.user, row.channel = one.user, one.channel
	switch w.random.IntN(4) {
	case 0, 1:
		moved, err := s.partitionOf(user).ack(user, one.channel, id)
		if err != nil || moved != (id > row.cursor) {
			t.Errorf("ack %v %d: %v, %v", row, id, moved, err)
		}
		if moved {
			row.cursor, row.mentions = id, 0
		}
	case 2:
		if _, err := s.post(one.channel, id, 0, []uint64{user, user}); err != nil {
			t.Error(err)
		}
		if id > row.cursor {
			row.mentions++
		}
	default:
		w.compare(t, s, user)
		return
	}
	w.model[one] = row
}

func (w *worker) compare(t *testing.T, s *service, user uint64) {
	found, err := s.partitionOf(user).read(user, 0, nil)
	if err != nil {
		t.Error(err)
	}
	var known int
	for one := range w.model {
		if one.user == user {
			known++
		}
	}
	for _, row := range found {
		if w.model[key{row.user, row.channel}] != row {
			t.Errorf("%v, want %v", row, w.model[key{row.user, row.channel}])
		}
	}
	if len(found) != known {
		t.Errorf("user %d: %d read states, want %d", user, len(found), known)
	}
}

// Users are evicted and loaded all the time, while commits run as fast as they can.
func TestNothingIsLostThroughEvictionsCommitsAndARestart(t *testing.T) {
	for _, l := range []layout{layoutMap, layoutSlice} {
		o := options{dir: t.TempDir(), capacity: 30, layout: l, interval: 2 * time.Millisecond}
		s := newTestService(t, o)
		ctx, stop := context.WithCancel(context.Background())
		var committing, working sync.WaitGroup
		committing.Go(func() { s.run(ctx) })
		var workers []*worker
		for number := range uint64(4) {
			w := &worker{rand.New(rand.NewPCG(5, number)), number*10 + 1, number*10 + 11, map[key]record{}}
			workers = append(workers, w)
			working.Go(func() {
				for range 4_000 {
					w.step(t, s)
				}
			})
		}
		working.Wait()
		stop()
		committing.Wait()
		var evictions uint64
		for _, one := range s.partitions {
			evictions += one.counts.evictions
			if one.states > o.capacity {
				t.Errorf("%d states, capacity %d", one.states, o.capacity)
			}
		}
		if evictions < 1_000 {
			t.Errorf("only %d evictions", evictions)
		}
		again := newTestService(t, o)
		for _, w := range workers {
			for user := w.first; user < w.last; user++ {
				w.compare(t, again, user)
			}
		}
	}
}

// The same users are loaded by many at once, and nobody may see them half loaded or twice.
func TestUsersInTheHandsOfManyCountEveryMention(t *testing.T) {
	s := newTestService(t, options{capacity: 5, partitions: 1})
	const workers, rounds, users = 8, 500, 10
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for round := range uint64(rounds) {
				if _, err := s.post(1, 10, 0, []uint64{round%users + 1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	for user := range uint64(users) {
		found, err := s.partitions[0].read(user+1, 1, nil)
		if err != nil || len(found) != 1 || found[0].mentions != workers*rounds/users {
			t.Errorf("user %d: %v, %v", user+1, found, err)
		}
	}
}

func TestTheLongestUnusedUserIsEvicted(t *testing.T) {
	s := newTestService(t, options{capacity: 3, partitions: 1})
	for _, user := range []uint64{1, 2, 3, 1, 4} {
		if _, err := s.partitions[0].ack(user, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if users := s.partitions[0].users; users[2] != nil || users[1] == nil || users[4] == nil {
		t.Errorf("in the cache: %v", users)
	}
}

func TestAUserWithoutReadStatesIsNotKept(t *testing.T) {
	s := newTestService(t, options{partitions: 1})
	if found, err := s.partitions[0].read(7, 0, nil); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	if len(s.partitions[0].users) != 0 {
		t.Error("kept")
	}
}

func TestALateMessageIsReadForWhoIsPastIt(t *testing.T) {
	s := newTestService(t, options{})
	if _, err := s.partitionOf(1).ack(1, 1, 10); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{9, 10, 11} {
		if _, err := s.post(1, id, 0, []uint64{1}); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := s.partitionOf(1).read(1, 1, nil); found[0].mentions != 1 {
		t.Errorf("%v", found)
	}
}

func TestADirectoryKeepsItsNumberOfPartitions(t *testing.T) {
	o := options{dir: t.TempDir(), capacity: 1, interval: time.Hour, layout: layoutMap}
	for partitions, want := range map[int]bool{0: false, 3: false, 2048: false} {
		o.partitions = partitions
		if _, err := openService(o); (err == nil) != want {
			t.Errorf("%d partitions: %v", partitions, err)
		}
	}
	o.partitions = 4
	if _, err := openService(o); err != nil {
		t.Fatal(err)
	}
	o.partitions = 8
	if _, err := openService(o); err == nil {
		t.Error("opened with 8 partitions what was made with 4")
	}
}

func TestTailsOutliveARestart(t *testing.T) {
	o := options{dir: t.TempDir()}
	s := newTestService(t, o)
	for channel := range uint64(100) {
		s.tailsOf(channel+1).raise(channel+1, 2*channel+1)
		s.tailsOf(channel+1).raise(channel+1, channel)
	}
	s.commitAll()
	again := newTestService(t, o)
	for channel := range uint64(100) {
		if last := again.tailsOf(channel + 1).of(channel + 1); last != 2*channel+1 {
			t.Errorf("channel %d: %d", channel+1, last)
		}
	}
}

func TestADiskThatDoesNotKeepUpRefusesNewUsersAndTakesThemLater(t *testing.T) {
	o := options{dir: t.TempDir(), capacity: 1, partitions: 1}
	s := newTestService(t, o)
	one := s.partitions[0]
	dir := one.table.dir
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	var user uint64
	for err := error(nil); err == nil; {
		user++
		_, err = one.ack(user, 1, 7)
		if err != nil && (!errors.Is(err, errBusy) || user < evictedMax) {
			t.Fatal(user, err)
		}
	}
	if one.commit() == nil {
		t.Fatal("committed without a directory")
	}
	if _, err := one.ack(user, 1, 7); !errors.Is(err, errBusy) {
		t.Error(err)
	}
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	s.commitAll()
	if _, err := one.ack(user, 1, 7); err != nil {
		t.Error(err)
	}
	s.commitAll()
	again := newTestService(t, o)
	for wanted := range user {
		if found, err := again.partitions[0].read(wanted+1, 0, nil); err != nil || len(found) != 1 {
			t.Fatal(wanted+1, found, err)
		}
	}
}
