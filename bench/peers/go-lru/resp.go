package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
)

// What one command may have. More is a protocol error, as the client is lost in the stream then.
const (
	argsMax     = 1_100
	bulkLenMax  = 64 << 10
	bufferBytes = 16 << 10
)

// errProtocol ends a connection: after it nobody knows where the next command begins.
var errProtocol = errors.New("protocol error")

// flushingSource hands out what the client sent, and sends the replies so far before it waits for
// more. So a pipeline is answered with one write, and no reply waits for input that may never come.
type flushingSource struct {
	conn net.Conn
	out  *bufio.Writer
}

func (s *flushingSource) Read(p []byte) (int, error) {
	if s.out.Buffered() > 0 {
		if err := s.out.Flush(); err != nil {
			return 0, err
		}
	}
	return s.conn.Read(p)
}

// commandReader reads commands into memory it uses again, so that a command costs no allocation.
type commandReader struct {
	in   *bufio.Reader
	buf  []byte
	ends []int
	args [][]byte
}

// next returns the arguments of the next command; they are valid until the next call.
func (r *commandReader) next() ([][]byte, error) {
	for {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		if line[0] != '*' {
			return bytes.Fields(line), nil
		}
		count, err := headerNumber(line, argsMax)
		if err != nil {
			return nil, err
		}
		if count > 0 {
			return r.bulks(count)
		}
	}
}

func (r *commandReader) bulks(count int) ([][]byte, error) {
	r.buf, r.ends, r.args = r.buf[:0], r.ends[:0], r.args[:0]
	for range count {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 || line[0] != '$' {
			return nil, errProtocol
		}
		size, err := headerNumber(line, bulkLenMax)
		if err != nil {
			return nil, err
		}
		if err := r.bulk(size); err != nil {
			return nil, err
		}
	}
	// Only now, as the buffer may have moved while it grew.
	start := 0
	for _, end := range r.ends {
		r.args = append(r.args, r.buf[start:end])
		start = end
	}
	return r.args, nil
}

func (r *commandReader) bulk(size int) error {
	start := len(r.buf)
	for cap(r.buf) < start+size+2 {
		r.buf = append(r.buf[:cap(r.buf)], 0)
	}
	r.buf = r.buf[:start+size+2]
	if _, err := io.ReadFull(r.in, r.buf[start:]); err != nil {
		return err
	}
	if r.buf[start+size] != '\r' || r.buf[start+size+1] != '\n' {
		return errProtocol
	}
	r.buf = r.buf[:start+size]
	r.ends = append(r.ends, start+size)
	return nil
}

func (r *commandReader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errProtocol
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// headerNumber reads the number behind the type byte of a header.
func headerNumber(line []byte, most int) (int, error) {
	number, ok := parseNumber(line[1:])
	if !ok || number > uint64(most) {
		return 0, errProtocol
	}
	return int(number), nil
}

// parseNumber reads decimal digits up to 2^63-1; strconv would want a string, which is an allocation.
func parseNumber(digits []byte) (uint64, bool) {
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var number uint64
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		number = number*10 + uint64(digit-'0')
	}
	return number, number < 1<<63
}

// replyWriter writes RESP2. Errors of the socket stay in the bufio.Writer until the next flush.
type replyWriter struct {
	out *bufio.Writer
}

func (w *replyWriter) integer(number uint64) { w.header(':', number) }

func (w *replyWriter) flag(set bool) {
	if set {
		w.integer(1)
		return
	}
	w.integer(0)
}

func (w *replyWriter) array(length int) { w.header('*', uint64(length)) }

func (w *replyWriter) bulk(text []byte) {
	w.header('$', uint64(len(text)))
	w.out.Write(text)
	w.out.WriteString("\r\n")
}

func (w *replyWriter) status(text string) { w.text('+', text) }

func (w *replyWriter) fail(text string) { w.text('-', text) }

func (w *replyWriter) header(kind byte, number uint64) {
	line := append(w.out.AvailableBuffer(), kind)
	line = strconv.AppendUint(line, number, 10)
	w.out.Write(append(line, '\r', '\n'))
}

func (w *replyWriter) text(kind byte, text string) {
	w.out.WriteByte(kind)
	w.out.WriteString(text)
	w.out.WriteString("\r\n")
}
