package porttest

import (
	"strings"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

const oddText = "a\tb\n\"quoted\" 'single' \\ back \\n <script>&amp;</script> | {} [] %d %41 \u2028\u2029 é 日本 👩‍👩‍👧 \"seq\":1,\"ordinal\":2 $& {{.}}"

func testRecords(t *testing.T, log Log) {
	h, c := newHarness(t, log), NewChatID()
	when := time.Date(2026, 2, 28, 23, 59, 59, int(7*time.Millisecond), time.UTC)
	events := []domain.Durable{
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.Created, Title: "a \"title\" <é>", At: when},
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.Created, At: when.Add(time.Hour)},
		domain.ChatUpdate{Chat: c, Actor: bob, Change: domain.Renamed, Title: oddTitle(), At: when},
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.MemberAdded, User: bob, Role: domain.RoleMember, At: when},
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.MemberAdded, User: "cat", Role: domain.RoleAdmin, At: when},
		domain.ChatUpdate{
			Chat: c, Actor: ann, Change: domain.RoleChanged, User: bob, Role: domain.RoleOwner, Previous: domain.RoleMember, At: when,
		},
		domain.ChatUpdate{
			Chat: c, Actor: ann, Change: domain.RoleChanged, User: bob, Role: domain.RoleAdmin, Previous: domain.RoleOwner, At: when,
		},
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.MemberRemoved, User: bob, Previous: domain.RoleAdmin, At: when},
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.Archived, At: when},
		domain.ChatUpdate{Chat: c, Actor: ann, Change: domain.Unarchived, At: when},
		domain.MessageNew{Chat: c, Message: "plain", Sender: ann, Content: "x", At: when},
		domain.MessageNew{
			Chat: c, Message: "full", Sender: ann, Content: oddText, ReplyTo: "plain", Mentions: []domain.UserID{bob, `odd"<one>`},
			Attachments: []domain.Attachment{
				{Name: "a \"file\".txt", Type: "text/plain", Size: 1 << 52, URL: "https://example.org/?a=b&c=<d>"},
				{Name: "b", URL: "x:y"},
			},
			ClientMeta: `{"n":2.50,"big":12345678901234567890,"s":"<&>\u00e9é","seq":9,"list":[1,null,{}],"threadId":"plain"}`, At: when,
		},
		domain.MessageNew{
			Chat: c, Message: "attached", Sender: bob, At: when,
			Attachments: []domain.Attachment{{Name: "only", Type: "image/png", Size: 1, URL: "https://example.org/1"}},
		},
		domain.MessageNew{Chat: c, Message: "long", Sender: bob, Content: domain.Content(strings.Repeat("é", domain.MaxContentBytes/2)), At: when},
		domain.MessageEdit{Chat: c, Message: "full", Editor: ann, Content: oddText, Revision: 1, At: when},
		domain.MessageEdit{Chat: c, Message: "full", Editor: ann, Content: "short", Mentions: []domain.UserID{bob}, Attachments: []domain.Attachment{}, Revision: 2, At: when},
		domain.MessageEdit{Chat: c, Message: "full", Editor: ann, Content: "short", Revision: 1000, At: when.Truncate(time.Second)},
		domain.MessageReaction{Chat: c, Message: "full", User: bob, Emoji: "👩‍👩‍👧", Action: domain.ReactionAdd, At: when},
		domain.MessageReaction{Chat: c, Message: "full", User: bob, Emoji: "👩‍👩‍👧", Action: domain.ReactionRemove, At: when},
		domain.ReadReceipt{Chat: c, User: bob, Message: "full", ReadSeq: 12, At: when},
		domain.MessageDelete{Chat: c, Message: "full", By: ann, Reason: domain.Reason(oddText[:20]), At: when},
		domain.MessageDelete{Chat: c, Message: "plain", By: ann, At: when},
	}
	if hasRules(log) {
		events = append(
			events,
			domain.MessageNew{
				Chat: c, Message: "reply", Sender: bob, Content: "x", Mentions: []domain.UserID{ann}, Thread: "full", Broadcast: domain.BroadcastAll, Mentioned: true, At: when,
			},
			domain.MessageNew{Chat: c, Message: "018c3c5e-7b1a-7000-8000-0123456789ab", Sender: ann, Content: "x", Thread: "full", InChat: true, At: when},
			domain.MessageEdit{
				Chat: c, Message: "reply", Editor: bob, Content: "y", Mentions: []domain.UserID{"cat"}, Revision: 1, Sent: 20, Thread: "full",
				MentionsAdded: []domain.UserID{"cat"}, BroadcastRemoved: true, Mentioned: true, At: when,
			},
			domain.MessagePin{Chat: c, Message: "reply", Sent: 20, Actor: ann, Pinned: true, At: when},
			domain.ThreadMark{Chat: c, Thread: "full", User: bob, ReadSeq: 21, Message: "018c3c5e-7b1a-7000-8000-0123456789ab", Following: domain.Unfollow, At: when},
			domain.ThreadMark{Chat: c, Thread: "018c3c5e-7b1a-7000-8000-0123456789ab", User: "018c3c5e-7b1a-7000-8000-0123456789ab", Following: domain.FollowingDefault, At: when},
			domain.ChatSettings{
				Chat: c, User: bob, Notify: new(domain.NotifyDefault), MutedUntil: new(when), Favourite: new(false), Hidden: new(domain.HiddenUntilMessage), HiddenSeq: 3,
				UnreadSeq: new(domain.Seq(0)), At: when,
			},
			domain.MessageDelete{Chat: c, Message: "reply", By: ann, Sent: 20, Thread: "full", Pinned: true, Mentioned: true, At: when},
		)
	}
	metas := []ports.Meta{
		{},
		{CorrelationID: "request \"1\" | é", CausationID: "cmd", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{CorrelationID: "import"},
		{CausationID: `odd|[]{}^\:-"`},
	}
	for i, e := range events {
		event := NewEvent(e)
		event.Meta = metas[i%len(metas)]
		h.append(then(event))
	}
	h.verify()
	if hasRules(log) { // the erased form of a message in a thread is read as one
		const odd = domain.MessageID("}\"{\\,")
		h.append(then(repliedIn(c, odd, bob, odd, false, true), repliedIn(c, "both", bob, odd, true, true)))
		for _, m := range []domain.MessageID{odd, "both"} {
			known := h.history(c)
			h.erase(known.erasing(c, m, bob, given{at(domain.MessageEntity(m), known.version(domain.MessageEntity(m)))}))
		}
		h.verify()
	}
	for _, backward := range []bool{false, true} {
		h.checkSearch(c, ports.Filter{Messages: true}, ports.Range{Limit: 100, Backward: backward})
	}
}

