package bench

import (
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkErase measures one caller's erasures of recent messages beside its sends, in turns: of messages that the process has in its cache, and of others.
// It reports the times, and the processor time of Redis.
func BenchmarkErase(b *testing.B) {
	const n = 2_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 100)
	took, costs := map[string][]float64{}, map[string][]float64{}
	sent := make([]domain.MessageID, n)
	measure := func(side string, do func(chat domain.ChatID, i int) error) {
		b.Helper()
		before := cpu(b, client)
		for i := range n {
			began := time.Now()
			if err := do(all[i%len(all)], i); err != nil {
				b.Fatal(err)
			}
			took[side] = append(took[side], float64(time.Since(began).Nanoseconds()))
		}
		costs[side] = append(costs[side], (cpu(b, client)-before)/n)
	}
	send := func(chat domain.ChatID, i int) error {
		s, err := core.Chats.Send(b.Context(), domain.Send{Chat: chat, Actor: "ada", Content: content})
		sent[i] = s.MessageID
		return err
	}
	read := func(chat domain.ChatID, i int) error {
		_, err := core.Queries.Message(b.Context(), chat, sent[i])
		return err
	}
	erase := func(chat domain.ChatID, i int) error {
		_, err := core.Chats.Erase(b.Context(), domain.Erase{Chat: chat, Actor: "ada", MessageID: sent[i]})
		return err
	}
	for b.Loop() {
		for range rounds {
			measure("send", send)
			measure("erasure", erase)
			measure("send", send)
			measure("read", read)
			measure("cached", erase)
		}
	}
	for _, side := range []string{"send", "read", "cached", "erasure"} {
		b.Logf("%-7s %.1f µs, %.1f µs of Redis CPU", side, median(took[side])/1e3, median(costs[side])*1e6)
	}
	b.ReportMetric(median(took["cached"])/median(took["send"]), "cached/send")
	b.ReportMetric(median(took["erasure"])/median(took["send"]), "erasure/send")
	b.ReportMetric(median(costs["erasure"])/median(costs["send"]), "erasure/send-cpu")
}
