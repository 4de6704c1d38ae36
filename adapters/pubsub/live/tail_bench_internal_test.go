package live

import (
	"context"
	"fmt"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// passerby is a watcher that follows none of the chats.
type passerby struct{ follows map[domain.ChatID]int }

func (p *passerby) Appended(_ int, notices []ports.Notice) {
	for i := range notices {
		p.follows[""] += p.follows[notices[i].Chat]
	}
}

func (*passerby) Lost(int) {}

// BenchmarkTail_Uninterested measures an announced event of 300 bytes whose chat the watcher does not follow.
func BenchmarkTail_Uninterested(b *testing.B) {
	for _, events := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d events of a message", events), func(b *testing.B) {
			tail := &Tail{config: TailConfig{Partitions: []TailPartition{{}}, Bound: 1}}
			tail.ctx = context.Background()
			p := newPartition(tail, 0)
			p.confirmed()
			p.begin(groups.StreamID{})
			p.add(&passerby{map[domain.ChatID]int{"": 0}})
			messages := make([]string, 1000)
			last := groups.StreamID{Milliseconds: 1}
			for i := range messages {
				a := wireformat.Announcement{Previous: last}
				for range events {
					last.Number++
					a.Events = append(a.Events, wireformat.Announced{ID: last, Seq: 1, Chat: "chat-of-somebody-else", JSON: make([]byte, 300)})
				}
				messages[i] = string(a.Append(nil))
			}
			n := 0
			for b.Loop() {
				for _, m := range messages {
					p.last = groups.StreamID{Milliseconds: 1, Number: uint64(n % len(messages) * events)} //nolint:gosec // a few
					p.message(m)
					n++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*events), "ns/event")
			if len(p.pending) > 0 {
				b.Fatal("an announcement is not passed on")
			}
		})
	}
}
