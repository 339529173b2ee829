package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// blockRecords is how many records one index entry stands for: a block of 4 KiB.
const blockRecords = 128

// run is one committed batch: a file of records in order of user and channel, never changed. The
// file stays open; when a merge drops the run, the collector closes it behind the last reader.
type run struct {
	file    *os.File
	records int
	// the user of the first record of each block
	firstUsers []uint64
}

// writeRun makes a run durable under its name: contents first, then the name.
func writeRun(path string, next func() (record, bool, error)) (*run, error) {
	file, err := os.Create(path + ".tmp")
	if err != nil {
		return nil, err
	}
	made := &run{file: file}
	if err := made.fill(next); err != nil {
		file.Close()
		return nil, err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		file.Close()
		return nil, err
	}
	return made, syncDir(filepath.Dir(path))
}

func (r *run) fill(next func() (record, bool, error)) error {
	out := bufio.NewWriterSize(r.file, 256<<10)
	for {
		one, more, err := next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		r.note(one)
		if _, err := out.Write(one.encode(out.AvailableBuffer())); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return r.file.Sync()
}

func (r *run) note(one record) {
	if r.records%blockRecords == 0 {
		r.firstUsers = append(r.firstUsers, one.user)
	}
	r.records++
}

func openRun(path string) (*run, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	opened := &run{file: file}
	records := opened.reader()
	for {
		one, more, err := records()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !more {
			return opened, nil
		}
		opened.note(one)
	}
}

// reader returns the records in order, one a call.
func (r *run) reader() func() (record, bool, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(r.file, 0, 1<<62), 256<<10)
	buf := make([]byte, recordBytes)
	return func() (record, bool, error) {
		_, err := io.ReadFull(in, buf)
		if errors.Is(err, io.EOF) {
			return record{}, false, nil
		}
		if err != nil {
			return record{}, false, err
		}
		one, err := decode(buf)
		return one, err == nil, err
	}
}

// ofUser appends the records of a user.
func (r *run) ofUser(user uint64, to []record) ([]record, error) {
	// The block before the first that begins at or above the user may hold the first of theirs.
	block := sort.Search(len(r.firstUsers), func(at int) bool { return r.firstUsers[at] >= user })
	block = max(block-1, 0)
	var buf [blockRecords * recordBytes]byte
	for ; block < len(r.firstUsers) && r.firstUsers[block] <= user; block++ {
		count := min(blockRecords, r.records-block*blockRecords)
		part := buf[:count*recordBytes]
		if _, err := r.file.ReadAt(part, int64(block)*int64(len(buf))); err != nil {
			return nil, err
		}
		for at := range count {
			one, err := decode(part[at*recordBytes:])
			if err != nil {
				return nil, err
			}
			if one.user == user {
				to = append(to, one)
			}
		}
	}
	return to, nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
