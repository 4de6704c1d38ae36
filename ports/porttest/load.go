package porttest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"golang.org/x/sync/errgroup"

	"chatcore/domain"
	"chatcore/ports"
)

func testEntities(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	if loaded := h.load(c, ports.LoadRequest{Entity: domain.ChatEntity()}, ports.LoadRequest{Entity: domain.MemberEntity(ann)}); loaded.Entities[0].Version != 1 ||
		loaded.Entities[1].Version != 1 || loaded.Head != 1 {
		t.Fatalf("a new chat is %+v, want chat and member at version 1", loaded)
	}
	h.append(then(added(c, bob), sent(c, "m1", ann), sent(c, "m2", bob)))
	h.append(then(edited(c, "m1", ann)))
	h.append(then(reacted(c, "m1", bob), reacted(c, "m2", ann), reacted(c, "m1", ann)))
	h.append(then(owned(c, bob)))
	h.append(then(read(c, "m2", ann, 4)))
	h.append(then(deleted(c, "m1", ann)))
	h.verify()
	entities := []domain.Entity{
		domain.MessageEntity("absent"), domain.ReadEntity(ann), domain.MessageEntity("m1"), domain.ChatEntity(), domain.MemberEntity(bob),
		domain.ReactionsEntity("m1"), domain.ReactionsEntity("absent"), domain.MessageEntity("m1"), domain.CommandEntity(ann, "absent"),
	}
	for after := range h.history(c).head() + 2 {
		var wants []ports.LoadRequest
		for _, e := range entities {
			wants = append(wants, ports.LoadRequest{Entity: e, After: after}, ports.LoadRequest{Entity: e, After: after, Latest: true})
		}
		h.checkLoad(c, wants...)
	}
	h.checkLoad(c)
}

// testLateReceipt has receipts arrive after a later message, and after a later receipt, of the same user: the highest one determines the mark.
func testLateReceipt(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	mark := domain.ReadEntity(ann)
	expect := func(want domain.Seq, events int) {
		t.Helper()
		latest := h.load(c, ports.LoadRequest{Entity: mark, Latest: true}).Entities[0]
		if s, _ := folded(c, mark, latest.Events).(*domain.ReadMark); s.Seq != want || len(latest.Events) != events {
			t.Errorf("the mark is at %d by %d events, want %d by %d", s.Seq, len(latest.Events), want, events)
		}
		for until := range h.history(c).head() {
			h.checkLoad(c, ports.LoadRequest{Entity: mark, Latest: true, Until: until + 1})
		}
		h.verify()
	}
	h.append(then(created(c), sent(c, "m1", bob), sent(c, "m2", bob), sent(c, "m3", bob))) // 2, 3, 4
	h.append(then(read(c, "m1", ann, 2)))
	expect(2, 1)
	h.append(then(read(c, "m3", ann, 4), read(c, "m2", ann, 3)))
	expect(4, 3)
	h.append(then(sent(c, "m4", ann))) // 8
	expect(8, 1)
	h.append(then(NewEvent(domain.ReadReceipt{Chat: c, User: ann, Message: "m3", ReadSeq: 4, At: now()}, domain.CustomEntity("late"))))
	expect(8, 2)
	h.checkLoad(c, ports.LoadRequest{Entity: domain.CustomEntity("late"), Latest: true})
	h.checkLoad(c, ports.LoadRequest{Entity: domain.ReceiptEntity(ann), Latest: true}, ports.LoadRequest{Entity: domain.ReceiptEntity(ann)})
	h.append(then(read(c, "m4", ann, 8), read(c, "m4", ann, 8)))
	expect(8, 3)
}

// testContentIsNoReceipt has content of every kind that looks like a receipt's fields: only the type of an event determines its kind.
func testContentIsNoReceipt(t *testing.T, log Log) {
	const hostile = `{"type":"read:receipt","v":1,"timestamp":"x","seq":1,"ordinal":1,"readSeq":0}`
	for name, e := range map[string]domain.MessageNew{
		"client meta": {ClientMeta: hostile}, "content": {Content: hostile}, "mentions": {Mentions: []domain.UserID{hostile}},
		"attachment": {Attachments: []domain.Attachment{{Name: hostile, URL: hostile}}}, "message id": {Message: hostile}, "sender": {Sender: hostile},
	} {
		h, c := newHarness(t, log), NewChatID()
		e.Chat, e.At, e.Sender = c, now(), cmp.Or(e.Sender, ann)
		h.append(then(created(c)))
		for i := range 20 {
			m := e
			m.Message = domain.MessageID(fmt.Sprint(e.Message, i))
			event := NewEvent(m)
			event.ID += domain.EventID(`"readSeq":0`)
			event.Meta = ports.Meta{CorrelationID: hostile, TraceParent: hostile, CausationID: hostile}
			h.append(then(event))
		}
		mark := domain.ReadEntity(e.Sender)
		if latest := h.load(c, ports.LoadRequest{Entity: mark, Latest: true}).Entities[0]; len(latest.Events) != 1 {
			t.Errorf("%s: the read mark takes %d events, want 1", name, len(latest.Events))
		}
		h.append(then(read(c, domain.MessageID(fmt.Sprint(e.Message, 1)), e.Sender, 2)))
		h.verify()
	}
}

