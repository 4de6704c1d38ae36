package bench

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	centrifugego "github.com/centrifugal/centrifuge-go"

	"chatcore/tests/redistest"
)

// centrifugeBroker returns a node of Centrifuge that does not run yet, with its Redis broker, as the library's documentation sets them up.
func centrifugeBroker(b *testing.B, server *redistest.Server) (*centrifuge.Node, *centrifuge.RedisBroker) {
	b.Helper()
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelNone})
	if err != nil {
		b.Fatal(err)
	}
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: server.Addr()})
	if err != nil {
		b.Fatal(err)
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		b.Fatal(err)
	}
	node.SetBroker(broker)
	return node, broker
}

// centrifugeNode runs a node on a Redis broker until the benchmark ends.
func centrifugeNode(b *testing.B, server *redistest.Server) *centrifuge.Node {
	b.Helper()
	node, _ := centrifugeBroker(b, server)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "ada"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true}}, nil)
		})
	})
	if err := node.Run(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { shutDown(node) })
	return node
}

func shutDown(node *centrifuge.Node) {
	_ = node.Shutdown(context.Background())
	time.Sleep(2 * time.Second) // the node's goroutine that unsubscribes pauses for a second
}

// centrifugeWay publishes on one node, with history and an idempotency key, and reads at a WebSocket client of another.
func centrifugeWay(b *testing.B, server *redistest.Server) feedWay {
	b.Helper()
	const channel = "garden"
	publishing, serving := centrifugeNode(b, server), centrifugeNode(b, server)
	socket := httptest.NewServer(centrifuge.NewWebsocketHandler(serving, centrifuge.WebsocketConfig{}))
	b.Cleanup(socket.Close)
	client := centrifugego.NewJsonClient("ws"+strings.TrimPrefix(socket.URL, "http"), centrifugego.Config{})
	b.Cleanup(client.Close)
	if err := client.Connect(); err != nil {
		b.Fatal(err)
	}
	subscription, err := client.NewSubscription(channel, centrifugego.SubscriptionConfig{Recoverable: true})
	if err != nil {
		b.Fatal(err)
	}
	arrived, subscribed := make(chan string, 1024), make(chan struct{}, 1)
	subscription.OnSubscribed(func(centrifugego.SubscribedEvent) { subscribed <- struct{}{} })
	subscription.OnPublication(func(e centrifugego.PublicationEvent) {
		var message published
		if json.Unmarshal(e.Data, &message) == nil {
			arrived <- message.MessageID
		}
	})
	if err := subscription.Subscribe(); err != nil {
		b.Fatal(err)
	}
	<-subscribed
	return feedWay{arrived: arrived, send: func(_ context.Context, id string) error {
		data, err := json.Marshal(newPublished(id))
		if err != nil {
			return err
		}
		_, err = publishing.Publish(channel, data, centrifuge.WithHistory(1024, time.Hour), centrifuge.WithIdempotencyKey(id))
		return err
	}}
}

// published is a message with the fields and the size of chatcore's event.
type published struct {
	EventID   string    `json:"eventId"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Version   int       `json:"v"`
	Seq       int       `json:"seq"`
	Ordinal   int       `json:"ordinal"`
	MessageID string    `json:"messageId"`
	ChatID    string    `json:"chatId"`
	SenderID  string    `json:"senderId"`
	Content   string    `json:"content"`
}

func newPublished(id string) published {
	return published{
		EventID: "0197b8a0-1c2d-7e3f-8a4b-000000000000", Type: "message:new", Timestamp: time.Now().UTC().Truncate(time.Millisecond), Version: 1, Seq: 7, Ordinal: 6,
		MessageID: id, ChatID: "0197b8a0-1c2d-7e3f-8a4b-000000000000", SenderID: "ada", Content: content,
	}
}