func oddTitle() domain.Title {
	return domain.Title(strings.NewReplacer("\n", " ", "\t", " ").Replace(oddText))
}

// oddIDs returns valid ids that separators, patterns and escapes could confuse.
func oddIDs() []string {
	return []string{
		`|[]{}^\` + "`" + `-:%*?"`, "a", "a:1", "a|1", "a:", "{a}", "}{", "%41", "A", "0", "-1", "1e3", "nan", "__proto__",
		"cmd/a", `\n`, "$.*", "'--", "é", "e\u0301", "日本語", "👋🏽", "<&>", strings.Repeat("~", domain.MaxIDBytes),
	}
}

func testOddIDs(t *testing.T, log Log) {
	h, base := newHarness(t, log), string(NewChatID())
	for _, odd := range oddIDs() {
		for _, id := range []string{base + odd, odd + base} {
			if len(id) > domain.MaxIDBytes && strings.HasPrefix(id, base) {
				id = id[:domain.MaxIDBytes]
			}
			if len(id) <= domain.MaxIDBytes {
				h.append(then(created(domain.ChatID(id))))
			}
		}
	}
	h.verify()

	c := domain.ChatID(base + `|[]{}^\` + "`" + `-:%*?"`)
	for _, id := range oddIDs() {
		m, user, command := domain.MessageID(id), domain.UserID(id), domain.CommandID(id)
		odd := sent(c, m, user)
		odd.ID += domain.EventID(id[:min(len(id), domain.MaxIDBytes-len(odd.ID))])
		h.appendBatch(
			given{at(domain.MemberEntity(user), 0)}.then(added(c, user)),
			recorded(command, given{at(domain.MessageEntity(m), 0)}.then(odd)),
			given{at(domain.ReactionsEntity(m), 0)}.then(reacted(c, m, user)),
			given{at(domain.ReadEntity(user), h.history(c).head()+2)}.then(read(c, m, user, 1)),
			recorded(command, given{at(domain.MessageEntity(m), 0)}.then(sent(c, m, user))),
		)
	}
	h.verify()
}
