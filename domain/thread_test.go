package domain_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// replied is a reply in the thread of message m.
func replied(id domain.MessageID, by domain.UserID) domain.MessageNew {
	m := sent(id, by)
	m.Thread = "m"
	return m
}

// position folds the position of a user in the thread of message m, after the usual events.
func position(user domain.UserID, events ...domain.Durable) domain.ThreadPosition {
	var p domain.ThreadPosition
	for i, e := range usual(events...) {
		if domain.MovesEntity(e, domain.ThreadMarkEntity(user, "m")) {
			p.Apply(domain.Seq(i+1), e) //nolint:gosec // an index
		}
	}
	return p
}

func threadMark(user domain.UserID, seq domain.Seq, message domain.MessageID, f domain.Following) domain.ThreadMark {
	return domain.ThreadMark{Chat: "c", Thread: "m", User: user, ReadSeq: seq, Message: message, Following: f, At: noon}
}

func TestPost_InAThread(t *testing.T) {
	reply := func(by domain.UserID, root domain.MessageID, change func(*domain.Draft)) decision {
		return func(w *world) ([]domain.Durable, error) {
			d := domain.Draft{ID: "r", Content: "hi", Thread: root}
			if change != nil {
				change(&d)
			}
			return w.chat.Post(w.member(by), w.message(d.ID), d, domain.Referred{Root: w.message(root), Members: w.mentioned(d.Mentions)}, noon)
		}
	}
	inChat := func(d *domain.Draft) { d.InChat = true }
	all := func(d *domain.Draft) { d.Broadcast = domain.BroadcastAll }
	here := func(d *domain.Draft) { d.Broadcast = domain.BroadcastHere }
	root, answer := sent("m", "ann"), replied("r", "bob")
	shown := answer
	shown.InChat = true
	announcing, alerting := answer, answer
	announcing.Sender, announcing.Broadcast, announcing.Mentioned = "adm", domain.BroadcastAll, true
	alerting.Sender, alerting.Broadcast = "adm", domain.BroadcastHere
	naming := answer
	naming.Mentions, naming.Mentioned = []domain.UserID{"ann"}, true
	news := policy(0, map[domain.Action]domain.Role{domain.ActionPost: domain.RoleAdmin})
	closed := policy(0, map[domain.Action]domain.Role{domain.ActionReply: domain.RoleAdmin})
	checkRules(t, []rule{
		{"a reply", usual(root), reply("bob", "m", nil), []domain.Durable{answer}, nil},
		{"a reply that the timeline has too", usual(root), reply("bob", "m", inChat), []domain.Durable{shown}, nil},
		{"to a reply", usual(root, replied("r1", "ann")), reply("bob", "r1", nil), nil, domain.ErrThread},
		{"to no message", usual(root), reply("bob", "absent", nil), nil, domain.ErrMessageNotFound},
		{"by an outsider to no message", usual(root), reply("eve", "absent", nil), nil, domain.ErrNotMember},
		{"to a deleted root", usual(root, deleted("m", "ann")), reply("bob", "m", nil), []domain.Durable{answer}, nil},
		{
			"to an erased root", usual(root, deleted("m", "ann"), domain.MessageErased{Chat: "c", Message: "m", Sent: 6, By: "ann", At: noon}),
			reply("bob", "m", nil),
			[]domain.Durable{answer},
			nil,
		},
		{"where members do not post", usual(root, news), reply("bob", "m", nil), []domain.Durable{answer}, nil},
		{"into a timeline where members do not post", usual(root, news), reply("bob", "m", inChat), nil, domain.ErrForbidden},
		{"where members do not reply", usual(root, closed), reply("bob", "m", nil), nil, domain.ErrForbidden},
		{"into the timeline where members do not reply", usual(root, closed), reply("bob", "m", inChat), nil, domain.ErrForbidden},
		{"in an archived chat", usual(root, change("own", domain.Archived)), reply("bob", "m", nil), nil, domain.ErrArchived},
		{"by a muted member", usual(root, restricted("own", "bob", domain.Mute, noon.Add(1))), reply("bob", "m", nil), nil, domain.ErrMuted},
		{"to itself", usual(root), reply("bob", "r", nil), nil, domain.ErrInvalid},
		{"in the timeline without a root", usual(root), reply("bob", "", inChat), nil, domain.ErrInvalid},
		{"the id again, in another thread", usual(root, answer), reply("bob", "other", nil), nil, nil},
		{"with mentions", usual(root), reply("bob", "m", func(d *domain.Draft) { d.Mentions = []domain.UserID{"ann", "eve"} }), []domain.Durable{naming}, nil},
		{"a member mentions all", usual(root), reply("bob", "m", all), nil, domain.ErrForbidden},
		{"a member mentions those that are there", usual(root), reply("bob", "m", here), nil, domain.ErrForbidden},
		{"an admin mentions all", usual(root), reply("adm", "m", all), []domain.Durable{announcing}, nil},
		{"an admin mentions those that are there", usual(root), reply("adm", "m", here), []domain.Durable{alerting}, nil},
		{"an unknown broadcast", usual(root), reply("adm", "m", func(d *domain.Draft) { d.Broadcast = 7 }), nil, domain.ErrInvalid},
	})
}

