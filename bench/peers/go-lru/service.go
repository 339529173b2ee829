package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// options of the service; see the flags for what they mean.
type options struct {
	dir        string
	partitions int
	capacity   int
	interval   time.Duration
	layout     layout
}

// service is the read-state service: users over partitions, channels over tails.
type service struct {
	interval   time.Duration
	shift      int
	partitions []*partition
	tails      []*tails
}

func openService(o options) (*service, error) {
	if o.partitions < 1 || o.partitions > 1024 || bits.OnesCount(uint(o.partitions)) != 1 {
		return nil, fmt.Errorf("%d partitions: not a power of two from 1 to 1024", o.partitions)
	}
	if o.capacity < 1 || o.interval <= 0 {
		return nil, errors.New("capacity and flush interval must be above 0")
	}
	if err := keepPartitions(o); err != nil {
		return nil, err
	}
	s := &service{interval: o.interval, shift: 64 - bits.TrailingZeros(uint(o.partitions))}
	for number := range o.partitions {
		if err := s.open(o, number); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// keepPartitions refuses a directory that was made with another number of partitions: its users
// would be looked for in the wrong ones.
func keepPartitions(o options) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(o.dir, "partitions")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return os.WriteFile(path, []byte(strconv.Itoa(o.partitions)+"\n"), 0o644)
	}
	if err != nil {
		return err
	}
	if made := strings.TrimSpace(string(text)); made != strconv.Itoa(o.partitions) {
		return fmt.Errorf("%s was made with %s partitions", o.dir, made)
	}
	return nil
}

func (s *service) open(o options, number int) error {
	users, err := openTable(filepath.Join(o.dir, fmt.Sprintf("users-%04d", number)))
	if err != nil {
		return err
	}
	channels, err := openTable(filepath.Join(o.dir, fmt.Sprintf("channels-%04d", number)))
	if err != nil {
		return err
	}
	last, err := openTails(channels)
	if err != nil {
		return err
	}
	s.partitions = append(s.partitions, newPartition(o.layout, o.capacity, users))
	s.tails = append(s.tails, last)
	return nil
}

// place spreads ids that rise by one over the partitions (Fibonacci hashing).
func (s *service) place(id uint64) uint64 {
	return (id * 0x9e3779b97f4a7c15) >> s.shift
}

func (s *service) partitionOf(user uint64) *partition { return s.partitions[s.place(user)] }

func (s *service) tailsOf(channel uint64) *tails { return s.tails[s.place(channel)] }

// post raises the channel's tail, acks for the author (0 = none) and counts a mention for each
// user once. It orders and shortens mentions in place.
func (s *service) post(channel, id, author uint64, mentions []uint64) (bool, error) {
	raised := s.tailsOf(channel).raise(channel, id)
	if author != 0 {
		if _, err := s.partitionOf(author).ack(author, channel, id); err != nil {
			return false, err
		}
	}
	slices.Sort(mentions)
	for _, user := range slices.Compact(mentions) {
		if user == author {
			continue
		}
		if err := s.partitionOf(user).mention(user, channel, id); err != nil {
			return false, err
		}
	}
	return raised, nil
}

// run commits each partition once in every interval, one after another, so that the disk and the
// locks see many small commits and never all at once. It ends with a commit of everything.
func (s *service) run(ctx context.Context) {
	var all sync.WaitGroup
	for number := range s.partitions {
		all.Go(func() { s.commits(ctx, number) })
	}
	all.Wait()
}

func (s *service) commits(ctx context.Context, number int) {
	share := s.interval * time.Duration(number) / time.Duration(len(s.partitions))
	timer := time.NewTimer(max(share, time.Millisecond))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(s.interval)
		case <-s.partitions[number].hurry:
		case <-ctx.Done():
			s.commit(number)
			return
		}
		s.commit(number)
	}
}

func (s *service) commit(number int) {
	if err := errors.Join(s.partitions[number].commit(), s.tails[number].commit()); err != nil {
		log.Printf("commit of partition %d, kept for the next: %v", number, err)
	}
}
