package chatcore_test

import (
	"context"
	"iter"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// viewCall is one method of app.UserView, called about a chat that fillChat has filled.
type viewCall struct {
	refused denials
	do      func(ctx context.Context, v app.UserView, chat domain.ChatID) (any, error)
	// trusted is the unchecked query of the same answer. It may be nil.
	trusted func(ctx context.Context, q *app.Queries, user domain.UserID, chat domain.ChatID) (any, error)
}

func any1[T any](v T, err error) (any, error) { return v, err }

func collected(records iter.Seq2[ports.Record, error]) (any, error) {
	var all []ports.Record
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// queryCalls are the methods of app.UserQueries.
func queryCalls() map[string]viewCall {
	readers := denials{outsider: domain.ErrChatNotFound, lost: domain.ErrChatNotFound}
	present := readers.with(denials{former: domain.ErrNotMember})
	raw := readers.with(denials{former: domain.ErrForbidden, member: domain.ErrForbidden, returned: domain.ErrForbidden})
	type (
		view    = app.UserView
		queries = app.Queries
		chatID  = domain.ChatID
		userID  = domain.UserID
		c       = context.Context
	)
	span, page := domain.Span{Limit: 100}, domain.Page{Limit: 100}
	return map[string]viewCall{
		"At": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) {
				return any1(v.Queries.At(1000).History(ctx, chat, span))
			},
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.History(ctx, chat, span)) },
		},
		"Chat": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Chat(ctx, chat)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Chat(ctx, chat)) },
		},
		"Members": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Members(ctx, chat)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Members(ctx, chat)) },
		},
		"MemberPage": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.MemberPage(ctx, chat, page)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) {
				return any1(q.MemberPage(ctx, chat, page))
			},
		},
		"Member": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Member(ctx, chat, owner)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Member(ctx, chat, owner)) },
		},
		"Message": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Message(ctx, chat, "early")) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) {
				return any1(q.Message(ctx, chat, "early"))
			},
		},
		"History": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.History(ctx, chat, span)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.History(ctx, chat, span)) },
		},
		"Custom": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Custom(ctx, chat, "order")) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Custom(ctx, chat, "order")) },
		},
		"CustomPage": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) {
				return any1(v.Queries.CustomPage(ctx, chat, "order", page))
			},
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) {
				return any1(q.CustomPage(ctx, chat, "order", page))
			},
		},
		"Typing": {
			present,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Typing(ctx, chat)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Typing(ctx, chat)) },
		},
		"Unread": {
			present,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Unread(ctx, chat)) },
			func(ctx c, q *queries, user userID, chat chatID) (any, error) { return any1(q.Unread(ctx, chat, user)) },
		},
		"Events": {
			raw,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Events(ctx, chat, span)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Events(ctx, chat, span)) },
		},
		"Audit": {
			raw,
			func(ctx c, v view, chat chatID) (any, error) {
				return collected(v.Queries.Audit(ctx, chat, domain.Audit{}))
			},
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) {
				return collected(q.Audit(ctx, chat, domain.Audit{}))
			},
		},
		"Pins": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Pins(ctx, chat)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Pins(ctx, chat)) },
		},
		"Settings": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Settings(ctx, chat)) },
			func(ctx c, q *queries, user userID, chat chatID) (any, error) {
				all, err := q.Settings(ctx, chat, user)
				if err != nil {
					return nil, err
				}
				return all[0], nil
			},
		},
		"ReadBy": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.ReadBy(ctx, chat, "early")) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.ReadBy(ctx, chat, "early")) },
		},
		"UnreadTotals": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.UnreadTotals(ctx, false)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) {
				return any1(q.UnreadTotals(ctx, user, false))
			},
		},
		"FilteredChatList": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) {
				return any1(v.Queries.FilteredChatList(ctx, app.ChatFilter{Unread: true}, page))
			},
			func(ctx c, q *queries, user userID, _ chatID) (any, error) {
				return any1(q.FilteredChatList(ctx, user, app.ChatFilter{Unread: true}, page))
			},
		},
		"Metadata": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Metadata(ctx, chat)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) { return any1(q.Metadata(ctx, chat)) },
		},
		"Thread": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Thread(ctx, chat, "early")) },
			func(ctx c, q *queries, user userID, chat chatID) (any, error) {
				return any1(q.Thread(ctx, chat, "early", user))
			},
		},
		"ThreadReplies": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) {
				return any1(v.Queries.ThreadReplies(ctx, chat, "early", page))
			},
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) {
				return any1(q.ThreadReplies(ctx, chat, "early", page))
			},
		},
		"Threads": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) {
				return any1(v.Queries.Threads(ctx, chat, app.ThreadPage{}))
			},
			func(ctx c, q *queries, user userID, chat chatID) (any, error) {
				return any1(q.Threads(ctx, chat, user, app.ThreadPage{}))
			},
		},
		"UnreadMentions": {
			present,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.UnreadMentions(ctx, chat)) },
			func(ctx c, q *queries, user userID, chat chatID) (any, error) {
				return any1(q.UnreadMentions(ctx, chat, user))
			},
		},
		"MentionsOf": {
			readers,
			func(ctx c, v view, chat chatID) (any, error) {
				return any1(v.Queries.MentionsOf(ctx, chat, app.MentionPage{}))
			},
			func(ctx c, q *queries, user userID, chat chatID) (any, error) {
				return any1(q.MentionsOf(ctx, chat, user, app.MentionPage{}))
			},
		},
		"Restrictions": {
			raw,
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Queries.Restrictions(ctx, chat, page)) },
			func(ctx c, q *queries, _ userID, chat chatID) (any, error) {
				return any1(q.Restrictions(ctx, chat, page))
			},
		},
		"UnreadOf": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.UnreadOf(ctx)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) { return any1(q.UnreadOf(ctx, user)) },
		},
		"KeptUnread": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.KeptUnread(ctx)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) { return any1(q.KeptUnread(ctx, user)) },
		},
		"ChatList": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.ChatList(ctx)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) { return any1(q.ChatList(ctx, user)) },
		},
		"ChatListPage": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.ChatListPage(ctx, page)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) {
				return any1(q.ChatListPage(ctx, user, page))
			},
		},
		"ChatsOf": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.ChatsOf(ctx)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) { return any1(q.ChatsOf(ctx, user)) },
		},
		"ChatsOfPage": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.ChatsOfPage(ctx, page)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) {
				return any1(q.ChatsOfPage(ctx, user, page))
			},
		},
		"Contacts": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.Contacts(ctx)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) { return any1(q.Contacts(ctx, user)) },
		},
		"Blocked": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.Blocked(ctx, page)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) {
				return any1(q.Blocked(ctx, user, page))
			},
		},
		"ContactPage": {
			nil,
			func(ctx c, v view, _ chatID) (any, error) { return any1(v.Queries.ContactPage(ctx, page)) },
			func(ctx c, q *queries, user userID, _ chatID) (any, error) {
				return any1(q.ContactPage(ctx, user, page))
			},
		},
	}
}

