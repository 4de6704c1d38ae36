package chatcore

import (
	"bytes"
	"cmp"
	"context"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// newVaultEraser returns the eraser of the vault of a log on Redis.
func (c *Core) newVaultEraser() (*erase.Eraser, error) {
	codec, err := object.NewCodec()
	if err != nil {
		return nil, err
	}
	v := c.config.Vault
	return erase.New(erase.Config{
		Vault: v.Store, Codec: codec, Log: c.backend.logID, Partition: c.backend.tail.PartitionOf, Now: c.clock.Now, Journals: v.Keep, Tails: v.Keep + v.FullTailEvery,
	}), nil
}

// archive is the batch handler of the archiver. Erasures follow the journal: content that was archived before goes from the segments of the vault. Errors
// pass: no event becomes a dead letter.
func (c *Core) archive(ctx context.Context, batches []*ports.ChatBatch) {
	c.vault.Handle(ctx, batches)
	for _, b := range batches {
		if done, err := c.eraseFromVault(ctx, b.Deliveries[:b.Done]); err != nil {
			b.Done, b.Err = done, err
		}
		b.Err = group.Transient(b.Err)
	}
}

// eraseFromVault erases in the vault what the erasures among some deliveries name. It returns how many deliveries are done, if not all, and the error.
func (c *Core) eraseFromVault(ctx context.Context, deliveries []ports.Delivery) (done int, err error) {
	for i, d := range deliveries {
		if !bytes.Contains(d.JSON, []byte(`"type":"`+wireformat.TypeMessageErased+`"`)) {
			continue
		}
		r, err := c.codec.Decode(d.JSON)
		if err != nil {
			return i, err
		}
		d.Event = r.Event
		if err := c.erasures(ctx, []ports.Delivery{d}); err != nil {
			return i, err
		}
	}
	return len(deliveries), nil
}

// verifyVault examines the vault for the content of a message.
func (c *Core) verifyVault(ctx context.Context, chat domain.ChatID, message domain.MessageID, e erasure) ([]ports.ErasurePlace, error) {
	if c.eraser == nil {
		return []ports.ErasurePlace{{Place: PlaceVault, Status: ports.ErasureUnreachable, Detail: "this process has no vault"}}, nil
	}
	events, err := erase.ErasedEvents(ctx, c.backend.redis.log, chat, message)
	if err != nil {
		return nil, err
	}
	return c.eraser.Verify(ctx, object.Erasure{Chat: chat, By: e.at, Events: events}, cmp.Or(e.when, c.clock.Now()))
}
