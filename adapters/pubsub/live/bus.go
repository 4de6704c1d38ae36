package live

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Bus publishes ephemeral events on the channel of their type.
type Bus struct {
	publisher message.Publisher
	codec     *wireformat.Codec
	ids       ports.IDs
}

var _ ports.LiveBus = (*Bus)(nil)

// NewBus returns a Bus that publishes through any Watermill publisher.
func NewBus(publisher message.Publisher, codec *wireformat.Codec, ids ports.IDs) *Bus {
	return &Bus{publisher: publisher, codec: codec, ids: ids}
}

// Publish implements [ports.LiveBus].
func (b *Bus) Publish(ctx context.Context, e domain.Ephemeral, m ports.Meta) error {
	id := b.ids.NewID()
	payload, err := b.codec.EncodeLive(domain.EventID(id), e, m)
	if err != nil {
		return err
	}
	return b.publisher.Publish(wireformat.Type(e), message.NewMessageWithContext(ctx, id, payload))
}
