package app

import (
	"context"
	"iter"

	"chatcore/domain"
	"chatcore/ports"
)

// UserQueries are the queries of one user. Each method is that of [Queries] with the same name, asked for this user.
//
// A method about one chat returns what the user may read of it, as [Access] decides: it takes one round trip more than that of [Queries], and returns
// [domain.ErrChatNotFound] for a chat that the user may not read. A former member's queries are as of the removal, and cost what those of
// [Queries.At] cost. A method that spans chats returns the user's own, which the built-in subscribers keep: a moment behind the log.
type UserQueries struct {
	access *Access
	user   domain.UserID
	at     domain.Seq // 0: now
}

// At returns the same queries as of a seq of the chat in question, as [Queries.At] does. A former member's queries are as of the removal if that was
// before.
func (u UserQueries) At(seq domain.Seq) UserQueries {
	u.at = seq
	return u
}

// of returns the queries of a chat that the user may ask.
func (u UserQueries) of(ctx context.Context, chat domain.ChatID) (*Queries, error) {
	return u.access.queriesAt(ctx, chat, u.user, u.at)
}

// own returns the queries of the user's own data.
func (u UserQueries) own() *Queries { return u.access.queries.At(u.at) }

// Chat is [Queries.Chat] of a chat that the user may read.
func (u UserQueries) Chat(ctx context.Context, chat domain.ChatID) (domain.Chat, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return domain.Chat{}, err
	}
	return q.Chat(ctx, chat)
}

// Members is [Queries.Members] of a chat that the user may read.
func (u UserQueries) Members(ctx context.Context, chat domain.ChatID) ([]domain.Member, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return nil, err
	}
	return q.Members(ctx, chat)
}

// MemberPage is [Queries.MemberPage] of a chat that the user may read.
func (u UserQueries) MemberPage(ctx context.Context, chat domain.ChatID, page domain.Page) (List[domain.Member], error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return List[domain.Member]{}, err
	}
	return q.MemberPage(ctx, chat, page)
}

// Member is [Queries.Member]: the membership of any user in a chat that the asking user may read.
func (u UserQueries) Member(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Member, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return domain.Member{}, err
	}
	return q.Member(ctx, chat, user)
}

// Message is [Queries.Message] of a chat that the user may read.
func (u UserQueries) Message(ctx context.Context, chat domain.ChatID, id domain.MessageID) (MessageView, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return MessageView{}, err
	}
	return q.Message(ctx, chat, id)
}

// History is [Queries.History] of a chat that the user may read.
func (u UserQueries) History(ctx context.Context, chat domain.ChatID, span domain.Span) ([]MessageView, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return nil, err
	}
	return q.History(ctx, chat, span)
}

// Custom is [Queries.Custom] of a chat that the user may read.
func (u UserQueries) Custom(ctx context.Context, chat domain.ChatID, id domain.CustomID) (CustomView, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return CustomView{}, err
	}
	return q.Custom(ctx, chat, id)
}

// CustomPage is [Queries.CustomPage] of a chat that the user may read.
func (u UserQueries) CustomPage(ctx context.Context, chat domain.ChatID, id domain.CustomID, page domain.Page) (List[ports.Record], error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return List[ports.Record]{}, err
	}
	return q.CustomPage(ctx, chat, id, page)
}

// Typing is [Queries.Typing] of a chat that the user is a member of. It returns [domain.ErrNotMember] for a former member: typing is of now.
func (u UserQueries) Typing(ctx context.Context, chat domain.ChatID) ([]domain.UserID, error) {
	grant, err := u.access.Check(ctx, chat, u.user)
	if err != nil {
		return nil, err
	}
	if grant.Until > 0 {
		return nil, domain.NotMember(chat, u.user)
	}
	return u.own().Typing(ctx, chat)
}

// Unread is [Queries.Unread] of the user. It returns [domain.ErrNotMember] for a former member.
func (u UserQueries) Unread(ctx context.Context, chat domain.ChatID) (domain.Ordinal, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return 0, err
	}
	return q.Unread(ctx, chat, u.user)
}