func TestMarkThread(t *testing.T) {
	mark := func(by domain.UserID, root, message domain.MessageID, to domain.Following, events ...domain.Durable) decision {
		return func(w *world) ([]domain.Durable, error) {
			p := position(by, events...)
			if message == "" {
				return p.Mark(w.member(by), w.message(root), nil, to, noon)
			}
			reply := w.message(message)
			if to == domain.FollowingUnchanged {
				return p.Advance(w.member(by), w.message(root), reply, noon)
			}
			return p.Mark(w.member(by), w.message(root), &reply, to, noon)
		}
	}
	base := []domain.Durable{sent("m", "ann"), replied("r1", "bob"), replied("r2", "ann")}
	read := threadMark("adm", 7, "r1", domain.FollowingUnchanged)
	long := threadMark("adm", 7, "r1", domain.FollowingUnchanged)
	long.At = noon.Add(-domain.ReadCoalescing)
	unfollowed := threadMark("bob", 0, "", domain.Unfollow)
	var rules []rule
	for _, r := range []struct {
		name          string
		by            domain.UserID
		root, message domain.MessageID
		to            domain.Following
		more          []domain.Durable
		then          *domain.ThreadMark
		err           error
	}{
		{"who does not follow", "adm", "m", "r1", domain.FollowingUnchanged, nil, &read, nil},
		{"an outsider", "eve", "m", "r1", domain.FollowingUnchanged, nil, nil, domain.ErrNotMember},
		{"an outsider of no thread", "eve", "absent", "r1", domain.FollowingUnchanged, nil, nil, domain.ErrNotMember},
		{"no message", "adm", "absent", "r1", domain.FollowingUnchanged, nil, nil, domain.ErrMessageNotFound},
		{"a reply as the root", "adm", "r1", "r2", domain.FollowingUnchanged, nil, nil, domain.ErrThread},
		{"the root as the reply", "adm", "m", "m", domain.FollowingUnchanged, nil, nil, domain.ErrMessageNotFound},
		{"a message of no thread", "adm", "m", "n", domain.FollowingUnchanged, []domain.Durable{sent("n", "ann")}, nil, domain.ErrMessageNotFound},
		{"read already", "bob", "m", "r1", domain.FollowingUnchanged, nil, nil, nil},
		{"a lower one", "ann", "m", "r1", domain.FollowingUnchanged, nil, nil, nil},
		{"within a second", "adm", "m", "r2", domain.FollowingUnchanged, []domain.Durable{read}, nil, domain.ErrTooSoon},
		{"after a second", "adm", "m", "r2", domain.FollowingUnchanged, []domain.Durable{long}, new(threadMark("adm", 8, "r2", domain.FollowingUnchanged)), nil},
		{"follow", "adm", "m", "", domain.Follow, nil, new(threadMark("adm", 0, "", domain.Follow)), nil},
		{"follow, and read", "adm", "m", "r2", domain.Follow, []domain.Durable{read}, new(threadMark("adm", 8, "r2", domain.Follow)), nil},
		{"the author follows already", "ann", "m", "", domain.Follow, nil, nil, nil},
		{"who replied follows already", "bob", "m", "", domain.Follow, nil, nil, nil},
		{"unfollow", "bob", "m", "", domain.Unfollow, nil, &unfollowed, nil},
		{"unfollow twice", "bob", "m", "", domain.Unfollow, []domain.Durable{unfollowed}, nil, nil},
		{"unfollow without following", "adm", "m", "", domain.Unfollow, nil, nil, nil},
		{"follow again", "bob", "m", "", domain.Follow, []domain.Durable{unfollowed}, new(threadMark("bob", 0, "", domain.Follow)), nil},
		{"the default again", "bob", "m", "", domain.FollowingDefault, []domain.Durable{unfollowed}, new(threadMark("bob", 0, "", domain.FollowingDefault)), nil},
		{"the default already", "bob", "m", "", domain.FollowingDefault, nil, nil, nil},
		{"following is unknown", "bob", "m", "", 9, nil, nil, domain.ErrInvalid},
		{"in an archived chat", "adm", "m", "r1", domain.FollowingUnchanged, []domain.Durable{change("own", domain.Archived)}, &read, nil},
		{"a muted member", "adm", "m", "r1", domain.FollowingUnchanged, []domain.Durable{restricted("own", "adm", domain.Mute, time.Time{})}, &read, nil},
	} {
		var then []domain.Durable
		if r.then != nil {
			then = []domain.Durable{*r.then}
		}
		events := slices.Concat(base, r.more)
		rules = append(rules, rule{r.name, usual(events...), mark(r.by, r.root, r.message, r.to, events...), then, r.err})
	}
	checkRules(t, rules)
}

