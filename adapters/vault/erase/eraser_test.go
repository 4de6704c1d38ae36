package erase_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatcore/adapters/memory"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	log    = "log"
	secret = "kept-from-all"
)

// rig is a vault with two sealed segments of the chat room, of which every event is a message with the secret.
type rig struct {
	t     *testing.T
	vault *memory.Vault
	codec *object.Codec
	now   time.Time
	ids   map[domain.Seq]domain.EventID
	root  object.Root
}

func newRig(t *testing.T) *rig {
	t.Helper()
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, vault: memory.NewVault(), codec: codec, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ids: make(map[domain.Seq]domain.EventID)}
	var previous object.Root
	for number := range uint64(2) {
		var events []object.Event
		for i := range object.SegmentEvents {
			events = append(events, r.event(domain.Seq(number*object.SegmentEvents)+domain.Seq(i)+1)) //nolint:gosec // small
		}
		segment, err := object.Seal(object.Segment(log, 0, "room", number, 0), events, object.EncodeIndex(nil), previous, [32]byte{byte(number)})
		if err != nil {
			t.Fatal(err)
		}
		previous = segment.Root()
		data, err := codec.EncodeSegment(segment)
		r.put(segment.Name, data, err)
		r.root = previous
	}
	return r
}

func (r *rig) event(seq domain.Seq) object.Event {
	id := domain.EventID(fmt.Sprint("e", seq))
	r.ids[seq] = id
	encoded, err := wireformat.New().Encode(id, domain.MessageNew{Chat: "room", Message: domain.MessageID(fmt.Sprint("m", seq)), Sender: "ada", Content: secret, At: r.now}, ports.Meta{})
	if err != nil {
		r.t.Fatal(err)
	}
	return object.Event{ID: id, Ordinal: domain.Ordinal(seq), JSON: encoded.Splice(seq, domain.Ordinal(seq))}
}

