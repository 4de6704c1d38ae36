package bench

import (
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
)

// BenchmarkErase measures one caller's erasures of recent messages beside its sends, in turns: of messages that the process has just sent, and in another process of
// messages that it has in its cache, and of others; and erasures with a command id. It reports the times, and the processor time of Redis.
func BenchmarkErase(b *testing.B) {
	const n = 2_000
	server, client := start(b)
	core, other := open(b, server, chatcore.Config{}), open(b, server, chatcore.Config{})
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
		_, err := other.Queries.Message(b.Context(), chat, sent[i])
		return err
	}
	erase := func(core *chatcore.Core) func(chat domain.ChatID, i int) error {
		return func(chat domain.ChatID, i int) error {
			_, err := core.Chats.Erase(b.Context(), domain.Erase{Chat: chat, Actor: "ada", MessageID: sent[i]})
			return err
		}
	}
	eraseWithID := func(chat domain.ChatID, i int) error {
		_, err := core.Chats.Erase(b.Context(), domain.Erase{Chat: chat, Actor: "ada", MessageID: sent[i], Command: domain.CommandID("erase-" + sent[i])})
		return err
	}
	for b.Loop() {
		for range rounds {
			measure("send", send)
			measure("sent here", erase(core))
			measure("send", send)
			measure("with an id", eraseWithID)
			measure("send", send)
			measure("unknown", erase(other))
			measure("send", send)
			measure("read", read)
			measure("cached", erase(other))
		}
	}
	for _, side := range []string{"send", "read", "sent here", "cached", "unknown", "with an id"} {
		b.Logf("%-10s %.1f µs, %.1f µs of Redis CPU", side, median(took[side])/1e3, median(costs[side])*1e6)
	}
	for side, name := range map[string]string{"sent here": "sent-here", "cached": "cached", "unknown": "unknown", "with an id": "with-id"} {
		b.ReportMetric(median(took[side])/median(took["send"]), name+"/send")
		b.ReportMetric(median(costs[side])/median(costs["send"]), name+"/send-cpu")
	}
}
