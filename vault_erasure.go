package chatcore

import (
	"bytes"
	"cmp"
	"context"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
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

// archive is the batch handler of the archiver. Erasures follow the journal: content that was archived before goes from the vault. Errors pass: no event becomes a
// dead letter.
func (c *Core) archive(ctx context.Context, batches []*ports.ChatBatch) {
	c.vault.Handle(ctx, batches)
	var erasing []*ports.ChatBatch
	var erasures []ports.Delivery
	for _, b := range batches {
		found, err := c.erasuresOf(b)
		if len(found) > 0 || err != nil {
			erasing, erasures = append(erasing, b), append(erasures, found...)
		}
		if err != nil {
			b.Done, b.Err = 0, err
		}
	}
	if err := c.erasures(ctx, erasures); err != nil { // all together: a segment is rewritten once
		for _, b := range erasing {
			b.Done, b.Err = 0, err
		}
	}
	for _, b := range batches {
		b.Err = group.Transient(b.Err)
	}
}

// erasuresOf returns the erasures among the archived deliveries of a batch.
func (c *Core) erasuresOf(b *ports.ChatBatch) (erasures []ports.Delivery, err error) {
	for _, d := range b.Deliveries[:b.Done] {
		if !bytes.Contains(d.JSON, []byte(`"type":"`+wireformat.TypeMessageErased+`"`)) && !bytes.Contains(d.JSON, []byte(`"type":"`+wireformat.TypeChatDeleted+`"`)) {
			continue
		}
		r, err := c.codec.Decode(d.JSON)
		if err != nil {
			return nil, err
		}
		d.Event = r.Event
		erasures = append(erasures, d)
	}
	return erasures, nil
}

// verifyVault examines the vault for what was erased.
func (c *Core) verifyVault(ctx context.Context, e erasure) ([]ports.ErasurePlace, error) {
	if c.eraser == nil {
		return []ports.ErasurePlace{{Place: PlaceVault, Status: ports.ErasureUnreachable, Detail: "this process has no vault"}}, nil
	}
	return c.eraser.Verify(ctx, erase.Subject{
		Erasure: object.Erasure{Chat: e.chat, By: e.at, Events: e.events}, Message: e.message, At: cmp.Or(e.when, c.clock.Now()),
	})
}
