package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// started serves on a free port until the test ends.
func started(t *testing.T, s *service) (net.Conn, *bufio.Reader) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// answer reads one reply as a line of text.
func answer(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSpace(line)
	count, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '*':
		parts := make([]string, count)
		for at := range parts {
			parts[at] = answer(t, in)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case '$':
		text := make([]byte, count+2)
		if _, err := io.ReadFull(in, text); err != nil {
			t.Fatal(err)
		}
		return string(text[:count])
	case ':':
		return line[1:]
	}
	return line
}

func TestCommandsOverASocket(t *testing.T) {
	conn, in := started(t, newTestService(t, options{}))
	for _, one := range []struct{ command, want string }{
		{"PING", "+PONG"},
		{"ack 1 5 10", "1"},
		{"ACK 1 5 10", "0"},
		{"ACK 1 5 9", "0"},
		{"POST 5 11 2 1 1", "1"},
		{"POST 5 11", "0"},
		{"COUNT 1 5", "[5 10 1 11]"},
		{"COUNT 2 5", "[5 0 1 11]"},
		{"COUNT 3 5", "[5 0 0 11]"},
		{"POST 5 12 by 1 1 2", "1"},
		{"COUNT 1 5", "[5 12 0 12]"},
		{"STATE 2", "[5 0 2 12]"},
		{"STATE 9", "[]"},
		{"COMMIT", "+OK"},
		{"ACK 0 1 1", "-BADID not a number from 1 to 9223372036854775807"},
		{"ACK 1 1", "-SYNTAX wrong number of arguments"},
		{"POST 1", "-SYNTAX wrong number of arguments"},
		{"POST 1 1 BY", "-BADID not a number from 1 to 9223372036854775807"},
		{"INFO cpu", "-SYNTAX the only section is memory"},
		{"NOSUCH", "-ERR unknown command"},
		{"QUIT", "+OK"},
	} {
		fmt.Fprintf(conn, "%s\r\n", one.command)
		if got := answer(t, in); got != one.want {
			t.Errorf("%s: %s, want %s", one.command, got, one.want)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after QUIT: %v", err)
	}
}

func TestTooManyMentionsAreRefused(t *testing.T) {
	conn, in := started(t, newTestService(t, options{}))
	fmt.Fprintf(conn, "POST 1 1%s\r\n", strings.Repeat(" 1", mentionsMax))
	if got := answer(t, in); got != "1" {
		t.Error(got)
	}
	fmt.Fprintf(conn, "POST 1 2%s\r\n", strings.Repeat(" 1", mentionsMax+1))
	if got := answer(t, in); got != "-LIMIT more than 1000 mentions" {
		t.Error(got)
	}
}

func TestInfoCountsWhatIsHeld(t *testing.T) {
	conn, in := started(t, newTestService(t, options{}))
	for user := range 50 {
		fmt.Fprintf(conn, "ACK %d 3 1\r\nACK %d 4 1\r\n", user+1, user+1)
		answer(t, in)
		answer(t, in)
	}
	fmt.Fprint(conn, "POST 3 1\r\nINFO memory\r\n")
	answer(t, in)
	lines := strings.Split(strings.TrimSpace(answer(t, in)), "\r\n")
	for _, want := range []string{"users:50", "read_states:100", "channels:1", "misses:50"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s in %v", want, lines)
		}
	}
}