func (r *rig) put(name object.Name, data []byte, err error) {
	r.t.Helper()
	if err == nil {
		err = r.vault.Put(r.t.Context(), name.String(), data)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) eraser(vault ports.Vault) *erase.Eraser {
	return erase.New(erase.Config{Vault: vault, Codec: r.codec, Log: log, Partition: func(domain.ChatID) int { return 0 }, Now: func() time.Time { return r.now }})
}

func (r *rig) erasure(by domain.Seq, seqs ...domain.Seq) object.Erasure {
	erasure := object.Erasure{Chat: "room", By: by}
	for _, seq := range seqs {
		erasure.Events = append(erasure.Events, object.ErasedEvent{Seq: seq, ID: r.ids[seq]})
	}
	return erasure
}

// names returns the names of all objects with a prefix, without it.
func (r *rig) names(prefix string) (names []string) {
	r.t.Helper()
	for found, err := range r.vault.List(r.t.Context(), prefix, "") {
		if err != nil {
			r.t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(found.Name, prefix))
	}
	return names
}

// left returns the seqs of a segment's last generation that have the secret.
func (r *rig) left(number uint64) (seqs []domain.Seq) {
	r.t.Helper()
	var last object.Name
	for _, text := range r.names("") {
		if name, err := object.ParseName(text); err == nil && name.Kind == object.KindSegment && name.Number == number {
			last = name
		}
	}
	data, err := r.vault.Get(r.t.Context(), last.String(), 0, ports.WholeObject)
	if err != nil {
		r.t.Fatal(err)
	}
	segment, err := r.codec.DecodeSegment(last, data)
	if err != nil {
		r.t.Fatal(err)
	}
	if number == 1 && segment.Root() != r.root {
		r.t.Errorf("the root of %s has changed", last)
	}
	for i, event := range segment.Events {
		if bytes.Contains(event.JSON, []byte(secret)) {
			seqs = append(seqs, last.FirstSeq()+domain.Seq(i)) //nolint:gosec // an index
		}
	}
	return seqs
}

func statuses(places []ports.ErasurePlace) map[string]ports.ErasureStatus {
	all := make(map[string]ports.ErasureStatus)
	for _, p := range places {
		all[p.Place] = p.Status
	}
	return all
}

// TestEraser_RewritesSegments erases events of two segments. The roots stay, the generations before go after their grace, and a repetition changes nothing.
func TestEraser_RewritesSegments(t *testing.T) {
	r := newRig(t)
	e, erased := r.eraser(r.vault), r.erasure(3000, 7, 9, 1025)
	for range 2 { // also given again
		if err := e.Erase(t.Context(), erased); err != nil {
			t.Fatal(err)
		}
		if n := len(r.names("log/erasures/")); n != 1 {
			t.Errorf("there are %d lists", n)
		}
		if n := len(r.names("log/seg/")); n != 4 {
			t.Errorf("there are %d generations of two segments, want 4 before the grace has ended", n)
		}
	}
	for number, gone := range map[uint64]int{0: 2, 1: 1} {
		if n := len(r.left(number)); n != object.SegmentEvents-gone {
			t.Errorf("segment %d has %d events with content, want %d", number, n, object.SegmentEvents-gone)
		}
	}
	places, err := e.Verify(t.Context(), erase.Subject{Erasure: erased, At: r.now})
	if got := statuses(places); err != nil || got[erase.PlaceSegments] != ports.ErasurePending || got[erase.PlaceLists] != ports.ErasureDone || got[erase.PlaceUnfinished] != ports.ErasureUnreachable {
		t.Errorf("during the grace: %+v, error %v", places, err)
	}
	r.now = r.now.Add(erase.DefaultGrace)
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := r.names("log/seg/"); len(names) != 2 {
		t.Errorf("after the grace there are %q", names)
	}
	if places, err = e.Verify(t.Context(), erase.Subject{Erasure: erased, At: r.now}); err != nil || statuses(places)[erase.PlaceSegments] != ports.ErasureDone {
		t.Errorf("after the grace: %+v, error %v", places, err)
	}
	if err := e.Erase(t.Context(), r.erasure(3001, 8)); err != nil || len(r.left(0)) != object.SegmentEvents-3 {
		t.Errorf("a later erasure leaves %d events, error %v", len(r.left(0)), err)
	}
}

// TestEraser_Verify lists journals and tails before and after the erasure, and events that no list has.
func TestEraser_Verify(t *testing.T) {
	r := newRig(t)
	e, at := r.eraser(r.vault), r.now
	erased := r.erasure(3000, 7)
	journal := &object.JournalObject{Name: object.Journal(log, 5, 0), Flushed: uint64(at.UnixMilli())} //nolint:gosec // a time
	data, err := r.codec.EncodeJournal(journal)
	r.put(journal.Name, data, err)
	r.put(object.Tail(log, 0, uint64(at.UnixMilli()), 0), nil, nil) //nolint:gosec // a time
	places, err := e.Verify(t.Context(), erase.Subject{Erasure: erased, At: at})
	want := map[string]ports.ErasureStatus{
		erase.PlaceLists: ports.ErasurePending, erase.PlaceSegments: ports.ErasurePending, erase.PlaceForks: ports.ErasureDone, erase.PlaceJournals: ports.ErasurePending,
		erase.PlaceTails: ports.ErasurePending, erase.PlaceUnfinished: ports.ErasureUnreachable,
	}
	if err != nil || fmt.Sprint(statuses(places)) != fmt.Sprint(want) {
		t.Errorf("before the erasure: %+v, error %v", places, err)
	}
	for _, p := range places {
		if until := map[string]time.Duration{erase.PlaceJournals: erase.DefaultJournals + time.Hour, erase.PlaceTails: erase.DefaultTails}[p.Place]; until > 0 && !p.Until.Equal(at.Add(until)) {
			t.Errorf("%s is pending until %v", p.Place, p.Until)
		}
	}
	before := at.Add(-2 * time.Hour) // an erasure that all journals and tails are later than
	if places, err = e.Verify(t.Context(), erase.Subject{Erasure: erased, At: before}); err != nil || statuses(places)[erase.PlaceJournals] != ports.ErasureDone || statuses(places)[erase.PlaceTails] != ports.ErasureDone {
		t.Errorf("of an earlier erasure: %+v, error %v", places, err)
	}
}

// TestEraser_VerifyForks finds an event of the message that the log has lost, which no erasure names. Other events of the chat do not count, and neither do those without
// content.
func TestEraser_VerifyForks(t *testing.T) {
	for name, test := range map[string]struct {
		lost object.Event
		want ports.ErasureStatus
	}{
		"of the message":      {newRig(t).event(7), ports.ErasurePending},
		"of another message":  {newRig(t).event(8), ports.ErasureDone},
		"of a later program":  {object.Event{ID: "e", JSON: []byte(`{"eventId":"e","type":"message:new","v":9,"seq":7}`)}, ports.ErasurePending},
		"without any content": {object.Event{ID: "e", JSON: []byte(`{"eventId":"e","type":"read:receipt","v":1,"seq":7}`)}, ports.ErasureDone},
	} {
		r := newRig(t)
		fork := &object.ForkObject{Name: object.Fork(log, 0, 0), At: 1, History: "b", Superseded: []string{"a"}, Chats: []object.ForkedChat{{Chat: "room", Head: 6, Lost: []object.Event{test.lost}}}}
		data, err := r.codec.EncodeFork(fork)
		r.put(fork.Name, data, err)
		places, err := r.eraser(r.vault).Verify(t.Context(), erase.Subject{Erasure: object.Erasure{Chat: "room", By: 9}, Message: "m7", At: r.now})
		if got := statuses(places)[erase.PlaceForks]; err != nil || got != test.want {
			t.Errorf("%s: %v, error %v, want %v", name, got, err, test.want)
		}
	}
}

// TestEraser_Collect deletes generations that a process has left which has ended, after a grace of their own.
func TestEraser_Collect(t *testing.T) {
	r := newRig(t)
	if err := r.eraser(r.vault).Erase(t.Context(), r.erasure(3000, 7)); err != nil {
		t.Fatal(err)
	}
	next := r.eraser(r.vault)
	for _, want := range []int{3, 3, 2} {
		if err := next.Collect(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if names := r.names("log/seg/"); len(names) != want {
			t.Errorf("there are the generations %v, want %d", names, want)
		}
		r.now = r.now.Add(erase.DefaultGrace / 2)
	}
	if n := len(r.left(0)); n != object.SegmentEvents-1 {
		t.Errorf("%d events of the last generation have content", n)
	}
}

// TestEraser_RefusesOtherEvents names another event than the segment has.
func TestEraser_RefusesOtherEvents(t *testing.T) {
	r := newRig(t)
	erased := r.erasure(3000, 7)
	erased.Events[0].ID = "other"
	if err := r.eraser(r.vault).Erase(t.Context(), erased); !errors.Is(err, ports.ErrCorrupt) || len(r.left(0)) != object.SegmentEvents {
		t.Errorf("the erasure gave %v", err)
	}
	unsealed := object.Erasure{Chat: "room", By: 3001, Events: []object.ErasedEvent{{Seq: 2049, ID: "e2049"}}}
	if err := r.eraser(r.vault).Erase(t.Context(), unsealed); err != nil {
		t.Errorf("the erasure of an event that is not sealed yet gave %v", err)
	}
}

// rival writes a generation of its own before each first Put of a segment.
type rival struct {
	*memory.Vault
	before func()
}

func (v *rival) Put(ctx context.Context, name string, body []byte) error {
	if before := v.before; before != nil && strings.Contains(name, "/seg/") {
		v.before = nil
		before()
	}
	return v.Vault.Put(ctx, name, body)
}

// TestEraser_Rivals has two processes rewrite one segment at a time. Neither erasure is lost.
func TestEraser_Rivals(t *testing.T) {
	r := newRig(t)
	vault := &rival{Vault: r.vault}
	vault.before = func() {
		if err := r.eraser(r.vault).Erase(t.Context(), r.erasure(3001, 8)); err != nil {
			t.Error(err)
		}
	}
	if err := r.eraser(vault).Erase(t.Context(), r.erasure(3000, 7)); err != nil {
		t.Fatal(err)
	}
	if n := len(r.left(0)); n != object.SegmentEvents-2 {
		t.Errorf("%d events have content, want two less than all", n)
	}
}

// TestEraser_Handler erases in the log and then, by its deliveries, in the vault.
func TestEraser_Handler(t *testing.T) {
	r := newRig(t)
	source := memory.New(wireformat.New(), nil, nil)
	add := func(id domain.EventID, e domain.Durable) ports.NewEvent {
		return ports.NewEvent{ID: id, Event: e, Moves: domain.Moves(e)}
	}
	sent := add("e1", domain.MessageNew{Chat: "room", Message: "m", Sender: "ada", Content: secret, At: r.now})
	if _, err := source.Append(t.Context(), ports.Append{Chat: "room", Events: []ports.NewEvent{sent}}); err != nil {
		t.Fatal(err)
	}
	erased := domain.MessageErased{Chat: "room", Message: "m", Sent: 1, By: "ada", At: r.now}
	if _, err := source.Erase(t.Context(), ports.Erasure{Append: ports.Append{Chat: "room", Events: []ports.NewEvent{add("e2", erased)}}, Message: "m"}); err != nil {
		t.Fatal(err)
	}
	handle := r.eraser(r.vault).Handler(source)
	if err := handle(t.Context(), []ports.Delivery{{ID: ports.DeliveryID{Chat: "room", Seq: 1}, Event: sent.Event}, {ID: ports.DeliveryID{Chat: "room", Seq: 2}, Event: erased}}); err != nil {
		t.Fatal(err)
	}
	if left := r.left(0); len(left) != object.SegmentEvents-1 || left[0] != 2 {
		t.Errorf("%d events have content, the first at %d", len(left), left[0])
	}
}
