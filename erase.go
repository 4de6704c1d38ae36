package chatcore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// The places that [Core.VerifyErasure] examines.
const (
	PlaceLog         = "log"
	PlaceSnapshots   = "snapshots"
	PlaceStreams     = "streams"
	PlaceDeadLetters = "dead letters"
	PlaceCaches      = "caches"
	PlaceLists       = "chat lists"
	PlaceVault       = "vault"
	PlaceRedisFiles  = "redis files" // and replicas' buffers: always [ports.ErasureUnreachable]
	PlaceChat        = "chat"        // titles, metadata and custom events: always [ports.ErasureUnreachable]
)

// unreachable are the places that no erasure reaches.
//
//nolint:gochecknoglobals // never changes
var unreachable = []ports.ErasurePlace{
	{Place: PlaceRedisFiles, Status: ports.ErasureUnreachable, Detail: "append-only files and dumps of Redis have the content until they are written again (BGREWRITEAOF, BGSAVE); backups of them are the operator's"},
	{Place: PlaceChat, Status: ports.ErasureUnreachable, Detail: "titles, metadata and custom events of the chat stay, and so do quotes and mentions in messages of others"},
}

// FinishErasure removes the entries of an erased message from its delivery stream and its cached copies now. The built-in subscribers do the same once they
// handle the erasure. A message that is not erased is left as it is.
func (c *Core) FinishErasure(ctx context.Context, chat domain.ChatID, message domain.MessageID) error {
	e, err := c.findErasure(ctx, chat, message)
	if err != nil || e.at == 0 {
		return err
	}
	if c.caches != nil {
		if err := c.caches.InvalidateMessage(ctx, chat, message, e.at); err != nil {
			return err
		}
	}
	if r := c.backend.redis; r != nil {
		return r.eraseEntries(ctx, chat, e.seqs)
	}
	return nil
}

// VerifyErasure examines where the content of a message may be, and returns a row for each place. Only a place that was examined, and has none of the content,
// is [ports.ErasureDone]. Of a process with a vault it also examines the objects of that. It reads the whole delivery stream of the chat's partition and all dead letters.
// The last rows name the places that no erasure reaches.
func (c *Core) VerifyErasure(ctx context.Context, chat domain.ChatID, message domain.MessageID) ([]ports.ErasurePlace, error) {
	e, err := c.findErasure(ctx, chat, message)
	if err != nil {
		return nil, err
	}
	places := []ports.ErasurePlace{e.log()}
	for _, examine := range []func(context.Context, domain.ChatID, domain.MessageID, erasure) (ports.ErasurePlace, error){
		c.verifySnapshots, c.verifyStreams, c.verifyDeadLetters, c.verifyCaches, c.verifyLists,
	} {
		place, err := examine(ctx, chat, message, e)
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	vault, err := c.verifyVault(ctx, chat, message, e)
	return slices.Concat(places, vault, unreachable), err
}

// erasure is what the log has of the erasure of a message.
type erasure struct {
	at   domain.Seq   // of the erasure, 0 if the message was not erased
	when time.Time    // of the erasure
	seqs []domain.Seq // of the events before, all of which have had content
	left []domain.Seq // of those that still have it
}

func (c *Core) findErasure(ctx context.Context, chat domain.ChatID, message domain.MessageID) (e erasure, err error) {
	for r, err := range c.Queries.Audit(ctx, chat, domain.Audit{Message: message}) {
		if err != nil {
			return e, err
		}
		switch event := r.Event.(type) {
		case domain.MessageErased:
			e.at, e.when = r.Seq, event.At
		case domain.MessageNew, domain.MessageEdit:
			e.seqs = append(e.seqs, r.Seq)
			if !domain.IsErased(event) {
				e.left = append(e.left, r.Seq)
			}
		case domain.MessageDelete:
			if domain.IsErased(event) {
				e.seqs = append(e.seqs, r.Seq)
			}
		}
	}
	return e, nil
}

func (e erasure) log() ports.ErasurePlace {
	place := ports.ErasurePlace{Place: PlaceLog, Status: ports.ErasureDone}
	switch {
	case e.at == 0:
		place.Status, place.Detail = ports.ErasurePending, "the message was not erased"
	case len(e.left) > 0:
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("events of the seqs %d have content", e.left)
	}
	return place
}

func (c *Core) verifySnapshots(ctx context.Context, chat domain.ChatID, message domain.MessageID, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceSnapshots, Status: ports.ErasureDone}
	r := c.backend.redis
	if r == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "the log is not on Redis"
		return place, nil
	}
	version, err := r.log.SnapshotVersion(ctx, chat, domain.MessageEntity(message))
	if version > 0 && (version < e.at || e.at == 0) {
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("there is a snapshot of seq %d", version)
	}
	return place, err
}

func (c *Core) verifyStreams(ctx context.Context, chat domain.ChatID, _ domain.MessageID, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceStreams, Status: ports.ErasureDone}
	r := c.backend.redis
	if r == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "the delivery streams are not in Redis"
		return place, nil
	}
	has, err := r.groups.HasEntries(ctx, r.keys.Partition(chat), chat, e.seqs)
	if has {
		place.Status, place.Detail = ports.ErasurePending, "the stream has an entry until the built-in subscribers remove it, or every group has passed it"
	}
	if err != nil || has {
		return place, err
	}
	if has, err = r.groups.HidesEntries(ctx, r.keys.Partition(chat)); has {
		place.Status, place.Detail = ports.ErasurePending, "Redis has bytes of removed entries until about 100 entries after them are trimmed, which every group has to pass"
	}
	return place, err
}

func (c *Core) verifyDeadLetters(ctx context.Context, chat domain.ChatID, _ domain.MessageID, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceDeadLetters, Status: ports.ErasureDone}
	list, err := c.backend.groups.List(ctx)
	if err != nil {
		return place, err
	}
	for _, state := range list {
		for d, err := range c.backend.groups.DeadLettersAfter(ctx, state.Group, "") {
			if err != nil {
				return place, err
			}
			if d.Chat == chat && len(d.Payload) > 0 && slices.Contains(e.seqs, d.Seq) {
				place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("dead letter %s of group %s, of an older program, has the event until it is retried or dropped", d.ID, state.Group)
			}
		}
	}
	return place, nil
}

// verifyLists examines the last message that chat lists show. The step that erases a message in the log removes it.
func (c *Core) verifyLists(ctx context.Context, chat domain.ChatID, message domain.MessageID, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceLists, Status: ports.ErasureDone}
	r := c.backend.redis
	if r == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "the log is not on Redis"
		return place, nil
	}
	kept, err := r.log.ListedLastMessages(ctx, chat)
	if err == nil && kept[0].Message == message && (e.at == 0 || kept[0].Version < e.at) {
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("the list has the message of version %d", kept[0].Version)
	}
	return place, err
}

// verifyCaches invalidates cached copies of earlier versions, which is what an examination would ask for.
func (c *Core) verifyCaches(ctx context.Context, chat domain.ChatID, message domain.MessageID, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceCaches, Status: ports.ErasureDone}
	if c.caches == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "this process has no caches"
		return place, nil
	}
	if e.at == 0 {
		place.Status, place.Detail = ports.ErasurePending, "the message was not erased"
		return place, nil
	}
	return place, c.caches.InvalidateMessage(ctx, chat, message, e.at)
}
