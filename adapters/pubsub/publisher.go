package pubsub

import (
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"
)

// Publisher adds messages to streams as watermill-redisstream does, whose own publisher closes its client. For a [Subscriber] these messages are
// entries of another program: they are in no log. Events get onto a chat's stream with the append that records them.
type Publisher struct {
	stock  *redisstream.Publisher
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher. It does not close client.
func NewPublisher(client goredis.UniversalClient) (*Publisher, error) {
	stock, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return &Publisher{stock: stock}, nil
}

// Publish adds the messages to the stream named topic, one after another. After an error, the messages before the failed one are on the stream, and
// the failed one may be.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return ErrClosed
	}
	return p.stock.Publish(topic, messages...)
}

// Close makes Publish return [ErrClosed]. It does not close the stock publisher, which would only close the client.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}
