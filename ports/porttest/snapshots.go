package porttest

import (
	"fmt"
	"reflect"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// testSnapshots saves snapshots of entities with many events, and loads the entities from them.
func testSnapshots(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	h.append(then(created(c), added(c, bob), sent(c, "m", ann)))
	for i := range 300 {
		user := domain.UserID(fmt.Sprint("user-", i))
		h.append(then(reacted(c, "m", user), renamed(c, domain.Title(fmt.Sprint(i))), owned(c, bob), edited(c, "m", ann)))
	}
	for _, e := range []domain.Entity{domain.ReactionsEntity("m"), domain.ChatEntity(), domain.MemberEntity(bob), domain.MessageEntity("m")} {
		all := h.history(c).entity(ports.LoadRequest{Entity: e}).Events
		at := len(all) - 7
		version := all[at-1].Seq
		h.keep(c, e, version, folded(c, e, all[:at]))
		h.keep(c, e, all[3].Seq, folded(c, e, all[:4])) // an older snapshot changes nothing

		got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]
		if got.Version != all[len(all)-1].Seq || got.Snapshot.Version != version || got.Snapshot.State == nil {
			t.Fatalf("%s is at %d from a snapshot at %d, want %d from %d", e, got.Version, got.Snapshot.Version, all[len(all)-1].Seq, version)
		}
		h.checkRecords(got.Events, all[at:])
		state := got.Snapshot.State.Clone()
		for _, r := range got.Events {
			state.Apply(r.Seq, r.Event)
		}
		if want := folded(c, e, all); !equal(state, want) {
			t.Errorf("%s from its snapshot is\n%+v, want\n%+v", e, state, want)
		}

		h.checkLoad(c, ports.LoadRequest{Entity: e, Whole: true}, ports.LoadRequest{Entity: e, After: version}, ports.LoadRequest{Entity: e, Latest: true})
		near, far := max(version-256, 1), max(version-257, 0) // known versions before the snapshot
		h.checkLoad(c, ports.LoadRequest{Entity: e, After: near}, ports.LoadRequest{Entity: e, After: version - 1})
		if got := h.load(c, ports.LoadRequest{Entity: e, After: near}).Entities[0]; got.Snapshot.State != nil {
			t.Errorf("%s after %d is loaded from a snapshot at %d, want its events alone", e, near, version)
		}
		if got := h.load(c, ports.LoadRequest{Entity: e, After: far}).Entities[0]; got.Snapshot.Version != version {
			t.Errorf("%s after %d is loaded from a snapshot at %d, want %d", e, far, got.Snapshot.Version, version)
		}
		early := h.load(c, ports.LoadRequest{Entity: e, Until: version - 1}).Entities[0]
		if early.Snapshot.State != nil || len(early.Events) != at-1 {
			t.Errorf("%s before its snapshot has %d events, want %d", e, len(early.Events), at-1)
		}
		late := h.load(c, ports.LoadRequest{Entity: e, Until: all[at].Seq}).Entities[0]
		if late.Version != all[at].Seq || late.Snapshot.Version != version || len(late.Events) != 1 {
			t.Errorf("%s after its snapshot is at %d with %d events, want %d with 1", e, late.Version, len(late.Events), all[at].Seq)
		}
	}
	h.verify() // compares loads by entity with whole ones
}

// testEarlySnapshots offers a snapshot at a version that the chat has not reached: the log may have lost the events that it was made from. The
// snapshot must not be used when other events have reached that version.
func testEarlySnapshots(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	e := domain.ChatEntity()
	h.append(then(created(c)))
	for i := range 260 { // enough events for loads to use snapshots
		h.append(then(renamed(c, domain.Title(fmt.Sprint(i)))))
	}
	all := h.history(c).entity(ports.LoadRequest{Entity: e}).Events
	early := all[len(all)-1].Seq + 1
	h.keep(c, e, early, folded(c, e, append(all, ports.Record{Seq: early, Event: renamed(c, "lost").Event})))
	h.append(then(renamed(c, "kept"), renamed(c, "last")))
	got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]
	if got.Snapshot.State != nil || len(got.Events) != len(all)+2 {
		t.Errorf("the chat is loaded from %+v and %d events, want no snapshot and %d events", got.Snapshot, len(got.Events), len(all)+2)
	}
	h.keep(c, e, early, folded(c, e, h.history(c).entity(ports.LoadRequest{Entity: e}).Events[:len(all)+1]))
	if got := h.load(c, ports.LoadRequest{Entity: e}).Entities[0]; got.Snapshot.Version != early || len(got.Events) != 1 {
		t.Errorf("the chat is loaded from version %d and %d events, want %d and 1", got.Snapshot.Version, len(got.Events), early)
	}
	h.verify()
}

func (h *harness) keep(c domain.ChatID, e domain.Entity, version domain.Seq, s domain.State) {
	h.t.Helper()
	ctx, cancel := h.bounded()
	defer cancel()
	if err := h.log.SaveSnapshot(ctx, c, e, version, s); err != nil {
		h.t.Fatalf("keeping %s at %d: %v", e, version, err)
	}
}

func folded(c domain.ChatID, e domain.Entity, records []ports.Record) domain.State {
	s := domain.NewState(c, e)
	for _, r := range records {
		s.Apply(r.Seq, r.Event)
	}
	return s
}

func equal(a, b domain.State) bool {
	if x, ok := a.(*domain.Reactions); ok {
		y, ok := b.(*domain.Reactions)
		return ok && reflect.DeepEqual(x.Groups(), y.Groups())
	}
	return reflect.DeepEqual(a, b)
}
