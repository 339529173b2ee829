package main

import (
	"bytes"
	"strings"
)

// session is what one connection needs to answer commands, without an allocation for each.
type session struct {
	service  *service
	reply    replyWriter
	mentions []uint64
	records  []record
}

const mentionsMax = 1_000

// dispatch answers one command; false ends the connection.
func (s *session) dispatch(args [][]byte) bool {
	if len(args) == 0 {
		return true
	}
	switch string(upper(args[0])) {
	case "ACK":
		s.ack(args[1:])
	case "POST":
		s.post(args[1:])
	case "COUNT":
		s.count(args[1:])
	case "STATE":
		s.state(args[1:])
	case "PING":
		s.reply.status("PONG")
	case "INFO":
		s.info(args[1:])
	case "COMMIT":
		s.commit()
	case "QUIT":
		s.reply.status("OK")
		return false
	default:
		s.reply.fail("ERR unknown command")
	}
	return true
}

// upper turns a command's name into capitals in place.
func upper(name []byte) []byte {
	for at, letter := range name {
		if letter >= 'a' && letter <= 'z' {
			name[at] = letter - 'a' + 'A'
		}
	}
	return name
}

// ids reads whole numbers from 1 on, and answers what is wrong otherwise.
func (s *session) ids(args [][]byte, to []uint64) bool {
	if len(args) != len(to) {
		s.reply.fail("SYNTAX wrong number of arguments")
		return false
	}
	for at, arg := range args {
		id, ok := parseNumber(arg)
		if !ok || id == 0 {
			s.reply.fail("BADID not a number from 1 to 9223372036854775807")
			return false
		}
		to[at] = id
	}
	return true
}

func (s *session) failed(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	if !strings.HasPrefix(text, "BUSY ") {
		text = "INTERNAL " + strings.ReplaceAll(text, "\n", " ")
	}
	s.reply.fail(text)
	return true
}

// ack: ACK user channel id.
func (s *session) ack(args [][]byte) {
	var ids [3]uint64
	if !s.ids(args, ids[:]) {
		return
	}
	moved, err := s.service.partitionOf(ids[0]).ack(ids[0], ids[1], ids[2])
	if !s.failed(err) {
		s.reply.flag(moved)
	}
}

// post: POST channel id [BY user] [user ...].
func (s *session) post(args [][]byte) {
	var ids [2]uint64
	var author [1]uint64
	if !s.ids(args[:min(2, len(args))], ids[:]) {
		return
	}
	args = args[2:]
	if len(args) >= 2 && bytes.EqualFold(args[0], []byte("BY")) {
		if !s.ids(args[1:2], author[:]) {
			return
		}
		args = args[2:]
	}
	if len(args) > mentionsMax {
		s.reply.fail("LIMIT more than 1000 mentions")
		return
	}
	if cap(s.mentions) < len(args) {
		s.mentions = make([]uint64, len(args))
	}
	s.mentions = s.mentions[:len(args)]
	if !s.ids(args, s.mentions) {
		return
	}
	raised, err := s.service.post(ids[0], ids[1], author[0], s.mentions)
	if !s.failed(err) {
		s.reply.flag(raised)
	}
}

// count: COUNT user channel; answers channel, cursor, mentions and last message.
func (s *session) count(args [][]byte) {
	var ids [2]uint64
	if !s.ids(args, ids[:]) {
		return
	}
	if !s.read(ids[0], ids[1]) {
		return
	}
	if len(s.records) == 0 {
		s.records = append(s.records, record{user: ids[0], channel: ids[1]})
	}
	s.rows()
}

// state: STATE user; answers the four numbers of COUNT for each channel of the user, in no order.
func (s *session) state(args [][]byte) {
	var ids [1]uint64
	if s.ids(args, ids[:]) && s.read(ids[0], 0) {
		s.rows()
	}
}

func (s *session) read(user, channel uint64) bool {
	var err error
	s.records, err = s.service.partitionOf(user).read(user, channel, s.records[:0])
	return !s.failed(err)
}

func (s *session) rows() {
	s.reply.array(4 * len(s.records))
	for _, one := range s.records {
		s.reply.integer(one.channel)
		s.reply.integer(one.cursor)
		s.reply.integer(uint64(one.mentions))
		s.reply.integer(s.service.tailsOf(one.channel).of(one.channel))
	}
}

// commit: COMMIT; answers when all that was answered before is on disk.
func (s *session) commit() {
	for number := range s.service.partitions {
		if s.failed(s.service.partitions[number].commit()) || s.failed(s.service.tails[number].commit()) {
			return
		}
	}
	s.reply.status("OK")
}