// commandCalls are the methods of app.UserCommands. Each call gets a chat of its own.
func commandCalls() map[string]viewCall {
	members := denials{former: domain.ErrNotMember, outsider: domain.ErrNotMember, lost: domain.ErrChatNotFound}
	admins := members.with(denials{member: domain.ErrForbidden, returned: domain.ErrForbidden})
	owners := admins.with(denials{admin: domain.ErrForbidden})
	// Commands about a message or a read mark do not load the chat.
	ofMessage := members.with(denials{lost: domain.ErrNotMember})
	order := chatcore.Define[map[string]string]("order:changed", 1)
	type (
		view   = app.UserView
		chatID = domain.ChatID
		c      = context.Context
	)
	return map[string]viewCall{
		"Create": {nil, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Create(ctx, domain.Create{Chat: chat + "-new"}))
		}, nil},
		"Rename": {admins, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Rename(ctx, domain.Rename{Chat: chat, Title: "renamed"}))
		}, nil},
		"Archive": {owners, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Archive(ctx, domain.Archive{Chat: chat}))
		}, nil},
		"Unarchive": {owners, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Unarchive(ctx, domain.Unarchive{Chat: chat}))
		}, nil},
		"Add": {admins, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Add(ctx, domain.Add{Chat: chat, User: "new"}))
		}, nil},
		"Remove": {admins.with(denials{member: nil}), func(ctx c, v view, chat chatID) (any, error) { // a member may remove itself
			return any1(v.Chats.Remove(ctx, domain.Remove{Chat: chat, User: member}))
		}, nil},
		"AddMembers": {admins, func(ctx c, v view, chat chatID) (any, error) {
			added, err := v.Chats.AddMembers(ctx, domain.AddMembers{Chat: chat, Users: []domain.UserID{"new", member}})
			return added.Done, err
		}, nil},
		"Pin": {admins, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Pin(ctx, domain.Pin{Chat: chat, MessageID: "early"}))
		}, nil},
		"Unpin": {admins, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Unpin(ctx, domain.Pin{Chat: chat, MessageID: "early"}))
		}, nil},
		"SetSettings": {ofMessage, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.SetSettings(ctx, domain.SetSettings{Chat: chat, Settings: domain.SettingsChange{Favourite: new(true)}}))
		}, nil},
		"UpdateMetadata": {admins, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: chat, Set: map[string]string{"topic": "1"}}))
		}, nil},
		"SetPolicy": {owners, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.SetPolicy(ctx, domain.SetPolicy{Chat: chat, Policy: domain.PolicyChange{Visibility: domain.Public}}))
		}, nil},
		"Restrict": {admins, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Restrict(ctx, domain.Restrict{Chat: chat, User: member, Kind: domain.Mute}))
		}, nil},
		"Join": {
			denials{former: domain.ErrForbidden, outsider: domain.ErrForbidden, lost: domain.ErrChatNotFound}, // the chat is private
			func(ctx c, v view, chat chatID) (any, error) { return any1(v.Chats.Join(ctx, domain.Join{Chat: chat})) }, nil,
		},
		"OpenDirect": {nil, func(ctx c, v view, _ chatID) (any, error) {
			return any1(v.Chats.OpenDirect(ctx, domain.OpenDirect{With: "peer"}))
		}, nil},
		"Block": {nil, func(ctx c, v view, _ chatID) (any, error) {
			_, err := v.Chats.Block(ctx, domain.BlockUser{User: "pest"})
			return nil, err
		}, nil},
		"Promote": {owners, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Promote(ctx, domain.Promote{Chat: chat, User: member, Role: domain.RoleAdmin}))
		}, nil},
		"Demote": {owners, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Demote(ctx, domain.Demote{Chat: chat, User: admin, Role: domain.RoleMember}))
		}, nil},
		"Leave": {members.with(denials{owner: domain.ErrLastOwner}), func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Leave(ctx, domain.Leave{Chat: chat}))
		}, nil},
		"Send": {members, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Send(ctx, domain.Send{Chat: chat, MessageID: "sent", Content: "x"}))
		}, nil},
		"Edit": {
			ofMessage.with(denials{owner: domain.ErrNotAuthor, admin: domain.ErrNotAuthor, returned: domain.ErrNotAuthor}),
			func(ctx c, v view, chat chatID) (any, error) {
				return any1(v.Chats.Edit(ctx, domain.Edit{Chat: chat, MessageID: "early", Content: "edited"}))
			}, nil,
		},
		"Delete": {ofMessage.with(denials{returned: domain.ErrForbidden}), func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Delete(ctx, domain.Delete{Chat: chat, MessageID: "early"}))
		}, nil},
		"Erase": {ofMessage.with(denials{admin: domain.ErrForbidden, returned: domain.ErrForbidden}), func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Erase(ctx, domain.Erase{Chat: chat, MessageID: "early"}))
		}, nil},
		"DeleteChat": {owners, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.DeleteChat(ctx, domain.DeleteChat{Chat: chat}))
		}, nil},
		"React": {members, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.React(ctx, domain.React{Chat: chat, MessageID: "early", Emoji: "🍅"}))
		}, nil},
		"Unreact": {members, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Unreact(ctx, domain.React{Chat: chat, MessageID: "early", Emoji: "🍅"}))
		}, nil},
		"MarkRead": {ofMessage, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.MarkRead(ctx, domain.MarkRead{Chat: chat, MessageID: "late"}))
		}, nil},
		"MarkThread": {ofMessage, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.MarkThread(ctx, domain.MarkThread{Chat: chat, Thread: "early", Following: domain.Follow}))
		}, nil},
		"Record": {members, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.Record(ctx, domain.Record{Chat: chat, Entity: "order", Event: order.Of(map[string]string{"is": "paid"})}))
		}, nil},
		"StartTyping": {members, func(ctx c, v view, chat chatID) (any, error) {
			return any1(v.Chats.StartTyping(ctx, domain.Typing{Chat: chat}))
		}, nil},
		"StopTyping": {members, func(ctx c, v view, chat chatID) (any, error) {
			return nil, v.Chats.StopTyping(ctx, domain.Typing{Chat: chat})
		}, nil},
	}
}

