package pubsub_test

import (
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/group"
)

// publisher adds messages to streams as watermill-redisstream does, whose own publisher closes its client. For a subscriber these messages are entries
// of another program: they are in no log.
type publisher struct {
	stock  *redisstream.Publisher
	closed atomic.Bool
}

var _ message.Publisher = (*publisher)(nil)

// newPublisher returns a publisher. It does not close client.
func newPublisher(client goredis.UniversalClient) (*publisher, error) {
	stock, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return &publisher{stock: stock}, nil
}

// Publish adds the messages to the stream named topic, one after another. After an error, the messages before the failed one are on the stream, and
// the failed one may be.
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return group.ErrClosed
	}
	return p.stock.Publish(topic, messages...)
}

// Close makes Publish return [group.ErrClosed]. It does not close the stock publisher, which would only close the client.
func (p *publisher) Close() error {
	p.closed.Store(true)
	return nil
}
