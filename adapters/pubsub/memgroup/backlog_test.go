package memgroup_test

import (
	"fmt"
	"testing"

	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestBacklog_ListHeads checks that each chat is in one partition.
func TestBacklog_ListHeads(t *testing.T) {
	r := newRig(t, 3)
	const chats = 30
	for i := range chats {
		r.send(fmt.Sprint("c", i), 2)
	}
	found := 0
	for _, p := range r.groups.Partitions() {
		heads, next, total, err := r.groups.Backlog().ListHeads(t.Context(), p.Number, 0)
		if err != nil || next != 0 || total != len(heads) || len(heads) == 0 {
			t.Fatalf("partition %d has %d heads, in all %d, and continues at %d: %v", p.Number, len(heads), total, next, err)
		}
		for _, h := range heads {
			if r.groups.PartitionOf(h.Chat) != p || h.Head != 2 {
				t.Errorf("partition %d has %+v", p.Number, h)
			}
		}
		found += len(heads)
	}
	if found != chats {
		t.Errorf("%d heads were listed, want %d", found, chats)
	}
}

// TestBacklog_ReadRaw checks that a page says which entry it is as of, and that there is none once an earlier entry was lost.
func TestBacklog_ReadRaw(t *testing.T) {
	r := newRig(t, 1)
	backlog, p := r.groups.Backlog(), r.groups.Partitions()[0]
	read := func(earlier string) (events int, witness string, err error) {
		t.Helper()
		pages, witness, err := backlog.ReadRaw(t.Context(), p.Number, earlier, []ports.EventRange{{Chat: "c", From: 2, Limit: 10}})
		if pages == nil {
			return -1, witness, err
		}
		return len(pages[0].Events), witness, err
	}
	if events, witness, err := read(""); events != 0 || witness != "" || err != nil {
		t.Errorf("the empty log gave %d events and the witness %q: %v", events, witness, err)
	}
	r.send("c", 3)
	events, witness, err := read("")
	var ids []groups.StreamID
	if _, err := r.groups.Lose(t.Context(), p, func(e groups.Entry) bool { ids = append(ids, e.ID); return false }); err != nil {
		t.Fatal(err)
	}
	if events != 2 || witness != ids[2].String() || err != nil {
		t.Errorf("there are %d events and the witness %q: %v", events, witness, err)
	}
	if events, _, err := read(witness); events != 2 || err != nil {
		t.Errorf("there are %d events after a known entry: %v", events, err)
	}
	r.remove(p, ids[2])
	if events, _, err := read(witness); events != -1 || err != nil {
		t.Errorf("there are %d events after a lost entry: %v", events, err)
	}
	if events, witness, err := read(ids[1].String()); events != 2 || witness != ids[1].String() || err != nil {
		t.Errorf("there are %d events and the witness %q: %v", events, witness, err)
	}
	if _, _, err := read("x"); err == nil {
		t.Error("an id that is none was accepted")
	}
	if page, err := backlog.CompareHeads(t.Context(), 0, "", 0, 10); err != nil || len(page.Ahead) != 0 {
		t.Errorf("comparing heads gave %+v: %v", page, err)
	}
}
