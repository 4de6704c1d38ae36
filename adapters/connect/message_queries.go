package connect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func (s *messageService) GetMessage(ctx context.Context, req *v1.GetMessageRequest) (*v1.GetMessageResponse, error) {
	in := s.read(ctx)
	chat, reader, id := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq()), in.message("message_id", req.GetMessageId())
	if in.err != nil {
		return nil, in.err
	}
	found, err := reader.Message(ctx, chat, id)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.GetMessageResponse{Message: out.message(found)})
}

// defaultMessages is the page size of ListMessages.
const defaultMessages = 50

func (s *messageService) ListMessages(ctx context.Context, req *v1.ListMessagesRequest) (*v1.ListMessagesResponse, error) {
	in := s.read(ctx)
	chat, reader := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq())
	tokens := tokensOf("ListMessages", req.GetChatId(), req.GetActorId(), req.GetAtSeq())
	if req.GetIncludeChanges() {
		tokens = tokensOf("ListMessages with changes", req.GetChatId(), req.GetActorId(), req.GetAtSeq())
	}
	span := in.span(req, tokens)
	span.Changes = req.GetIncludeChanges()
	if in.err != nil {
		return nil, in.err
	}
	views, err := reader.History(ctx, chat, span)
	if err != nil {
		return nil, err
	}
	var out output
	messages := each(views, out.message)
	if isForward(span) {
		messages = messages[:fitting(slices.All(messages))]
	} else {
		messages = messages[len(messages)-fitting(slices.Backward(messages)):]
	}
	full := len(messages) == span.Limit || len(messages) < len(views)
	next := tokens.token(nextSpan(span, messages, full))
	if !span.Changes {
		return answer(&out, &v1.ListMessagesResponse{Messages: messages, NextPageToken: next})
	}
	messages, changes := out.split(views, messages)
	return answer(&out, &v1.ListMessagesResponse{Messages: messages, NextPageToken: next, Changes: changes})
}

// split divides a page into the messages, and the changes among them. views has the items of the page and maybe others.
func (o *output) split(views []app.MessageView, page []*v1.Message) (messages []*v1.Message, changes []*v1.Event) {
	events := make(map[uint32]*v1.Event)
	for _, v := range views {
		if v.Change != nil {
			events[o.seq(v.Seq)] = o.event(*v.Change)
		}
	}
	for _, m := range page {
		if e := events[m.GetSeq()]; e != nil {
			changes = append(changes, e)
		} else {
			messages = append(messages, m)
		}
	}
	return messages, changes
}

// span returns the page of messages that a request selects: by its token, or else by its start.
func (in *input) span(req *v1.ListMessagesRequest, tokens pageTokens) domain.Span {
	span := domain.Span{Limit: cmp.Or(int(req.GetPageSize()), defaultMessages)}
	if req.GetPageToken() != "" {
		cursor, err := tokens.cursor(req.GetPageToken())
		if err == nil {
			err = spanAt(&span, cursor)
		}
		if err != nil {
			in.keep(badPageToken(req.GetPageToken()))
		}
		return span
	}
	switch start := req.GetStart().(type) {
	case *v1.ListMessagesRequest_BeforeSeq:
		if span.Before = domain.Seq(start.BeforeSeq); span.Before == 0 {
			in.keep(&domain.InvalidError{Field: "before_seq", Problem: "is 0", Allowed: "a seq from 1, or not set"})
		}
	case *v1.ListMessagesRequest_AfterSeq:
		span.After, span.First = domain.Seq(start.AfterSeq), start.AfterSeq == 0
	case *v1.ListMessagesRequest_Oldest:
		span.First = start.Oldest
	}
	return span
}

// The first character of a cursor of messages says on which side of its seq the page is.
const (
	cursorBefore = 'b'
	cursorAfter  = 'a'
)

// spanAt sets the start of a page to a cursor.
func spanAt(span *domain.Span, cursor string) error {
	if cursor == "" {
		return errDamagedCursor
	}
	seq, err := strconv.ParseUint(cursor[1:], 10, 32)
	switch {
	case err != nil || seq == 0:
		return errDamagedCursor
	case cursor[0] == cursorBefore:
		span.Before = domain.Seq(seq)
	case cursor[0] == cursorAfter:
		span.After = domain.Seq(seq)
	default:
		return errDamagedCursor
	}
	return nil
}

// isForward reports whether a page goes on to newer messages.
func isForward(span domain.Span) bool { return span.After > 0 || span.First }

// nextSpan returns the cursor of the page that follows a page of messages: of older ones, unless the page was read forward. It returns "" after a page that
// is not full: there the chat ends.
func nextSpan(span domain.Span, messages []*v1.Message, full bool) string {
	if !full || len(messages) == 0 {
		return ""
	}
	if isForward(span) {
		return fmt.Sprintf("%c%d", cursorAfter, messages[len(messages)-1].GetSeq())
	}
	return fmt.Sprintf("%c%d", cursorBefore, messages[0].GetSeq())
}

// maxIgnored is the most users whose messages are no mentions.
const maxIgnored = 100

func (s *messageService) GetUnread(ctx context.Context, req *v1.GetUnreadRequest) (*v1.GetUnreadResponse, error) {
	in := s.read(ctx)
	chat, user, ignoring := in.chat(req.GetChatId()), in.subject(req.GetUserId()), in.users("ignored_sender_ids", req.GetIgnoredSenderIds())
	if n := len(ignoring); n > maxIgnored {
		in.keep(&domain.InvalidError{Field: "ignored_sender_ids", Problem: fmt.Sprintf("has %d users", n), Allowed: fmt.Sprintf("at most %d", maxIgnored)})
	}
	if in.err != nil {
		return nil, in.err
	}
	var out output
	if req.GetWithMentions() {
		unread, err := s.core.As(user).Queries.UnreadMentions(ctx, chat, ignoring...)
		if err != nil {
			return nil, err
		}
		return answer(&out, &v1.GetUnreadResponse{
			Messages: out.number("messages", uint64(unread.Messages)), Mentions: out.count("mentions", unread.Mentions),
			ThreadMentions: out.count("thread_mentions", unread.ThreadMentions), MentionsAtLeast: unread.AtLeast,
		})
	}
	unread, err := s.core.As(user).Queries.Unread(ctx, chat)
	if err != nil {
		return nil, err
	}
	return answer(&out, &v1.GetUnreadResponse{Messages: out.number("messages", uint64(unread))})
}

func (s *messageService) ListUnread(ctx context.Context, req *v1.ListUnreadRequest) (*v1.ListUnreadResponse, error) {
	user, err := s.subject(ctx, req.GetUserId())
	if err != nil {
		return nil, err
	}
	queries := s.core.As(user).Queries
	count := queries.UnreadOf
	if req.GetStored() {
		count = queries.KeptUnread
	}
	unread, err := count(ctx)
	if err != nil {
		return nil, err
	}
	var out output
	chats := make([]*v1.UnreadChat, 0, len(unread))
	for chat, messages := range unread {
		chats = append(chats, &v1.UnreadChat{ChatId: string(chat), Messages: out.number("messages", uint64(messages))})
	}
	slices.SortFunc(chats, func(a, b *v1.UnreadChat) int { return cmp.Compare(a.GetChatId(), b.GetChatId()) })
	return answer(&out, &v1.ListUnreadResponse{Chats: chats})
}
