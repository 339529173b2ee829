package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime/metrics"
)

// info: INFO [memory]; lines of name:value in the manner of Redis.
func (s *session) info(args [][]byte) {
	if len(args) > 1 || len(args) == 1 && !bytes.EqualFold(args[0], []byte("memory")) {
		s.reply.fail("SYNTAX the only section is memory")
		return
	}
	var text []byte
	for _, line := range s.service.info() {
		text = fmt.Appendf(text, "%s:%d\r\n", line.name, line.value)
	}
	s.reply.bulk(text)
}

type infoLine struct {
	name  string
	value uint64
}

// info reads the runtime's own metrics, which, unlike runtime.ReadMemStats, does not stop the world.
func (s *service) info() []infoLine {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/cycles/forced:gc-cycles"},
	}
	metrics.Read(samples)
	value := func(at int) uint64 { return samples[at].Value.Uint64() }
	lines := []infoLine{
		{"used_memory", value(0)},
		{"live_memory", value(1)},
		{"runtime_memory", value(2) - value(3)},
		{"used_memory_rss", residentBytes()},
		{"gc_cycles", value(4)},
		{"gc_cycles_forced", value(5)},
	}
	var users, states, channels uint64
	var total counts
	for number, one := range s.partitions {
		one.mu.Lock()
		users += uint64(len(one.users))
		states += uint64(one.states)
		total.hits += one.counts.hits
		total.misses += one.counts.misses
		total.evictions += one.counts.evictions
		one.mu.Unlock()
		channels += uint64(s.tails[number].len())
	}
	return append(lines,
		infoLine{"users", users}, infoLine{"read_states", states}, infoLine{"channels", channels},
		infoLine{"hits", total.hits}, infoLine{"misses", total.misses}, infoLine{"evictions", total.evictions})
}

// residentBytes is what the kernel counts for the process, 0 where there is no /proc.
func residentBytes() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * uint64(os.Getpagesize())
}