// testNetReactions toggles reactions: a net load folds into the same state as a whole one, and does not grow with the toggles.
func testNetReactions(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "m", ann)))
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // reproducible
	users, emoji := []domain.UserID{ann, bob, `odd|"action":"remove"`}, []domain.Emoji{"👍", "🎉"}
	reactions := domain.ReactionsEntity("m")
	var batch []ports.Append
	for i := range 200 {
		e := domain.MessageReaction{Chat: c, Message: "m", User: users[random.IntN(3)], Emoji: emoji[random.IntN(2)], Action: domain.ReactionAdd, At: now()}
		if random.IntN(2) == 0 {
			e.Action = domain.ReactionRemove
		}
		if batch = append(batch, then(NewEvent(e))); i%20 == 19 {
			h.appendBatch(batch...)
			batch = nil
		}
	}
	for _, after := range []domain.Seq{0, 50, 199, 202} {
		whole := h.load(c, ports.LoadRequest{Entity: reactions, After: after}).Entities[0]
		net := h.load(c, ports.LoadRequest{Entity: reactions, After: after, Net: true}).Entities[0]
		base := folded(c, reactions, h.history(c).entity(ports.LoadRequest{Entity: reactions, Until: max(after, 1)}).Events)
		a, b := base.Clone(), base.Clone()
		for _, r := range whole.Events {
			a.Apply(r.Seq, r.Event)
		}
		for _, r := range net.Events {
			b.Apply(r.Seq, r.Event)
		}
		x, _ := a.(*domain.Reactions)
		y, _ := b.(*domain.Reactions)
		if !reflect.DeepEqual(x.Groups(), y.Groups()) || net.Version != whole.Version {
			t.Errorf("after %d: %+v, want %+v", after, y.Groups(), x.Groups())
		}
		if len(net.Events)+net.Undone != len(whole.Events) || after == 0 && len(net.Events) > 60 {
			t.Errorf("after %d: %d events and %d left out of %d", after, len(net.Events), net.Undone, len(whole.Events))
		}
	}
	h.verify()
}

func testLongHistory(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), sent(c, "hot", ann), sent(c, "warm", ann)))
	const reactions = 600
	var batch []ports.Append
	for i := range reactions {
		events := []ports.NewEvent{reacted(c, "hot", domain.UserID(fmt.Sprintf("user-%d", i)))}
		if i%2 == 0 {
			events = append(events, reacted(c, "warm", bob))
		}
		if batch = append(batch, then(events...)); len(batch) == 100 {
			h.appendBatch(batch...)
			batch = nil
		}
	}
	hot, warm := domain.ReactionsEntity("hot"), domain.ReactionsEntity("warm")
	if n := len(h.load(c, ports.LoadRequest{Entity: hot}).Entities[0].Events); n != reactions {
		t.Fatalf("the message has %d reactions, want %d", n, reactions)
	}
	head := h.history(c).head()
	for _, after := range []domain.Seq{0, 1, 3, 4, head / 2, head - 500, head - 300, head - 1, head} {
		h.checkLoad(c, ports.LoadRequest{Entity: hot, After: after}, ports.LoadRequest{Entity: domain.MessageEntity("hot")})
	}
	h.checkLoad(c,
		ports.LoadRequest{Entity: warm}, ports.LoadRequest{Entity: hot, Latest: true}, ports.LoadRequest{Entity: hot}, ports.LoadRequest{Entity: domain.ChatEntity()},
		ports.LoadRequest{Entity: warm, After: head - 10}, ports.LoadRequest{Entity: domain.MessageEntity("absent")},
	)
	h.verify()
}

// testLoadMoment moves chat and member together: a load of both must return both at one version.
func testLoadMoment(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), owned(c, bob)))
	ctx, cancel := h.bounded()
	defer cancel()
	var writers errgroup.Group
	for range 4 {
		writers.Go(func() error {
			for range 25 {
				if _, err := log.Append(ctx, then(owned(c, bob), read(c, "m", ann, 1))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	done := make(chan struct{})
	var readers errgroup.Group
	readers.Go(func() error {
		for {
			loaded, err := log.Load(ctx, c,
				ports.LoadRequest{Entity: domain.ChatEntity(), After: 1}, ports.LoadRequest{Entity: domain.ReadEntity(ann), Latest: true},
				ports.LoadRequest{Entity: domain.MemberEntity(bob)},
			)
			if err != nil {
				return err
			}
			chat, mark, member := loaded.Entities[0], loaded.Entities[1], loaded.Entities[2]
			switch {
			case chat.Version != member.Version || len(chat.Events) != len(member.Events):
				return fmt.Errorf("chat at %d of %d events, member at %d of %d", chat.Version, len(chat.Events), member.Version, len(member.Events))
			case chat.Events[len(chat.Events)-1].Seq != chat.Version:
				return errors.New("a history does not end at its version")
			case mark.Version != 0 && mark.Version != chat.Version+1, loaded.Head != max(chat.Version, mark.Version):
				return fmt.Errorf("chat at %d, mark at %d, head %d", chat.Version, mark.Version, loaded.Head)
			}
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	close(done)
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
}
