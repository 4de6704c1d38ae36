package chatcore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chatcore/adapters/vault/object"
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
	PlaceChat        = "chat"        // what others wrote of a message: always [ports.ErasureUnreachable]
)

// The places that no erasure reaches; the second one of the erasure of a message.
//
//nolint:gochecknoglobals // never change
var (
	redisFiles = ports.ErasurePlace{Place: PlaceRedisFiles, Status: ports.ErasureUnreachable, Detail: "append-only files and dumps of Redis have the content until they are written again (BGREWRITEAOF, BGSAVE); backups of them are the operator's"}
	ofOthers   = ports.ErasurePlace{Place: PlaceChat, Status: ports.ErasureUnreachable, Detail: "quotes and mentions in messages of others stay; titles, metadata and custom events of the chat stay until it is deleted"}
)

// FinishErasure removes the entries of an erased message from its delivery stream and its cached copies now, or those of a deleted chat if no message is given. The
// built-in subscribers do the same once they handle the erasure. Events that are not erased are left as they are.
func (c *Core) FinishErasure(ctx context.Context, chat domain.ChatID, message domain.MessageID) error {
	e, err := c.findErasure(ctx, chat, message)
	if err != nil || e.at == 0 {
		return err
	}
	if c.caches != nil {
		if err := c.invalidateErased(ctx, e); err != nil {
			return err
		}
	}
	if r := c.backend.redis; r != nil {
		return r.eraseEntries(ctx, chat, e.seqs[max(0, len(e.seqs)-1):]) // with all entries before
	}
	return nil
}

// VerifyErasure examines where the content of a message may be, or that of a deleted chat if no message is given, and returns a row for each place. Only a place
// that was examined, and has none of the content, is [ports.ErasureDone]. Of a process with a vault it also examines the objects of that. It reads the whole delivery
// stream of the chat's partition, all dead letters and, of a deleted chat, all its events. The last rows name the places that no erasure reaches.
func (c *Core) VerifyErasure(ctx context.Context, chat domain.ChatID, message domain.MessageID) ([]ports.ErasurePlace, error) {
	e, err := c.findErasure(ctx, chat, message)
	if err != nil {
		return nil, err
	}
	places := []ports.ErasurePlace{e.log()}
	for _, examine := range []func(context.Context, erasure) (ports.ErasurePlace, error){
		c.verifySnapshots, c.verifyStreams, c.verifyDeadLetters, c.verifyCaches, c.verifyLists,
	} {
		place, err := examine(ctx, e)
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	vault, err := c.verifyVault(ctx, e)
	places = append(append(places, vault...), redisFiles)
	if message != "" {
		places = append(places, ofOthers)
	}
	return places, err
}

// erasure is what the log has of the erasure of a message or, if that is "", of all content of a deleted chat.
type erasure struct {
	chat    domain.ChatID
	message domain.MessageID
	at      domain.Seq           // of the erasure, 0 if there was none
	when    time.Time            // of the erasure
	events  []object.ErasedEvent // in the erased form
	seqs    []domain.Seq         // of the events before, all of which have had content
	left    []domain.Seq         // of those that still have it
}

// subject names what was to be erased.
func (e erasure) subject() string {
	if e.message == "" {
		return "the content of the chat"
	}
	return "the message"
}

func (c *Core) findErasure(ctx context.Context, chat domain.ChatID, message domain.MessageID) (erasure, error) {
	e := erasure{chat: chat, message: message}
	found := c.Queries.Audit(ctx, chat, domain.Audit{Message: message})
	for r, err := range found {
		if err != nil {
			return e, err
		}
		e.add(r)
	}
	if message == "" { // a direct chat may have begun again
		e.left = slices.DeleteFunc(e.left, func(seq domain.Seq) bool { return e.at > 0 && seq > e.at })
		e.seqs = slices.DeleteFunc(e.seqs, func(seq domain.Seq) bool { return e.at > 0 && seq > e.at })
	}
	return e, nil
}

// add adds an event of the message or the chat.
func (e *erasure) add(r ports.Record) {
	switch event := r.Event.(type) {
	case domain.MessageErased:
		if e.message != "" {
			e.at, e.when = r.Seq, event.At
		}
		return
	case domain.ChatDeleted:
		if e.message == "" && event.ContentErased {
			e.at, e.when = r.Seq, event.At
		}
		return
	}
	_, sent := r.Event.(domain.MessageNew)
	_, edited := r.Event.(domain.MessageEdit)
	_, ofChat := domain.ErasedWithChat(r.Event)
	switch {
	case domain.IsErased(r.Event):
		e.seqs, e.events = append(e.seqs, r.Seq), append(e.events, object.ErasedEvent{Seq: r.Seq, ID: r.ID})
	case sent || edited || ofChat && e.message == "":
		e.seqs, e.left = append(e.seqs, r.Seq), append(e.left, r.Seq)
	}
}

func (e erasure) log() ports.ErasurePlace {
	place := ports.ErasurePlace{Place: PlaceLog, Status: ports.ErasureDone}
	switch {
	case e.at == 0:
		place.Status, place.Detail = ports.ErasurePending, e.subject()+" was not erased"
	case len(e.left) > 0:
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("events of the seqs %d have content", e.left)
	}
	return place
}

func (c *Core) verifySnapshots(ctx context.Context, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceSnapshots, Status: ports.ErasureDone}
	r := c.backend.redis
	if r == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "the log is not on Redis"
		return place, nil
	}
	version, err := r.log.OldestSnapshot(ctx, e.chat)
	if e.message != "" {
		version, err = r.log.SnapshotVersion(ctx, e.chat, domain.MessageEntity(e.message))
	}
	if version > 0 && (version < e.at || e.at == 0) {
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("there is a snapshot of seq %d", version)
	}
	return place, err
}

