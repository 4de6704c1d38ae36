package porttest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// longMessage has a canonical UUID, which a log may store in another form.
const longMessage domain.MessageID = "0190f3a2-7c1d-7abc-8def-0123456789ab"

// untilKinds are events of entities with many events, by a name. Some have fields that name an entity which they do not move.
func untilKinds(c domain.ChatID) map[string]func() ports.NewEvent {
	message := func(by domain.UserID, mentions ...domain.UserID) ports.NewEvent {
		return NewEvent(domain.MessageNew{
			Chat: c, Message: domain.MessageID(fmt.Sprint("m", rand.Uint64())), Sender: by, Content: `"senderId":"ann" "userId":"ann"`, Mentions: mentions,
			ClientMeta: `{"senderId":"ann","userId":"ann","messageId":"m1","actorId":"ann","entity":"poll"}`, At: now(),
		})
	}
	own := func(id domain.CustomID) ports.NewEvent {
		return NewEvent(domain.Custom{
			Chat: c, Actor: ann, Type: "poll:voted", Version: 1, Entity: id, Data: `{"actorId":"ann","entity":"poll","messageId":"m1"}`, At: now(),
		})
	}
	return map[string]func() ports.NewEvent{
		"reactions to m1":             func() ports.NewEvent { return reacted(c, "m1", bob) },
		"reactions to a UUID":         func() ports.NewEvent { return reacted(c, longMessage, ann) },
		"edits of m1":                 func() ports.NewEvent { return edited(c, "m1", ann) },
		"edits of a UUID":             func() ports.NewEvent { return edited(c, longMessage, ann) },
		"receipts":                    func() ports.NewEvent { return read(c, "m1", ann, 1) },
		"receipts of another":         func() ports.NewEvent { return read(c, "m1", bob, 1) },
		"receipts of an odd user":     func() ports.NewEvent { return read(c, "m1", `odd|"{user}`, 1) },
		"messages":                    func() ports.NewEvent { return message(ann) },
		"messages of another":         func() ports.NewEvent { return message(bob, ann) },
		"messages of an odd user":     func() ports.NewEvent { return message(`odd|"{user}`) },
		"titles":                      func() ports.NewEvent { return renamed(c, "ann") },
		"memberships":                 func() ports.NewEvent { return added(c, bob) },
		"roles":                       func() ports.NewEvent { return owned(c, bob) },
		"custom events":               func() ports.NewEvent { return own("poll") },
		"custom events of no entity":  func() ports.NewEvent { return NewEvent(own("").Event, domain.CustomEntity("other")) },
		"receipts of a custom entity": func() ports.NewEvent { return NewEvent(read(c, "m1", bob, 1).Event, domain.CustomEntity("poll")) },
	}
}

// testLoadUntil loads entities as of seqs that lie many of their events back: events that come in runs of one kind, and mixed.
func testLoadUntil(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	kinds := untilKinds(c)
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	batch := []ports.NewEvent{created(c), sent(c, "m1", ann), sent(c, longMessage, bob), added(c, bob)}
	var head domain.Seq
	for head < 4_000 {
		mixed := names[:1+rand.IntN(len(names))]
		for range 1 << rand.IntN(9) {
			batch = append(batch, kinds[mixed[rand.IntN(len(mixed))]]())
		}
		rand.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
		head = h.append(then(batch...)).Last
		batch = nil
	}
	entities := []domain.Entity{
		domain.ChatEntity(), domain.MemberEntity(ann), domain.MemberEntity(bob), domain.MessageEntity("m1"), domain.MessageEntity(longMessage),
		domain.ReactionsEntity("m1"), domain.ReactionsEntity(longMessage), domain.ReadEntity(ann), domain.ReadEntity(bob), domain.ReadEntity(`odd|"{user}`),
		domain.ReceiptEntity(ann), domain.ReceiptEntity(bob), domain.CustomEntity("poll"), domain.CustomEntity("other"),
	}
	for range 40 {
		until := domain.Seq(1 + rand.Uint64N(1<<rand.IntN(13)))
		var wants []ports.LoadRequest
		for _, e := range entities {
			wants = append(wants, ports.LoadRequest{Entity: e, Until: until, Latest: true})
		}
		e := entities[rand.IntN(len(entities))]
		wants = append(wants, ports.LoadRequest{Entity: e, Until: until}, ports.LoadRequest{Entity: e})
		h.checkLoad(c, wants...)
	}
}
