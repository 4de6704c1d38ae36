package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// testSearch compares searches with a plain fold. The chat has messages close together, alone and far apart, across the ends of the parts that an
// adapter may split a chat into.
func testSearch(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c)))
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // reproducible
	users := []domain.UserID{ann, bob, `odd|"{user}`}
	var batch []ports.Append
	for m := 0; h.history(c).head() < 12_000; m++ {
		id := domain.MessageID(fmt.Sprint("m", m))
		message := sent(c, id, users[random.IntN(len(users))])
		e, _ := message.Event.(domain.MessageNew)
		e.ClientMeta, e.Mentions = `{"actorId":"bob","userId":"bob","type":"message:new","ordinal":7}`, []domain.UserID{bob, ann}
		message.Event = e
		events := []ports.NewEvent{message}
		if m%3 == 0 {
			events = append(events, deleted(c, id, ann))
		}
		if m%40 == 0 {
			events = append(events, reacted(c, id, "rare"))
		}
		if m%7 == 0 {
			for range random.IntN(300) {
				events = append(events, reacted(c, id, users[random.IntN(len(users))]))
			}
		}
		events = append(events, NewEvent(domain.Custom{Chat: c, Type: "team:x", Version: 1, Actor: users[m%3], Data: `{"actorId":"ann"}`, At: now()}))
		if batch = append(batch, then(events...)); len(batch) == 20 {
			h.appendBatch(batch...)
			batch = nil
		}
	}
	head := h.history(c).head()
	filters := []ports.Filter{{Messages: true}, {Tombstones: true}, {User: ann}, {User: `odd|"{user}`}, {User: "rare"}, {User: "absent"}}
	for _, f := range filters {
		for _, from := range []domain.Seq{0, 1, 2, 1024, 1025, 2048, head / 2, head - 1, head, head + 1, head + 5000} {
			for _, until := range []domain.Seq{0, 1, 1500, head, head + 1} {
				for _, backward := range []bool{false, true} {
					h.checkSearch(c, f, ports.Range{From: from, Limit: 1 + random.IntN(40), Backward: backward, Until: until})
				}
			}
		}
		h.checkSearch(c, f, ports.Range{Limit: ports.MaxPage})
		h.checkSearch(c, f, ports.Range{Limit: ports.MaxPage, Backward: true})
		h.checkSearch(NewChatID(), f, ports.Range{Limit: 5})
	}
	var invalid *domain.InvalidError
	for _, f := range []ports.Filter{{}, {Messages: true, User: ann}} {
		if _, err := log.Search(t.Context(), c, f, ports.Range{Limit: 1}); !errors.As(err, &invalid) {
			t.Errorf("filter %+v gave the error %v, want an InvalidError", f, err)
		}
	}
	if _, err := log.Search(t.Context(), c, filters[0], ports.Range{}); !errors.As(err, &invalid) {
		t.Errorf("limit 0 gave the error %v, want an InvalidError", err)
	}
}