func (c *Core) verifyStreams(ctx context.Context, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceStreams, Status: ports.ErasureDone}
	r := c.backend.redis
	if r == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "the delivery streams are not in Redis"
		return place, nil
	}
	has, err := r.groups.HasEntries(ctx, r.keys.Partition(e.chat), e.chat, e.seqs)
	if has {
		place.Status, place.Detail = ports.ErasurePending, "the stream has an entry until the built-in subscribers remove it, or every group has passed it"
	}
	if err != nil || has {
		return place, err
	}
	if has, err = r.groups.HidesEntries(ctx, r.keys.Partition(e.chat)); has {
		place.Status, place.Detail = ports.ErasurePending, "Redis has bytes of removed entries until about 100 entries after them are trimmed, which every group has to pass"
	}
	return place, err
}

func (c *Core) verifyDeadLetters(ctx context.Context, e erasure) (ports.ErasurePlace, error) {
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
			if d.Chat == e.chat && len(d.Payload) > 0 && slices.Contains(e.seqs, d.Seq) {
				place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("dead letter %s of group %s, of an older program, has the event until it is retried or dropped", d.ID, state.Group)
			}
		}
	}
	return place, nil
}

// verifyLists examines the last message that chat lists show. The step that erases a message in the log removes it.
func (c *Core) verifyLists(ctx context.Context, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceLists, Status: ports.ErasureDone}
	r := c.backend.redis
	if r == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "the log is not on Redis"
		return place, nil
	}
	kept, err := r.log.ListedLastMessages(ctx, e.chat)
	if err != nil || e.at > 0 && kept[0].Version >= e.at {
		return place, err
	}
	if e.message == "" && kept[0].Preview != "" || e.message != "" && kept[0].Message == e.message {
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("the list has the message of version %d", kept[0].Version)
	}
	return place, err
}

// verifyCaches invalidates cached copies of earlier versions, which is what an examination would ask for.
func (c *Core) verifyCaches(ctx context.Context, e erasure) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceCaches, Status: ports.ErasureDone}
	if c.caches == nil {
		place.Status, place.Detail = ports.ErasureUnreachable, "this process has no caches"
		return place, nil
	}
	if e.at == 0 {
		place.Status, place.Detail = ports.ErasurePending, e.subject()+" was not erased"
		return place, nil
	}
	return place, c.invalidateErased(ctx, e)
}

// invalidateErased invalidates the cached copies of what was erased.
func (c *Core) invalidateErased(ctx context.Context, e erasure) error {
	if e.message != "" {
		return c.caches.InvalidateMessage(ctx, e.chat, e.message, e.at)
	}
	for r, err := range c.Queries.Audit(ctx, e.chat, domain.Audit{}) {
		if err != nil {
			return err
		}
		switch event := r.Event.(type) {
		case domain.MessageErased:
			err = c.caches.InvalidateMessage(ctx, e.chat, event.Message, r.Seq)
		case domain.ChatUpdate:
			if event.Change == domain.MemberRemoved {
				err = c.caches.InvalidateChatLists(ctx, event.User)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
