// Command load fills golru with read states and then sends commands at a fixed rate. Latency counts
// from the moment a command was due, so a server that stands still is charged for all who wait.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type plan struct {
	address         string
	users, channels uint64
	each            uint64
	rate, conns     int
	seconds         int
	fill            bool
}

func main() {
	var p plan
	flag.StringVar(&p.address, "address", "127.0.0.1:7500", "of golru")
	flag.Uint64Var(&p.users, "users", 100_000, "users")
	flag.Uint64Var(&p.each, "each", 100, "channels of each user")
	flag.Uint64Var(&p.channels, "channels", 10_000, "channels of all")
	flag.IntVar(&p.rate, "rate", 20_000, "commands a second")
	flag.IntVar(&p.conns, "conns", 20, "connections")
	flag.IntVar(&p.seconds, "seconds", 60, "length of the load")
	flag.BoolVar(&p.fill, "fill", true, "ack every channel of every user first")
	flag.Parse()
	if p.fill {
		if err := p.fillAll(); err != nil {
			log.Fatal(err)
		}
		if err := p.settle(); err != nil {
			log.Fatal(err)
		}
	}
	if err := p.load(); err != nil {
		log.Fatal(err)
	}
}

// channelOf is the k-th channel of a user.
func (p *plan) channelOf(user, k uint64) uint64 { return (user*37+k)%p.channels + 1 }

func (p *plan) fillAll() error {
	const parts = 4
	failures := make(chan error, parts)
	for part := range uint64(parts) {
		go func() { failures <- p.fillPart(part, parts) }()
	}
	for range parts {
		if err := <-failures; err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) fillPart(part, parts uint64) error {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	out, in := bufio.NewWriter(conn), bufio.NewReader(conn)
	for user := part + 1; user <= p.users; user += parts {
		for k := range p.each {
			command(out, "ACK", user, p.channelOf(user, k), 1)
		}
		if err := out.Flush(); err != nil {
			return err
		}
		for range p.each {
			if err := skipReply(in); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle has everything written, so that the load is not measured beside the commit of the fill.
func (p *plan) settle() error {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("COMMIT\r\n")); err != nil {
		return err
	}
	if err := skipReply(bufio.NewReader(conn)); err != nil {
		return err
	}
	info, err := p.info()
	fmt.Println("filled:", info)
	return err
}

func command(out *bufio.Writer, name string, numbers ...uint64) {
	fmt.Fprintf(out, "*%d\r\n$%d\r\n%s\r\n", len(numbers)+1, len(name), name)
	var digits [20]byte
	for _, number := range numbers {
		text := strconv.AppendUint(digits[:0], number, 10)
		out.Write(strconv.AppendInt(append(out.AvailableBuffer(), '$'), int64(len(text)), 10))
		out.WriteString("\r\n")
		out.Write(text)
		out.WriteString("\r\n")
	}
}

// skipReply reads one reply; an error reply is an error.
func skipReply(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	switch line[0] {
	case '-':
		return fmt.Errorf("server: %s", line)
	case '*':
		count, err := strconv.Atoi(strings.TrimSpace(string(line[1:])))
		if err != nil {
			return err
		}
		for range count {
			if err := skipReply(in); err != nil {
				return err
			}
		}
	}
	return nil
}

// kinds of commands, and how many of a hundred they are.
var kinds = []struct {
	name  string
	share int
}{{"ACK", 60}, {"POST", 25}, {"COUNT", 10}, {"STATE", 5}}

func (p *plan) send(out *bufio.Writer, random *rand.Rand, lastID *atomic.Uint64) int {
	draw, kind := random.IntN(100), 0
	for draw >= kinds[kind].share {
		draw -= kinds[kind].share
		kind++
	}
	user := random.Uint64N(p.users) + 1
	channel := p.channelOf(user, random.Uint64N(p.each))
	switch kind {
	case 0:
		command(out, "ACK", user, channel, lastID.Load())
	case 1:
		command(out, "POST", channel, lastID.Add(1), user)
	case 2:
		command(out, "COUNT", user, channel)
	default:
		command(out, "STATE", user)
	}
	return kind
}

// sent is a command under way.
type sent struct {
	due  time.Time
	kind int
}

func (p *plan) load() error {
	var lastID atomic.Uint64
	lastID.Store(uint64(time.Now().Unix()))
	start := time.Now().Add(100 * time.Millisecond)
	taken := make([][][]time.Duration, p.conns)
	failures := make(chan error, p.conns)
	for number := range p.conns {
		go func() {
			var err error
			taken[number], err = p.connection(number, start, &lastID)
			failures <- err
		}()
	}
	for range p.conns {
		if err := <-failures; err != nil {
			return err
		}
	}
	var all []time.Duration
	for kind, one := range kinds {
		var times []time.Duration
		for _, of := range taken {
			times = append(times, of[kind]...)
		}
		report(one.name, times)
		all = append(all, times...)
	}
	report("all", all)
	info, err := p.info()
	fmt.Println("after:", info)
	return err
}

func (p *plan) connection(number int, start time.Time, lastID *atomic.Uint64) ([][]time.Duration, error) {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	total := p.rate / p.conns * p.seconds
	gap := time.Second / time.Duration(p.rate/p.conns)
	start = start.Add(gap * time.Duration(number) / time.Duration(p.conns))
	underWay := make(chan sent, total)
	var sender sync.WaitGroup
	sender.Go(func() {
		defer close(underWay)
		random := rand.New(rand.NewPCG(1, uint64(number)))
		out := bufio.NewWriter(conn)
		for at := range total {
			due := start.Add(gap * time.Duration(at))
			if wait := time.Until(due); wait > 0 {
				if out.Flush() != nil {
					return
				}
				time.Sleep(wait)
			}
			underWay <- sent{due, p.send(out, random, lastID)}
		}
		_ = out.Flush()
	})
	taken := make([][]time.Duration, len(kinds))
	in := bufio.NewReader(conn)
	for one := range underWay {
		if err := skipReply(in); err != nil {
			return nil, err
		}
		taken[one.kind] = append(taken[one.kind], time.Since(one.due))
	}
	sender.Wait()
	return taken, nil
}

func report(name string, times []time.Duration) {
	slices.Sort(times)
	if len(times) == 0 {
		return
	}
	at := func(share float64) time.Duration {
		return times[int(float64(len(times)-1)*share)].Round(time.Microsecond)
	}
	fmt.Printf("%-6s %9d  p50 %v  p99 %v  p99.9 %v  p99.99 %v  max %v\n",
		name, len(times), at(0.5), at(0.99), at(0.999), at(0.9999), at(1))
}

func (p *plan) info() (string, error) {
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("INFO\r\n")); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	head, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil {
		return "", err
	}
	text := make([]byte, size)
	for at := 0; at < size; {
		count, err := in.Read(text[at:])
		if err != nil {
			return "", err
		}
		at += count
	}
	return strings.Join(strings.Fields(string(text)), " "), nil
}
