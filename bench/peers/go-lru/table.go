package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// runsMax is how many batches lie beside each other before they are merged into one.
const runsMax = 32

// table stands for the database: rows by user and channel, written in batches that are on disk when
// flush returns, read by user. What was put and not flushed is seen by readers and lost in a crash,
// like a write that waits in a service for its turn.
type table struct {
	dir string

	mu sync.Mutex
	// put and not yet flushed
	fresh *batch
	// being written and not changed any more, or nil
	frozen *batch
	// oldest first; replaced and never changed, so that a reader may keep the slice
	runs []*run

	// one flush at a time
	flushing sync.Mutex
	next     int
}

func openTable(dir string) (*table, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// ReadDir sorts by name, and the names are numbers of one width.
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	t := &table{dir: dir, fresh: newBatch()}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		if strings.HasSuffix(path, ".tmp") {
			// A batch that a crash cut short; nobody was told of it.
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := fmt.Sscanf(file.Name(), "%d.run", &t.next); err != nil {
			return nil, fmt.Errorf("%s: not a run", path)
		}
		t.next++
		opened, err := openRun(path)
		if err != nil {
			return nil, err
		}
		t.runs = append(t.runs, opened)
	}
	return t, nil
}

func (t *table) put(one record) {
	t.mu.Lock()
	t.fresh.put(one)
	t.mu.Unlock()
}

// ofUser returns the latest records of a user, in order of channel.
func (t *table) ofUser(user uint64) ([]record, error) {
	var waiting []record
	t.mu.Lock()
	runs := t.runs
	if t.frozen != nil {
		waiting = t.frozen.ofUser(user, waiting)
	}
	waiting = t.fresh.ofUser(user, waiting)
	t.mu.Unlock()
	var found []record
	for _, one := range runs {
		var err error
		if found, err = one.ofUser(user, found); err != nil {
			return nil, err
		}
	}
	return latest(append(found, waiting...)), nil
}

// flush makes what was put before durable. After an error what was put is kept, and the next flush
// tries again.
func (t *table) flush() error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	t.mu.Lock()
	if t.frozen == nil && len(t.fresh.entries) > 0 {
		t.frozen, t.fresh = t.fresh, newBatch()
	}
	frozen := t.frozen
	t.mu.Unlock()
	if frozen == nil {
		return nil
	}
	written, err := t.write(frozen.inOrder())
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.runs = append(slices.Clone(t.runs), written)
	t.frozen = nil
	t.mu.Unlock()
	frozen.free()
	if len(t.runs) > runsMax {
		return t.merge()
	}
	return nil
}

func (t *table) write(next func() (record, bool, error)) (*run, error) {
	path := t.path(t.next)
	t.next++
	return writeRun(path, next)
}

func (t *table) path(number int) string {
	return filepath.Join(t.dir, fmt.Sprintf("%010d.run", number))
}

// merge makes one run of all. It gets the highest number before the old ones go, so a crash in
// between leaves the same rows twice and nothing else.
func (t *table) merge() error {
	old := t.runs
	merged, err := t.write(mergedOrder(old))
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.runs = []*run{merged}
	t.mu.Unlock()
	for _, one := range old {
		if err := os.Remove(strings.TrimSuffix(one.file.Name(), ".tmp")); err != nil {
			return err
		}
	}
	return nil
}

// mergedOrder returns the records of all runs in order; of one key the record of the newest run.
func mergedOrder(runs []*run) func() (record, bool, error) {
	heads := make([]*head, len(runs))
	for at, one := range runs {
		heads[at] = &head{next: one.reader()}
	}
	started := false
	return func() (record, bool, error) {
		for _, one := range heads {
			if !started {
				if err := one.step(); err != nil {
					return record{}, false, err
				}
			}
		}
		started = true
		var least *head
		for _, one := range heads {
			// Not above: the later run of equals wins.
			if one.more && (least == nil || compareRecords(one.record, least.record) <= 0) {
				least = one
			}
		}
		if least == nil {
			return record{}, false, nil
		}
		found := least.record
		for _, one := range heads {
			if one.more && compareRecords(one.record, found) == 0 {
				if err := one.step(); err != nil {
					return record{}, false, err
				}
			}
		}
		return found, true, nil
	}
}

// head is the next record of a run that is being merged.
type head struct {
	next   func() (record, bool, error)
	record record
	more   bool
}

func (h *head) step() (err error) {
	h.record, h.more, err = h.next()
	return err
}
