package main

import (
	"bufio"
	"context"
	"errors"
	"log"
	"net"
	"sync"
	"time"
)

// acceptPause keeps a server that is out of files from spinning.
const acceptPause = 10 * time.Millisecond

// serve accepts connections, a goroutine each, until the context ends; then it closes them all and
// waits for the commands under way.
func serve(ctx context.Context, listener net.Listener, s *service) error {
	var connections sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			connections.Wait()
			return nil
		}
		if err != nil {
			// Too many open files and the like: others may close theirs.
			log.Printf("accept: %v", err)
			time.Sleep(acceptPause)
			continue
		}
		connections.Go(func() {
			closed := context.AfterFunc(ctx, func() { conn.Close() })
			defer closed()
			defer conn.Close()
			talk(conn, s)
		})
	}
}

// talk answers the commands of one connection until it ends.
func talk(conn net.Conn, s *service) {
	out := bufio.NewWriterSize(conn, bufferBytes)
	source := &flushingSource{conn: conn, out: out}
	in := commandReader{in: bufio.NewReaderSize(source, bufferBytes)}
	client := session{service: s, reply: replyWriter{out}}
	for {
		args, err := in.next()
		if errors.Is(err, errProtocol) {
			client.reply.fail("ERR Protocol error")
		}
		if err != nil || !client.dispatch(args) {
			// The reply to QUIT, or why the connection ends; whoever is gone does not mind.
			_ = out.Flush()
			return
		}
	}
}
