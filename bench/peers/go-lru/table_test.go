package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func newTestTable(t *testing.T, dir string) *table {
	t.Helper()
	opened, err := openTable(dir)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func flushed(t *testing.T, one *table) {
	t.Helper()
	if err := one.flush(); err != nil {
		t.Fatal(err)
	}
}

// checkTable compares every user of a model with the table.
func checkTable(t *testing.T, one *table, model map[[2]uint64]record, users uint64) {
	t.Helper()
	for user := range users {
		found, err := one.ofUser(user)
		if err != nil {
			t.Fatal(err)
		}
		var want []record
		for key, row := range model {
			if key[0] == user {
				want = append(want, row)
			}
		}
		slices.SortFunc(want, compareRecords)
		if !slices.Equal(found, want) {
			t.Fatalf("user %d: %v, want %v", user, found, want)
		}
	}
}

func TestATableAnswersTheLatestRowsThroughFlushesMergesAndOpening(t *testing.T) {
	dir := t.TempDir()
	one := newTestTable(t, dir)
	random := rand.New(rand.NewPCG(3, 4))
	model := map[[2]uint64]record{}
	const users = 9
	for round := range 3*runsMax + 5 {
		for range 200 {
			row := record{random.Uint64N(users), random.Uint64N(60) + 1, random.Uint64(), random.Uint32()}
			one.put(row)
			model[[2]uint64{row.user, row.channel}] = row
		}
		if round%7 == 0 {
			checkTable(t, one, model, users)
		}
		flushed(t, one)
		if round%20 == 0 {
			one = newTestTable(t, dir)
		}
	}
	checkTable(t, one, model, users+1)
	checkTable(t, newTestTable(t, dir), model, users+1)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) > runsMax+1 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestAUserOfManyBlocksIsReadWhole(t *testing.T) {
	one := newTestTable(t, t.TempDir())
	model := map[[2]uint64]record{}
	for user := range uint64(3) {
		for channel := range uint64(5*blockRecords + 1) {
			row := record{user, channel, channel, 0}
			one.put(row)
			model[[2]uint64{user, channel}] = row
		}
	}
	flushed(t, one)
	checkTable(t, one, model, 4)
}

func TestABatchThatACrashCutShortIsForgotten(t *testing.T) {
	dir := t.TempDir()
	one := newTestTable(t, dir)
	one.put(record{1, 2, 3, 4})
	flushed(t, one)
	torn := filepath.Join(dir, "0000000001.run.tmp")
	if err := os.WriteFile(torn, []byte("half a record"), 0o644); err != nil {
		t.Fatal(err)
	}
	checkTable(t, newTestTable(t, dir), map[[2]uint64]record{{1, 2}: {1, 2, 3, 4}}, 3)
	if _, err := os.Stat(torn); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestAFlippedBitIsAnErrorAndNotANumber(t *testing.T) {
	dir := t.TempDir()
	one := newTestTable(t, dir)
	one.put(record{1, 2, 3, 4})
	flushed(t, one)
	path := one.path(0)
	bytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range bytes {
		bytes[at] ^= 4
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := openTable(dir); err == nil {
			t.Fatalf("byte %d: opened", at)
		}
		if found, err := one.ofUser(1); err == nil && (len(found) > 0 || at >= 8) {
			t.Fatalf("byte %d: %v", at, found)
		}
		bytes[at] ^= 4
	}
}

func TestWhatCouldNotBeWrittenIsKeptAndWrittenLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "table")
	one := newTestTable(t, dir)
	one.put(record{1, 2, 3, 0})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if one.flush() == nil {
		t.Fatal("flushed without a directory")
	}
	one.put(record{1, 2, 4, 0})
	want := map[[2]uint64]record{{1, 2}: {1, 2, 4, 0}}
	checkTable(t, one, want, 2)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	flushed(t, one)
	flushed(t, one)
	checkTable(t, newTestTable(t, dir), want, 2)
}
