package archive_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// objectsOf returns the names of the objects of a kind.
func objectsOf(t *testing.T, v ports.Vault, kind object.Kind) (names []object.Name) {
	t.Helper()
	for o, err := range v.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil {
			t.Fatal(err)
		}
		if name.Kind == kind {
			names = append(names, name)
		}
	}
	return names
}

// TestArchiver_RestoresEveryMomentItKeeps archives for weeks, and checks which objects are left: those that a state of the last week needs, and no more.
func TestArchiver_RestoresEveryMomentItKeeps(t *testing.T) {
	w, ctx := newWorld(), t.Context()
	p := w.owner()
	if err := p.archiver.Maintain(ctx, true); err != nil {
		t.Fatal(err)
	}
	for range 30 * 4 {
		w.log.append("a", 30)
		w.log.advance(6 * time.Hour)
		w.fetch(p, 5000)
		if err := errors.Join(w.handle(ctx, p), p.archiver.Maintain(ctx, false), p.archiver.Retain(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	w.check(t)
	cut := uint64(w.log.Now().Add(-7 * 24 * time.Hour).UnixMilli())
	s, err := readVault(ctx, w.objects, fakeLogID)
	if err != nil {
		t.Fatal(err)
	}
	full, state := uint64(0), uint64(0) // the last ones that were complete a week ago
	for _, part := range s.tails {
		if part.Last && part.Ended <= cut {
			state = part.Name.Time
			if part.Full {
				full = part.Name.Time
			}
		}
	}
	if full == 0 || s.tails[0].Name.Time != full {
		t.Errorf("the first tail is of %d, the last full one that was complete a week ago of %d", s.tails[0].Name.Time, full)
	}
	first := s.journals[0].Flushed
	if first > state || first < state-min(state, 15*24*3600*1000) {
		t.Errorf("the first journal is of %d, and the last tail that was complete a week ago of %d", first, state)
	}
	if n := len(s.journals); n < 7*4 || n > 15*4 {
		t.Errorf("%d journals are left", n)
	}
	if n := len(s.tails); n < 7 || n > 16 {
		t.Errorf("%d parts of tails are left", n)
	}
	if n := len(s.segments["a"]); n != 3 {
		t.Errorf("%d segments of 3,600 events", n)
	}
}

// TestArchiver_TwoOfOneMillisecond has two archivers begin at the same moment: the second one takes another epoch.
func TestArchiver_TwoOfOneMillisecond(t *testing.T) {
	w, ctx := newWorld(), t.Context()
	w.log.append("a", 3)
	first := w.owner()
	w.fetch(first, 2)
	w.takeOver()
	w.fetch(w.owner(), 3)
	if err := errors.Join(w.handle(ctx, first), w.handle(ctx, w.owner())); err != nil {
		t.Fatal(err)
	}
	names := objectsOf(t, w.objects, object.KindJournal)
	if len(names) != 2 || names[1].Epoch != names[0].Epoch+1 || names[0].Number+names[1].Number != 0 {
		t.Errorf("the journals are %v", names)
	}
	w.quiesce(t)
	w.check(t)
}

// TestArchiver_LostAnswers checks that an object that was stored without an answer is a part of the chain, and that one that was not is not stored again.
func TestArchiver_LostAnswers(t *testing.T) {
	for name, fail := range map[string]func(*faulty){
		"stored":     func(v *faulty) { v.after = 1 },
		"not stored": func(v *faulty) { v.before = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, ctx := newWorld(), t.Context()
			p := w.owner()
			for i := range 3 {
				w.log.append("a", 1)
				w.fetch(p, 10)
				if i == 1 {
					fail(p.vault)
					if err := w.handle(ctx, p); !errors.Is(err, ports.ErrUnavailable) {
						t.Fatalf("the error is %v", err)
					}
					w.log.append("a", 1) // the next object has more
					w.fetch(p, 10)
				}
				if err := w.handle(ctx, p); err != nil {
					t.Fatal(err)
				}
			}
			var numbers []uint64
			for _, n := range objectsOf(t, w.objects, object.KindJournal) {
				numbers = append(numbers, n.Number)
			}
			want := []uint64{0, 1, 2}
			if name == "stored" {
				want = append(want, 3)
			}
			if !slices.Equal(numbers, want) {
				t.Errorf("the journals have the numbers %v, want %v", numbers, want)
			}
			w.quiesce(t)
			w.check(t)
		})
	}
}

// TestArchiver_KeepsLostEvents loses the end of a chat whose last segment was sealed.
func TestArchiver_KeepsLostEvents(t *testing.T) {
	w, ctx := newWorld(), t.Context()
	w.log.append("a", 1000)
	w.quiesce(t)
	w.log.replicate()
	w.log.append("a", 1100)
	w.quiesce(t)
	if n := len(objectsOf(t, w.objects, object.KindSegment)); n != 2 {
		t.Fatalf("%d segments are sealed", n)
	}
	w.log.failover()
	w.log.append("a", 10)
	w.quiesce(t)
	s := w.check(t)
	if n := len(s.lost()); n != 1100 || len(s.segments["a"]) != 0 {
		t.Errorf("%d events are lost, %d segments are left", n, len(s.segments["a"]))
	}
	next := domain.Seq(1001)
	for e, err := range w.owner().archiver.Lost(ctx) {
		if err != nil || e.Chat != "a" || e.Seq != next || e.Partition != 0 || len(e.JSON) == 0 {
			t.Fatalf("a lost event is %+v, %v", e, err)
		}
		next++
	}
	if next != 2101 || w.owner().archiver.Stats().Lost != 1100 {
		t.Errorf("the last lost event has seq %d, %+v", next-1, w.owner().archiver.Stats())
	}
}

// TestArchiver_OtherLogs checks what is refused: a vault that has the log with another number of partitions, and a final backup beside other processes.
func TestArchiver_OtherLogs(t *testing.T) {
	w, ctx := newWorld(), t.Context()
	other := memory.NewVault()
	m, err := object.EncodeManifest(&object.ManifestObject{Name: object.Manifest(fakeLogID, 0), Log: fakeLogID, Partitions: 2, Hash: "h"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Put(ctx, object.Manifest(fakeLogID, 0).String(), m); err != nil {
		t.Fatal(err)
	}
	a := newArchiver(w.log, other)
	if err := a.Maintain(ctx, true); !errors.Is(err, domain.ErrInvalid) || !errors.Is(a.Err(), domain.ErrInvalid) {
		t.Errorf("another number of partitions gives %v, afterwards %v", err, a.Err())
	}
	w.log.members = 2
	if err := w.owner().archiver.Close(ctx); !errors.Is(err, archive.ErrShared) {
		t.Errorf("a final backup beside another process gives %v", err)
	}
}

// TestArchiver_Backup waits for the group, and writes a tail with the checkpoints of the others.
func TestArchiver_Backup(t *testing.T) {
	w := newWorld()
	p := w.owner()
	w.log.append("a", 5)
	ctx := t.Context()
	backup := make(chan error, 1)
	begun := make(chan int, 100)
	go func() {
		backup <- p.archiver.Backup(ctx, func(_ archive.BackupStep, done, _ int) { begun <- done })
	}()
	if done := <-begun; done != 0 {
		t.Errorf("%d partitions are done at the beginning", done)
	}
	w.fetch(p, 10)
	if err := w.handle(ctx, p); err != nil {
		t.Fatal(err)
	}
	if err := <-backup; err != nil {
		t.Fatal(err)
	}
	s := w.check(t)
	tail := s.tails[len(s.tails)-1]
	if !tail.Full || !tail.Last || len(tail.Chats) != 1 || tail.Chats[0].Head != 5 || len(tail.Groups) != 1 || tail.Groups[0].Group != "other" ||
		!slices.Equal(tail.Groups[0].Checkpoints, []object.Checkpoint{{Chat: "a", Seq: 4}}) {
		t.Errorf("the tail is %+v", tail)
	}
}

// TestArchiver_StaysClosed has a pass of maintenance go on after the log was closed, and then an event come: only the event opens the log again.
func TestArchiver_StaysClosed(t *testing.T) {
	w, ctx := newWorld(), t.Context()
	p := w.owner()
	closed := func() bool {
		manifests := w.check(t).manifests
		return manifests[len(manifests)-1].Closed > 0
	}
	if err := errors.Join(p.archiver.Maintain(ctx, true), p.archiver.Close(ctx), p.archiver.Maintain(ctx, false)); err != nil {
		t.Fatal(err)
	}
	if !closed() {
		t.Error("a pass without an event has opened the log")
	}
	w.log.append("a", 1)
	w.fetch(p, 10)
	if err := w.handle(ctx, p); err != nil {
		t.Fatal(err)
	}
	if closed() {
		t.Error("the log is closed after an event")
	}
}

// TestArchiver_ErasureWhileItSeals erases an event after the archiver has read a segment, and before the vault has it: the segment that is sealed has the erased form.
func TestArchiver_ErasureWhileItSeals(t *testing.T) {
	w := newWorld()
	p := w.owner()
	w.log.append("a", 1100)
	erased := 0
	p.vault.put = func(name string) {
		if parsed, err := object.ParseName(name); err == nil && parsed.Kind == object.KindSegment {
			if erased++; erased == 1 {
				w.log.erase("a", 7)
			}
		}
	}
	w.fetch(p, 5000)
	if err := w.handle(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := p.archiver.Maintain(t.Context(), true); err != nil && !errors.Is(err, ports.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	names := objectsOf(t, w.objects, object.KindSegment)
	if len(names) != 1 || erased != 2 {
		t.Fatalf("the segments are %v, %d were stored", names, erased)
	}
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	data, err := w.objects.Get(t.Context(), names[0].String(), 0, ports.WholeObject)
	if err != nil {
		t.Fatal(err)
	}
	segment, err := codec.DecodeSegment(names[0], data)
	if err != nil || !strings.Contains(string(segment.Events[6].JSON), `"erased":true`) {
		t.Errorf("the event is %s, error %v", segment.Events[6].JSON, err)
	}
}