// Events is [Queries.Events], for a user that is owner or admin of the chat now. It returns [domain.ErrForbidden] for other users that may read the chat:
// the events have the former contents of messages that were edited or deleted. Events for another user alone ([domain.Audience]) are left out.
func (u UserQueries) Events(ctx context.Context, chat domain.ChatID, span domain.Span) ([]ports.Record, error) {
	q, err := u.access.rawQueriesAt(ctx, chat, u.user, u.at)
	if err != nil {
		return nil, err
	}
	return q.eventsFor(ctx, chat, span, u.user)
}

// Audit is [Queries.Audit], for the users that [UserQueries.Events] is for. The role is checked when the iteration starts and after each
// [MaxEvents] events, so that an iteration does not outlast the role for long.
func (u UserQueries) Audit(ctx context.Context, chat domain.ChatID, about domain.Audit) iter.Seq2[ports.Record, error] {
	return func(yield func(ports.Record, error) bool) {
		q, err := u.access.rawQueriesAt(ctx, chat, u.user, u.at)
		if err != nil {
			yield(ports.Record{}, err)
			return
		}
		n := 0
		for record, err := range q.Audit(ctx, chat, about) {
			if err == nil && !visibleTo(u.user, record) {
				continue
			}
			if n > 0 && n%MaxEvents == 0 && err == nil {
				if _, err = u.access.rawQueriesAt(ctx, chat, u.user, u.at); err != nil {
					record = ports.Record{}
				}
			}
			if !yield(record, err) || err != nil {
				return
			}
			n++
		}
	}
}

// Pins is [Queries.Pins] of a chat that the user may read.
func (u UserQueries) Pins(ctx context.Context, chat domain.ChatID) ([]MessageView, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return nil, err
	}
	return q.Pins(ctx, chat)
}

// Settings returns the user's own settings for a chat that the user may read, as [Queries.Settings] does.
func (u UserQueries) Settings(ctx context.Context, chat domain.ChatID) (domain.Settings, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return domain.Settings{}, err
	}
	settings, err := q.Settings(ctx, chat, u.user)
	if err != nil {
		return domain.Settings{}, err
	}
	return settings[0], nil
}

// Metadata is [Queries.Metadata] of a chat that the user may read.
func (u UserQueries) Metadata(ctx context.Context, chat domain.ChatID) (MetadataView, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return MetadataView{}, err
	}
	return q.Metadata(ctx, chat)
}

// Thread is [Queries.Thread] of a chat that the user may read, as the user sees it.
func (u UserQueries) Thread(ctx context.Context, chat domain.ChatID, root domain.MessageID) (ThreadView, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return ThreadView{}, err
	}
	return q.Thread(ctx, chat, root, u.user)
}

// ThreadReplies is [Queries.ThreadReplies] of a chat that the user may read.
func (u UserQueries) ThreadReplies(ctx context.Context, chat domain.ChatID, root domain.MessageID, page domain.Page) (List[MessageView], error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return List[MessageView]{}, err
	}
	return q.ThreadReplies(ctx, chat, root, page)
}

// Threads is [Queries.Threads] of a chat that the user may read, as the user sees them.
func (u UserQueries) Threads(ctx context.Context, chat domain.ChatID, page ThreadPage) (List[ThreadView], error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return List[ThreadView]{}, err
	}
	return q.Threads(ctx, chat, u.user, page)
}

// UnreadMentions is [Queries.UnreadMentions] of the user. It returns [domain.ErrNotMember] for a former member.
func (u UserQueries) UnreadMentions(ctx context.Context, chat domain.ChatID, ignoring ...domain.UserID) (UnreadMentions, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return UnreadMentions{}, err
	}
	return q.UnreadMentions(ctx, chat, u.user, ignoring...)
}