// fillChat creates a chat with the callers as members, and returns the seq of the removal of the former member.
func fillChat(t *testing.T, core *chatcore.Core, chat domain.ChatID) domain.Seq {
	t.Helper()
	ctx, done, sent := t.Context(), must[app.Done](t), must[app.Sent](t)
	order := chatcore.Define[map[string]string]("order:changed", 1)
	done(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: owner, Title: "first", Members: []domain.UserID{admin, member, former, returned}}))
	done(core.Chats.Promote(ctx, domain.Promote{Chat: chat, Actor: owner, User: admin, Role: domain.RoleAdmin}))
	sent(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: member, MessageID: "early", Content: "hello"}))
	done(core.Chats.Record(ctx, domain.Record{Chat: chat, Actor: owner, Entity: "order", Event: order.Of(map[string]string{"is": "placed"})}))
	done(core.Chats.Remove(ctx, domain.Remove{Chat: chat, Actor: owner, User: returned}))
	removal := done(core.Chats.Remove(ctx, domain.Remove{Chat: chat, Actor: owner, User: former})).Seq
	done(core.Chats.Add(ctx, domain.Add{Chat: chat, Actor: owner, User: returned}))
	done(core.Chats.Rename(ctx, domain.Rename{Chat: chat, Actor: owner, Title: "second"}))
	done(core.Chats.Edit(ctx, domain.Edit{Chat: chat, Actor: member, MessageID: "early", Content: "hello again"}))
	sent(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: owner, MessageID: "late", Content: "bye"}))
	done(core.Chats.Record(ctx, domain.Record{Chat: chat, Actor: owner, Entity: "order", Event: order.Of(map[string]string{"is": "shipped"})}))
	return removal
}
