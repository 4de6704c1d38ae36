package bench

import (
	"context"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
)

// centrifugePeer publishes with history and an idempotency key on one node, and listens with the broker of another. Centrifuge has no durable handlers: a
// reader that was away reads the history.
func centrifugePeer(b *testing.B, n int) *peer {
	b.Helper()
	server, client := start(b)
	node := centrifugeNode(b, server)
	return &peer{
		name: "Centrifuge",
		send: func(_ context.Context, chat int, id string) error {
			_, err := node.Publish(chatID(chat), encodedMessage(chat, id), centrifuge.WithHistory(1024, 24*time.Hour), centrifuge.WithIdempotencyKey(id))
			return err
		},
		cpu:    func() float64 { return cpu(b, client) },
		stored: func() float64 { return info(b, client, "memory", "used_memory") },
		passing: func() float64 {
			before := info(b, client, "memory", "used_memory")
			keys := client.Scan(b.Context(), 0, "*.result.*", 10_000).Iterator()
			for keys.Next(b.Context()) {
				if err := client.Del(b.Context(), keys.Val()).Err(); err != nil {
					b.Fatal(err)
				}
			}
			if err := keys.Err(); err != nil {
				b.Fatal(err)
			}
			return before - info(b, client, "memory", "used_memory")
		},
		deliver: func(_, heard *arrivals) {
			listening, broker := centrifugeBroker(b, server)
			b.Cleanup(func() { shutDown(listening) })
			if err := broker.RegisterBrokerEventHandler(hearing{heard}); err != nil {
				b.Fatal(err)
			}
			channels := make([]string, n)
			for i := range channels {
				channels[i] = chatID(i)
			}
			if err := broker.Subscribe(channels...); err != nil {
				b.Fatal(err)
			}
		},
	}
}

// hearing reports the publications that a broker receives.
type hearing struct{ heard *arrivals }

func (h hearing) HandlePublication(_ string, p *centrifuge.Publication, _ centrifuge.StreamPosition, _ bool, _ *centrifuge.Publication) error {
	h.heard.add(idIn(p.Data))
	return nil
}

func (hearing) HandleJoin(string, *centrifuge.ClientInfo) error { return nil }

func (hearing) HandleLeave(string, *centrifuge.ClientInfo) error { return nil }