func TestFollowing(t *testing.T) {
	root := sent("m", "ann")
	message := domain.Message{Chat: "c", ID: "m", Seq: 6, Sender: "ann"}
	for name, test := range map[string]struct {
		user    domain.UserID
		events  []domain.Durable
		follows bool
		base    domain.Seq
	}{
		"the author":                         {"ann", nil, true, 0},
		"the author, after a mark":           {"ann", []domain.Durable{replied("r", "bob"), threadMark("ann", 7, "r", 0)}, true, 7},
		"somebody else":                      {"bob", nil, false, 0},
		"a replier":                          {"bob", []domain.Durable{replied("r", "bob")}, true, 7},
		"all is mentioned":                   {"bob", []domain.Durable{domain.MessageNew{Chat: "c", Message: "r", Sender: "adm", Thread: "m", Broadcast: domain.BroadcastAll, Mentioned: true, At: noon}}, false, 0},
		"the author unfollows":               {"ann", []domain.Durable{threadMark("ann", 0, "", domain.Unfollow), replied("r", "bob"), replied("s", "bob")}, false, 0},
		"an unfollower replies":              {"bob", []domain.Durable{replied("r", "bob"), threadMark("bob", 0, "", domain.Unfollow), replied("s", "bob")}, true, 9},
		"a follower":                         {"bob", []domain.Durable{replied("r", "ann"), threadMark("bob", 0, "", domain.Follow)}, true, 8},
		"a follower by default again":        {"bob", []domain.Durable{threadMark("bob", 0, "", domain.Follow), threadMark("bob", 0, "", domain.FollowingDefault)}, false, 7},
		"a replier that was away":            {"bob", []domain.Durable{replied("r", "bob"), threadMark("bob", 0, "", domain.Unfollow), replied("s", "ann"), threadMark("bob", 0, "", domain.FollowingDefault)}, true, 10},
		"a mark does not make one follow":    {"bob", []domain.Durable{replied("r", "ann"), threadMark("bob", 7, "r", 0)}, false, 7},
		"a lower mark leaves the higher one": {"bob", []domain.Durable{replied("r", "ann"), replied("s", "ann"), threadMark("bob", 8, "s", 0), threadMark("bob", 7, "r", 0)}, false, 8},
	} {
		p := position(test.user, append([]domain.Durable{root}, test.events...)...)
		if p.Follows(test.user, message) != test.follows || p.Base() != test.base {
			t.Errorf("%s: follows %v from %d on, want %v from %d on", name, p.Follows(test.user, message), p.Base(), test.follows, test.base)
		}
	}
}

// TestEdit_Broadcast takes mentions of all members back.
func TestEdit_Broadcast(t *testing.T) {
	with := func(b domain.Broadcast) domain.MessageNew {
		m := sent("m", "ann")
		m.Broadcast, m.Mentioned = b, b == domain.BroadcastAll
		return m
	}
	edit := func(to domain.Revision) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.message("m").Edit(w.member("ann"), to, domain.Referred{Members: w.mentioned(to.Mentions)}, 0, noon)
		}
	}
	remove := domain.Revision{Content: "hi", RemoveBroadcast: true}
	named := domain.Revision{Content: "hi", RemoveBroadcast: true, Mentions: []domain.UserID{"bob"}}
	edited := domain.MessageEdit{Chat: "c", Message: "m", Editor: "ann", Content: "hi", Revision: 1, Sent: 6, BroadcastRemoved: true, Mentioned: true, At: noon}
	quiet := edited
	quiet.Mentioned = false
	both := edited
	both.Mentions, both.MentionsAdded = []domain.UserID{"bob"}, []domain.UserID{"bob"}
	checkRules(t, []rule{
		{"all", usual(with(domain.BroadcastAll)), edit(remove), []domain.Durable{edited}, nil},
		{"here, which mentions do not keep", usual(with(domain.BroadcastHere)), edit(remove), []domain.Durable{quiet}, nil},
		{"none", usual(with(domain.NoBroadcast)), edit(remove), nil, nil},
		{"all, for one user", usual(with(domain.BroadcastAll)), edit(named), []domain.Durable{both}, nil},
		{"the same again", usual(with(domain.BroadcastAll), edited), edit(remove), nil, nil},
	})
}

