package delivery

import (
	"testing"

	"chatcore/ports/groups"
)

// TestFetched_HalfEntries reads an entry that has a chat and no seq: it is unreadable on a stream that has a log, and one of another program on another stream.
func TestFetched_HalfEntries(t *testing.T) {
	for _, test := range []struct {
		partition          groups.Partition
		half               bool
		broken, wantBroken string
	}{
		{groups.Partition{Stream: "s"}, true, "", "the entry has half of chat and seq"},
		{groups.Partition{Stream: "s"}, true, "no metadata", "no metadata"},
		{groups.Partition{Stream: "s"}, false, "", ""},
		{groups.Partition{Stream: "s", Number: -1}, true, "", ""},
	} {
		m := New(Config{Concurrency: 1}, []groups.Partition{test.partition})
		p := m.Acquired(0, &groups.Lease{Epoch: 1, Left: map[string]groups.ChatState{}, Failing: map[string]groups.Progress{}}, epoch, epoch)
		r := &Record{Entry: groups.Entry{ID: groups.StreamID{Milliseconds: 1}, Chat: "ada", Half: test.half, Broken: test.broken}}
		if unknown := p.Fetched([]*Record{r}, r.ID, &Checkpoints{}); len(unknown) > 0 {
			t.Errorf("%+v: checkpoints of %v are needed", test, unknown)
		}
		if r.Broken != test.wantBroken {
			t.Errorf("%+v: the entry is broken by %q", test, r.Broken)
		}
	}
}
