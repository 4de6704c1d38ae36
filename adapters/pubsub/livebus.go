package pubsub

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// LiveBus publishes ephemeral events on the channel of their type.
type LiveBus struct {
	publisher message.Publisher
	codec     *wireformat.Codec
	ids       ports.IDs
}

var _ ports.LiveBus = (*LiveBus)(nil)

// NewLiveBus returns a LiveBus that publishes through any Watermill publisher.
func NewLiveBus(publisher message.Publisher, codec *wireformat.Codec, ids ports.IDs) *LiveBus {
	return &LiveBus{publisher: publisher, codec: codec, ids: ids}
}

// Publish implements [ports.LiveBus].
func (b *LiveBus) Publish(ctx context.Context, e domain.Ephemeral, m ports.Meta) error {
	id := b.ids.NewID()
	payload, err := b.codec.EncodeLive(domain.EventID(id), e, m)
	if err != nil {
		return err
	}
	return b.publisher.Publish(wireformat.Type(e), message.NewMessageWithContext(ctx, id, payload))
}