// drawnReply is a reply of a model.
type drawnReply struct {
	seq     domain.Seq
	sender  domain.UserID
	deleted bool
}

// TestThread_Model folds random replies and deletions, across the bounds of what a thread keeps, and compares with a plain list.
func TestThread_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var thread domain.State = &domain.Thread{}
		var all []*drawnReply
		users := rapid.SampledFrom([]int{2, domain.MaxThreadParticipants + 20}).Draw(t, "users")
		seq := domain.Seq(10)
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			kept := thread.(*domain.Thread)
			before := fmt.Sprintf("%+v", *kept)
			thread = thread.Clone()
			for range rapid.SampledFrom([]int{0, 1, 3, 400}).Draw(t, "replies") {
				seq += 2
				r := &drawnReply{seq: seq, sender: domain.UserID(fmt.Sprint("u", int(seq/2)*7%users))} //nolint:gosec // small
				all = append(all, r)
				thread.Apply(seq, domain.MessageNew{Chat: "c", Thread: "m", Message: domain.MessageID(fmt.Sprint(seq)), Sender: r.sender, At: noon})
			}
			if len(all) > 0 && rapid.Bool().Draw(t, "delete") {
				r := all[len(all)-1-rapid.IntRange(0, min(len(all)-1, 12)).Draw(t, "which")]
				if !r.deleted {
					seq++
					r.deleted = true
					thread.Apply(seq, domain.MessageDelete{Chat: "c", Thread: "m", Sent: r.seq, At: noon})
				}
			}
			if after := fmt.Sprintf("%+v", *kept); after != before {
				t.Fatalf("a clone changed its original from %s to %s", before, after)
			}
		}
		checkThread(t, thread.(*domain.Thread), all, domain.Seq(rapid.IntRange(0, int(seq)+1).Draw(t, "base"))) //nolint:gosec // small
	})
}

func checkThread(t *rapid.T, thread *domain.Thread, all []*drawnReply, base domain.Seq) {
	var live []*drawnReply
	var participants []domain.UserID
	for _, r := range all {
		if !r.deleted {
			live = append(live, r)
		}
	}
	for _, r := range slices.Backward(all) {
		if !slices.Contains(participants, r.sender) {
			participants = append(participants, r.sender)
		}
	}
	if thread.Replies != len(live) || thread.More != (len(participants) > domain.MaxThreadParticipants) {
		t.Fatalf("%d replies, more participants %v; want %d and %d participants", thread.Replies, thread.More, len(live), len(participants))
	}
	if want := participants[:min(len(participants), domain.MaxThreadParticipants)]; !slices.Equal(thread.Participants, want) {
		t.Fatalf("participants %v, want %v", thread.Participants, want)
	}
	after := 0
	for _, r := range live {
		if r.seq > base {
			after++
		}
	}
	n, atLeast := thread.After(base)
	if n > after || !atLeast && n != after || !atLeast && len(all) > 0 && thread.Newest != all[len(all)-1].seq {
		t.Fatalf("%d replies after %d, at least %v, newest %d; want %d", n, base, atLeast, thread.Newest, after)
	}
	if len(all) <= domain.MaxThreadWindow && atLeast {
		t.Fatalf("%d replies are not counted exactly", len(all))
	}
	for i, r := range thread.Recent {
		if want := live[len(live)-1-i]; r.Seq != want.seq || r.Sender != want.sender {
			t.Fatalf("recent reply %d is %+v, want %+v", i, r, want)
		}
	}
}

// drawnMention is a message of a model.
type drawnMention struct {
	seq     domain.Seq
	sender  domain.UserID
	users   []domain.UserID
	all     bool
	deleted bool
}

