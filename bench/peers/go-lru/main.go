// Command golru is a read-state service in the shape Discord described before its rewrite: users
// and their read states in partitioned LRU caches, counters of mentions, and a database behind them
// that is written thirty seconds later.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if err := start(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func start(args []string) error {
	var o options
	flags := flag.NewFlagSet("golru", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:7500", "address of the RESP port; port 0 = any free one, see DIR/address")
	flags.StringVar(&o.dir, "dir", "golru-data", "where batches are written")
	flags.IntVar(&o.partitions, "partitions", 16, "caches beside each other, a power of two")
	flags.IntVar(&o.capacity, "capacity", 1_000_000, "read states in each cache; above it the longest unused users are evicted")
	flags.DurationVar(&o.interval, "flush-interval", 30*time.Second, "how long a change waits for its commit at most")
	name := flags.String("layout", string(layoutMap), "read states of a user: map (an object each) or slice (an array without pointers)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if o.layout, err = parseLayout(*name); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := openService(o)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if err := os.WriteFile(filepath.Join(o.dir, "address"), []byte(address+"\n"), 0o644); err != nil {
		return err
	}
	fmt.Printf("golru listens on %s\n", address)

	// Commits end after the last command, or they would miss its change.
	committing, finish := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(committing)
	}()
	err = serve(ctx, listener, s)
	finish()
	<-done
	return err
}
