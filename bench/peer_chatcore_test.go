package bench

import (
	"context"
	"testing"

	"chatcore"
	"chatcore/domain"
)

// chatcorePeer sends on one core, handles in a group on another and listens on a third. On disk, Redis syncs its append-only file before each reply.
func chatcorePeer(b *testing.B, n int, onDisk bool) *peer {
	b.Helper()
	var args []string
	if onDisk {
		args = []string{"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"}
	}
	server, client := start(b, args...)
	sending := open(b, server, chatcore.Config{})
	all := chats(b, sending, n)
	return &peer{
		name: "chatcore", onDisk: onDisk, durable: true,
		send: func(ctx context.Context, chat int, id string) error {
			_, err := sending.Chats.Send(ctx, domain.Send{Chat: all[chat], Actor: "ada", MessageID: domain.MessageID(id), Content: content})
			return err
		},
		cpu: func() float64 { return cpu(b, client) },
		stored: func() float64 {
			trim(b, client)
			return info(b, client, "memory", "used_memory")
		},
		deliver: func(handled, heard *arrivals) {
			config := chatcore.Config{Delivery: chatcore.DeliveryConfig{LiveBuffer: 8192}} // as much as listeners of the other peers have
			handling, listening := open(b, server, config), open(b, server, config)
			if err := handling.Subscribe("bench", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
				handled.add(string(d.Event.Message))
				return nil
			})); err != nil {
				b.Fatal(err)
			}
			if err := listening.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) {
				heard.add(string(l.Event.Message))
			})); err != nil {
				b.Fatal(err)
			}
			run(b, handling)
			run(b, listening)
		},
	}
}

// run starts a core, and stops it when the benchmark ends.
func run(b *testing.B, core *chatcore.Core) {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	if err := core.Start(ctx); err != nil {
		stop()
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stop()
		if err := core.Wait(); err != nil {
			b.Error(err)
		}
	})
}
