package porttest

import (
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// NotedLog is a log with notes of its archivers, whose history can change.
type NotedLog interface {
	Log
	ports.VaultNotes
	ports.Histories
}

// VaultNotes tests the notes of a new log with one partition.
func VaultNotes(t *testing.T, log NotedLog) {
	ctx, history := t.Context(), log.History(t.Context())
	h, chat := newHarness(t, log), NewChatID()
	h.append(then(created(chat)))
	for h.history(chat).head() < 2*segment {
		var events []ports.NewEvent
		for range segment / 4 {
			events = append(events, sent(chat, domain.MessageID(rand.Text()), ann))
		}
		h.append(then(events...))
	}
	conflicts := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ports.ErrConflict) {
			t.Errorf("%s: the error is %v, want a conflict", what, err)
		}
	}
	sealed := func(want ...uint64) {
		t.Helper()
		got, err := log.SealedSegments(ctx, 0, []domain.ChatID{chat, "other"})
		total, failed := log.CountSealed(ctx, 0)
		if err = errors.Join(err, failed); err != nil || !slices.Equal(got, want) || total != want[0]+want[1] {
			t.Errorf("%v segments are sealed, %d of all chats, want %v; %v", got, total, want, err)
		}
	}
	if noted, err := log.ArchivedHistory(ctx, 0); noted != "" || err != nil {
		t.Errorf("a new log has the history %q noted, %v", noted, err)
	}
	sealed(0, 0)
	conflicts("another history", log.NoteHistory(ctx, 0, history+"0"))
	conflicts("another history", log.CheckHistory(ctx, 0, history+"0"))
	if err := log.CheckHistory(ctx, 0, history); err != nil {
		t.Error(err)
	}
	if noted, err := log.ArchivedHistory(ctx, 0); noted != "" || err != nil {
		t.Errorf("a check has noted the history %q, %v", noted, err)
	}
	if err := log.NoteHistory(ctx, 0, history); err != nil {
		t.Error(err)
	}
	if noted, err := log.ArchivedHistory(ctx, 0); noted != history || err != nil {
		t.Errorf("the noted history is %q, want %q; %v", noted, history, err)
	}
	conflicts("a chat without events", log.NoteSealed(ctx, 0, history, "other", 0, 1))
	conflicts("more segments than full ones", log.NoteSealed(ctx, 0, history, chat, 0, 3))
	conflicts("another number", log.NoteSealed(ctx, 0, history, chat, 1, 2))
	conflicts("segments of another history", log.NoteSealed(ctx, 0, history+"0", chat, 0, 1))
	sealed(0, 0)
	for _, step := range []struct{ from, to uint64 }{{0, 1}, {1, 2}, {2, 1}} {
		if err := log.NoteSealed(ctx, 0, history, chat, step.from, step.to); err != nil {
			t.Errorf("from %d to %d: %v", step.from, step.to, err)
		}
		sealed(step.to, 0)
	}
}

const segment = 1024 // events of a segment
