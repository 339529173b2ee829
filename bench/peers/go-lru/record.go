package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// record is a read state as the table keeps it.
type record struct {
	user, channel, cursor uint64
	mentions              uint32
}

// recordBytes is user, channel, cursor, mentions and a checksum of them, all little-endian.
const recordBytes = 32

var errChecksum = errors.New("record with a wrong checksum")

func compareRecords(a, b record) int {
	return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.channel, b.channel))
}

// latest sorts records and keeps, of those with one key, the one that came last.
func latest(records []record) []record {
	slices.SortStableFunc(records, compareRecords)
	kept := records[:0]
	for at, one := range records {
		if at+1 < len(records) && compareRecords(one, records[at+1]) == 0 {
			continue
		}
		kept = append(kept, one)
	}
	return kept
}

func (r record) encode(to []byte) []byte {
	start := len(to)
	to = binary.LittleEndian.AppendUint64(to, r.user)
	to = binary.LittleEndian.AppendUint64(to, r.channel)
	to = binary.LittleEndian.AppendUint64(to, r.cursor)
	to = binary.LittleEndian.AppendUint32(to, r.mentions)
	return binary.LittleEndian.AppendUint32(to, crc32.Checksum(to[start:], castagnoli))
}

func decode(from []byte) (record, error) {
	body, sum := from[:recordBytes-4], binary.LittleEndian.Uint32(from[recordBytes-4:recordBytes])
	if crc32.Checksum(body, castagnoli) != sum {
		return record{}, errChecksum
	}
	return record{
		user:     binary.LittleEndian.Uint64(body),
		channel:  binary.LittleEndian.Uint64(body[8:]),
		cursor:   binary.LittleEndian.Uint64(body[16:]),
		mentions: binary.LittleEndian.Uint32(body[24:]),
	}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