// MentionsOf is [Queries.MentionsOf] of the user, in a chat that the user may read.
func (u UserQueries) MentionsOf(ctx context.Context, chat domain.ChatID, page MentionPage) (List[MessageView], error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return List[MessageView]{}, err
	}
	return q.MentionsOf(ctx, chat, u.user, page)
}

// Restrictions is [Queries.Restrictions], for the users that [UserQueries.Events] is for.
func (u UserQueries) Restrictions(ctx context.Context, chat domain.ChatID, page domain.Page) (List[Restricted], error) {
	q, err := u.access.rawQueriesAt(ctx, chat, u.user, u.at)
	if err != nil {
		return List[Restricted]{}, err
	}
	return q.Restrictions(ctx, chat, page)
}

// UnreadOf is [Queries.UnreadOf] of the user.
func (u UserQueries) UnreadOf(ctx context.Context) (map[domain.ChatID]domain.Ordinal, error) {
	return u.own().UnreadOf(ctx, u.user)
}

// KeptUnread is [Queries.KeptUnread] of the user.
func (u UserQueries) KeptUnread(ctx context.Context) (map[domain.ChatID]domain.Ordinal, error) {
	return u.own().KeptUnread(ctx, u.user)
}

// ChatList is [Queries.ChatList] of the user, without chats of which the log says that the user is no member any more: their last messages are not
// the user's to read.
func (u UserQueries) ChatList(ctx context.Context) ([]ListedChat, error) {
	return u.own().chatList(ctx, u.user, membershipOf(u.user))
}

// ChatListPage is [Queries.ChatListPage] of the user.
func (u UserQueries) ChatListPage(ctx context.Context, page domain.Page) (List[ListedChat], error) {
	return u.own().ChatListPage(ctx, u.user, page)
}

// FilteredChatList is [Queries.FilteredChatList] of the user.
func (u UserQueries) FilteredChatList(ctx context.Context, filter ChatFilter, page domain.Page) (List[ListedChat], error) {
	return u.own().FilteredChatList(ctx, u.user, filter, page)
}

// UnreadTotals is [Queries.UnreadTotals] of the user.
func (u UserQueries) UnreadTotals(ctx context.Context, muted bool) (UnreadTotals, error) {
	return u.own().UnreadTotals(ctx, u.user, muted)
}

// ReadBy is [Queries.ReadBy] of a chat that the user may read. It returns [domain.ErrForbidden] if the rules hide who has read a message.
func (u UserQueries) ReadBy(ctx context.Context, chat domain.ChatID, id domain.MessageID) ([]domain.UserID, error) {
	q, err := u.of(ctx, chat)
	if err != nil {
		return nil, err
	}
	if u.access.rules.HideReads {
		return nil, &domain.Refusal{Reason: domain.ErrForbidden, Detail: "who has read a message is hidden from users"}
	}
	return q.ReadBy(ctx, chat, id)
}

// ChatsOf is [Queries.ChatsOf] of the user.
func (u UserQueries) ChatsOf(ctx context.Context) ([]domain.ChatID, error) {
	return u.own().ChatsOf(ctx, u.user)
}

// ChatsOfPage is [Queries.ChatsOfPage] of the user.
func (u UserQueries) ChatsOfPage(ctx context.Context, page domain.Page) (List[domain.ChatID], error) {
	return u.own().ChatsOfPage(ctx, u.user, page)
}

// Contacts is [Queries.Contacts] of the user.
func (u UserQueries) Contacts(ctx context.Context) ([]Contact, error) {
	return u.own().Contacts(ctx, u.user)
}

// ContactPage is [Queries.ContactPage] of the user.
func (u UserQueries) ContactPage(ctx context.Context, page domain.Page) (List[Contact], error) {
	return u.own().ContactPage(ctx, u.user, page)
}

// Blocked is [Queries.Blocked] of the user.
func (u UserQueries) Blocked(ctx context.Context, page domain.Page) (List[BlockedUser], error) {
	return u.own().Blocked(ctx, u.user, page)
}
