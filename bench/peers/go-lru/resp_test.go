package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func commandsOf(in io.Reader) (found []string, err error) {
	reader := commandReader{in: bufio.NewReaderSize(in, bufferBytes)}
	for {
		args, err := reader.next()
		if err != nil {
			return found, err
		}
		found = append(found, string(bytes.Join(args, []byte("|"))))
	}
}

func TestCommandsAreTheSameInOnePieceAndByteByByte(t *testing.T) {
	text := "*4\r\n$3\r\nACK\r\n$1\r\n1\r\n$1\r\n2\r\n$2\r\n33\r\n\r\n*0\r\nPING  x\r\n*1\r\n$0\r\n\r\n"
	want := "ACK|1|2|33 PING|x "
	for name, in := range map[string]io.Reader{
		"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)),
	} {
		found, err := commandsOf(in)
		if got := strings.Join(found, " "); got != want || !errors.Is(err, io.EOF) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestArgumentsLargerThanTheBufferStayWhole(t *testing.T) {
	long := strings.Repeat("7", bulkLenMax)
	found, _ := commandsOf(strings.NewReader("*2\r\n$65536\r\n" + long + "\r\n$1\r\n1\r\n"))
	if len(found) != 1 || found[0] != long+"|1" {
		t.Errorf("%d commands", len(found))
	}
}

func TestWhatIsNotRESPEndsTheConnection(t *testing.T) {
	for _, text := range []string{
		"*x\r\n", "*-1\r\n", "*1101\r\n", "*1\r\n:1\r\n", "*1\r\n\r\n", "*1\r\n$65537\r\n", "*1\r\n$1\r\nabc",
		strings.Repeat("a", bufferBytes),
	} {
		if _, err := commandsOf(strings.NewReader(text)); !errors.Is(err, errProtocol) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestNumbersAreDigitsUpTo63Bits(t *testing.T) {
	for text, want := range map[string]bool{
		"0": true, "9223372036854775807": true, "9223372036854775808": false, "9999999999999999999": false,
		"": false, "-1": false, "1 ": false, "10000000000000000000": false,
	} {
		if _, ok := parseNumber([]byte(text)); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

// countingConn counts writes, which are packets on a real socket.
type countingConn struct {
	net.Conn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

func TestAPipelineIsAnsweredWithOneWriteEvenBeforeItsLastCommandIsWhole(t *testing.T) {
	client, server := net.Pipe()
	counting := &countingConn{Conn: server}
	done := make(chan struct{})
	go func() {
		talk(counting, newTestService(t, options{}))
		close(done)
	}()
	answers := make([]byte, 3*len("+PONG\r\n"))
	if _, err := client.Write([]byte("PING\r\nPING\r\nPING\r\nPI")); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, answers); err != nil {
		t.Fatal(err)
	}
	client.Close()
	<-done
	if counting.writes != 1 {
		t.Errorf("%d writes", counting.writes)
	}
}
