package projection

import (
	"maps"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// recount is a chat with counts that the events of a batch may have changed, and the counts to write.
type recount struct {
	batch       *ports.ChatBatch
	log         string
	chat        domain.ChatID
	first, last domain.Seq // of the deliveries that are done
	rebuild     uint64     // lease epoch of a rebuild, or 0

	later   bool                   // there are events after the counts that were written before
	all     bool                   // the counts of all members
	changed map[domain.UserID]bool // users with another mark or membership, and whether they have left
	joins   int                    // of members in the batch
	leaves  int

	head, latest domain.Seq      // as of which the first and the last of the counts are
	crowded      bool            // the chat has more present and former members than counts are kept of
	users        []domain.UserID // whose counts a scan has asked for
	members      int             // of the counted users, those that are members
	entries      []ports.UserEntry
	open         map[domain.UserID]bool // of the changed users, those without an entry
}

// newRecount returns what the deliveries of a batch that are done change. The counts that were written before have everything up to their seq, unless an
// earlier event comes late: the count of a user that left in it is removed.
func newRecount(b *ports.ChatBatch, before writtenChat) *recount {
	id := b.Deliveries[0].ID
	r := &recount{batch: b, log: id.Log, chat: id.Chat, first: id.Seq, changed: make(map[domain.UserID]bool)}
	for _, d := range b.Deliveries[:b.Done] {
		r.last = d.ID.Seq
		if d.ID.Seq == 1 {
			r.rebuild, r.all = d.Epoch, true
		}
		if r.first == 1 || d.ID.Seq > before.seq {
			r.apply(d.Event)
			r.later = true
		} else if e, _ := d.Event.(domain.ChatUpdate); e.Change == domain.MemberRemoved {
			r.changed[e.User] = true
		}
	}
	r.all = r.all || len(r.changed) > ports.MaxCountMembers || r.later && before.crowded && len(r.changed) > 0
	return r
}

// apply notes whose counts an event may change.
func (r *recount) apply(e domain.Durable) {
	switch e := e.(type) {
	case domain.MessageNew:
		r.all = r.all || e.InTimeline()
	case domain.MessageDelete:
		r.all = r.all || e.InTimeline()
	case domain.ReadReceipt:
		if _, known := r.changed[e.User]; !known {
			r.changed[e.User] = false
		}
	case domain.ChatSettings:
		if _, known := r.changed[e.User]; e.UnreadSeq != nil && !known {
			r.changed[e.User] = false
		}
	case domain.ChatUpdate:
		switch e.Change {
		case domain.Created:
			r.changed[e.Actor] = false
			r.joins++
		case domain.MemberAdded:
			r.changed[e.User] = false
			r.joins++
		case domain.MemberRemoved:
			r.changed[e.User] = true
			r.leaves++
		case domain.Renamed, domain.RoleChanged, domain.Archived, domain.Unarchived:
		}
	}
}

// follows reports whether the batch has every event since the counts were written.
func (r *recount) follows(before writtenChat) bool { return r.first > 1 && r.first <= before.seq+1 }

// request asks for the counts of all members and of the users that have left since the batch, or only of the users that the batch changes.
func (r *recount) request() ports.CountRequest {
	if r.all {
		return ports.CountRequest{Chat: r.chat, Most: ports.MaxCountMembers, After: r.after()}
	}
	return ports.CountRequest{Chat: r.chat, Users: slices.Collect(maps.Keys(r.changed))}
}

// after is the seq up to which the counts of users that have left are removed. At a rebuild none are.
func (r *recount) after() domain.Seq {
	if r.first == 1 {
		return 0
	}
	return r.last
}

// begin begins with new counts of the log. Counts are kept of most members.
func (r *recount) begin(counts ports.MemberCounts, most int) {
	r.head, r.latest, r.crowded = counts.Head, counts.Head, counts.Members > most
	r.users, r.members, r.entries, r.open = nil, 0, nil, maps.Clone(r.changed)
}

// add adds the entry of a user as of a version.
func (r *recount) add(version domain.Seq, c ports.MemberCount) {
	r.latest = max(r.latest, version)
	entry := ports.UserEntry{User: c.User, Version: version, Number: uint64(c.Messages), Rebuild: r.rebuild}
	if c.Outcome == ports.UnreadCounted && !r.later { // the user has joined again
		return
	}
	if entry.Gone = c.Outcome != ports.UnreadCounted; !entry.Gone {
		r.members++
	}
	delete(r.open, c.User)
	r.entries = append(r.entries, entry)
}

// room is how many members a chat may have now if it had at most as many as counts are kept of at any seq since the batch begins.
func (r *recount) room(most int) int {
	return most + r.joins + int(r.latest-min(r.last, r.latest)) //nolint:gosec // far below the largest int
}

// settle decides whether counts are kept: those of chats with at most so many members. It reports false if changes while the members were counted, one
// at most with each event, may decide it. If no counts are kept, it has those of members that have left removed, and all of them if the chat may have
// been smaller since the batch begins. listed is the number of present and former members.
func (r *recount) settle(listed, most int) bool {
	if !r.later {
		return true
	}
	meanwhile := int(r.latest - r.head) //nolint:gosec // far below the largest int
	for user := range r.open {          // left in the batch
		r.entries = append(r.entries, r.gone(user))
	}
	if !r.crowded {
		return listed+meanwhile <= most
	}
	present := r.members
	r.members -= meanwhile // at least so many as of the head
	switch {
	case present+meanwhile <= most:
		return true
	case r.members <= most:
		return false
	case present > r.room(most):
		r.users = slices.DeleteFunc(slices.Collect(maps.Keys(r.changed)), func(user domain.UserID) bool { return !r.changed[user] })
	}
	r.entries = r.entries[:0]
	for _, user := range r.users {
		r.entries = append(r.entries, r.gone(user))
	}
	return true
}

func (r *recount) gone(user domain.UserID) ports.UserEntry {
	return ports.UserEntry{User: user, Version: r.head, Gone: true, Rebuild: r.rebuild}
}

// fail takes back that the batch is done.
func (r *recount) fail(err error) { r.batch.Done, r.batch.Err = 0, err }
