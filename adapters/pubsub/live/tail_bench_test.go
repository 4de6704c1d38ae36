package live_test

import (
	"bufio"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/pubsub/live"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// cpu returns the microseconds of CPU that a server has used.
func cpu(b *testing.B, server *redistest.Server) (used float64) {
	b.Helper()
	info, err := server.Client(b).Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			used += seconds * 1e6
		}
	}
	return used
}

// BenchmarkTail_Processes measures the CPU of Redis for each event of a partition that one of several processes watches. The others watch another partition.
func BenchmarkTail_Processes(b *testing.B) {
	for _, processes := range []int{1, 16} {
		b.Run(strconv.Itoa(processes), func(b *testing.B) {
			server := redistest.Start(b)
			r := newTailRig(b, server, rigConfig{partitions: 2, announce: true, tail: live.TailConfig{Sweep: 2 * time.Second}})
			hears := r.watch(0)
			for range processes - 1 {
				newTailRigOf(b, server, r).watch(1)
			}
			chat := r.chatIn(0)
			before, events := cpu(b, server), 0
			for b.Loop() {
				r.send(chat, 1)
				events++
			}
			wait.Until(b, "all is heard", func() bool {
				seqs, _ := hears.heard(chat)
				return len(seqs) == events
			})
			b.ReportMetric((cpu(b, server)-before)/float64(events), "redis-µs/op")
		})
	}
}