// TestMentions_Model folds random sends, edits and deletions and compares with a plain list: exact above the floor, and the same from the newest events
// alone as from all of them.
func TestMentions_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[domain.Seq]*drawnMention{}
		var sentSeqs, moved []domain.Seq
		var events []domain.Durable
		seq := domain.Seq(0)
		users := func() []domain.UserID {
			return slices.Clone(rapid.SampledFrom([][]domain.UserID{{}, {"ann"}, {"bob"}, {"ann", "bob"}}).Draw(t, "mentions"))
		}
		record := func(e domain.Durable, mentioned bool) {
			if mentioned {
				moved, events = append(moved, seq), append(events, e)
			}
		}
		for range rapid.SampledFrom([]int{1, 20, domain.MaxMentionEvents + 100}).Draw(t, "events") {
			seq++
			what := rapid.IntRange(0, 9).Draw(t, "what")
			if what < 6 || len(sentSeqs) == 0 {
				m := &drawnMention{seq: seq, sender: rapid.SampledFrom([]domain.UserID{"ann", "cem"}).Draw(t, "sender"), users: users(), all: what == 0}
				model[seq], sentSeqs = m, append(sentSeqs, seq)
				b := domain.NoBroadcast
				if m.all {
					b = domain.BroadcastAll
				}
				mentioned := len(m.users) > 0 || m.all
				record(domain.MessageNew{Chat: "c", Message: domain.MessageID(fmt.Sprint(seq)), Sender: m.sender, Mentions: m.users, Broadcast: b, Mentioned: mentioned}, mentioned)
				continue
			}
			m := model[rapid.SampledFrom(sentSeqs).Draw(t, "message")]
			switch {
			case m.deleted:
			case what < 9:
				to, drop := users(), what == 6 && m.all
				record(domain.MessageEdit{Chat: "c", Message: domain.MessageID(fmt.Sprint(m.seq)), Editor: m.sender, Sent: m.seq, Mentions: to, BroadcastRemoved: drop, Mentioned: true}, true)
				m.users, m.all = to, m.all && !drop
			default:
				mentioned := len(m.users) > 0 || m.all
				record(domain.MessageDelete{Chat: "c", Message: domain.MessageID(fmt.Sprint(m.seq)), Sent: m.seq, Mentioned: mentioned}, mentioned)
				m.deleted = true
			}
		}
		var whole, newest domain.State = &domain.Mentions{}, &domain.Mentions{}
		first := max(len(events)-domain.MaxMentionEvents, 0)
		if first > 0 {
			newest.(*domain.Mentions).StartAt(moved[first])
		}
		for i, e := range events {
			if whole.Apply(moved[i], e); i >= first {
				newest.Apply(moved[i], e)
			}
		}
		if !reflect.DeepEqual(kept(whole), kept(newest)) {
			t.Fatalf("from all events\n%+v\nfrom the newest\n%+v", whole, newest)
		}
		base := domain.Seq(rapid.IntRange(0, int(seq)).Draw(t, "base")) //nolint:gosec // small
		found, atLeast := whole.(*domain.Mentions).Of("ann", base)
		floor := whole.(*domain.Mentions).Floor()
		if atLeast != (floor > base+1) {
			t.Fatalf("at least %v, although the floor is %d and the base %d", atLeast, floor, base)
		}
		var want, got []domain.Seq
		for _, at := range sentSeqs {
			if m := model[at]; at > base && at >= floor && !m.deleted && m.sender != "ann" && (m.all || slices.Contains(m.users, "ann")) {
				want = append(want, at)
			}
		}
		for _, m := range found {
			got = append(got, m.Seq)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("mentions %v after %d, want %v", got, base, want)
		}
	})
}

// kept returns what mentions are made of, but for messages without mentions.
func kept(s domain.State) (all []any) {
	m := s.(*domain.Mentions)
	all = append(all, m.Floor())
	for _, user := range []domain.UserID{"ann", "bob", "cem", "eve"} {
		found, _ := m.Of(user, 0)
		all = append(all, found)
	}
	return all
}

// TestMentions_ErasedEdit folds an edit that took a mention back, and whose list was erased since, after the send with the mention.
func TestMentions_ErasedEdit(t *testing.T) {
	var m domain.Mentions
	m.Apply(4, domain.MessageNew{Chat: "c", Message: "m", Sender: "bob", Mentions: []domain.UserID{"ann"}, Mentioned: true})
	m.Apply(5, domain.MessageEdit{Chat: "c", Message: "m", Editor: "bob", Sent: 4, Mentioned: true, Erased: true})
	if found, _ := m.Of("ann", 0); len(found) > 0 {
		t.Errorf("an erased message mentions ann: %+v", found)
	}
}
