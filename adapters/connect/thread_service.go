package connect

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

func (s *messageService) MarkThread(ctx context.Context, req *v1.MarkThreadRequest) (*v1.MarkThreadResponse, error) {
	in := s.read(ctx)
	cmd := domain.MarkThread{
		Chat: in.chat(req.GetChatId()), Actor: in.actor(req.GetActorId()), Thread: in.message("thread_id", req.GetThreadId()), Following: followings.optional(in, "following", req.GetFollowing()),
	}
	if req.GetMessageId() != "" {
		cmd.MessageID = in.message("message_id", req.GetMessageId())
	}
	if key, err := keyOf(ctx); req.GetCommandId() != "" || key != "" || err != nil {
		cmd.Command = in.command(req.GetCommandId())
	}
	if in.err != nil {
		return nil, in.err
	}
	marked, err := s.core.Chats.MarkThread(ctx, cmd)
	if err != nil {
		return nil, s.shown(ctx, cmd.Chat, err)
	}
	var out output
	return answer(&out, &v1.MarkThreadResponse{Result: out.result(marked.Done), Recorded: marked.Recorded})
}

func (s *messageService) GetThread(ctx context.Context, req *v1.GetThreadRequest) (*v1.GetThreadResponse, error) {
	in := s.read(ctx)
	chat, user, root := in.chat(req.GetChatId()), in.actor(req.GetActorId()), in.message("thread_id", req.GetThreadId())
	if in.err != nil {
		return nil, in.err
	}
	view, err := s.core.As(user).Queries.At(domain.Seq(req.GetAtSeq())).Thread(ctx, chat, root)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &v1.GetThreadResponse{Thread: out.thread(view)})
}

func (s *messageService) ListThreadMessages(ctx context.Context, req *v1.ListThreadMessagesRequest) (*v1.ListThreadMessagesResponse, error) {
	in := s.read(ctx)
	chat, reader, root := in.chat(req.GetChatId()), in.reader(req.GetActorId(), req.GetAtSeq()), in.message("thread_id", req.GetThreadId())
	tokens := tokensOf("ListThreadMessages", req.GetChatId(), req.GetActorId(), req.GetThreadId(), req.GetAtSeq())
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	messages, next, err := fittingPage(page, (*output).message, func(page domain.Page) (app.List[app.MessageView], error) {
		return reader.ThreadReplies(ctx, chat, root, page)
	})
	return &v1.ListThreadMessagesResponse{Messages: messages, NextPageToken: tokens.token(next)}, err
}

func (s *messageService) ListThreads(ctx context.Context, req *v1.ListThreadsRequest) (*v1.ListThreadsResponse, error) {
	in := s.read(ctx)
	chat, user := in.chat(req.GetChatId()), in.actor(req.GetActorId())
	tokens := tokensOf("ListThreads", req.GetChatId(), user, req.GetFollowed(), req.GetAtSeq())
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	queries := s.core.As(user).Queries.At(domain.Seq(req.GetAtSeq()))
	threads, next, err := fittingPage(page, (*output).thread, func(page domain.Page) (app.List[app.ThreadView], error) {
		return queries.Threads(ctx, chat, app.ThreadPage{Page: page, Followed: req.GetFollowed()})
	})
	return &v1.ListThreadsResponse{Threads: threads, NextPageToken: tokens.token(next)}, err
}

func (s *messageService) ListMentions(ctx context.Context, req *v1.ListMentionsRequest) (*v1.ListMentionsResponse, error) {
	in := s.read(ctx)
	chat, user := in.chat(req.GetChatId()), in.actor(req.GetActorId())
	tokens := tokensOf("ListMentions", req.GetChatId(), user, req.GetInThreads(), req.GetAtSeq())
	page := in.page(tokens, req.GetPageSize(), req.GetPageToken())
	if in.err != nil {
		return nil, in.err
	}
	queries := s.core.As(user).Queries.At(domain.Seq(req.GetAtSeq()))
	messages, next, err := fittingPage(page, (*output).message, func(page domain.Page) (app.List[app.MessageView], error) {
		return queries.MentionsOf(ctx, chat, app.MentionPage{Page: page, Threads: req.GetInThreads()})
	})
	return &v1.ListMentionsResponse{Messages: messages, NextPageToken: tokens.token(next)}, err
}

// fittingPage reads a page of a list and converts it. If that is larger than [maxPageBytes], it reads one of as many items as fit.
func fittingPage[T any, M proto.Message](
	page domain.Page, convert func(*output, T) M, read func(domain.Page) (app.List[T], error),
) (items []M, next string, err error) {
	for {
		list, err := read(page)
		if err != nil {
			return nil, "", err
		}
		var out output
		items = each(list.Items, func(item T) M { return convert(&out, item) })
		if fit := fitting(slices.All(items)); fit < len(items) {
			page.Limit = fit // fewer each time, and one always fits
			continue
		}
		return items, list.Next, out.err
	}
}

func (o *output) thread(t app.ThreadView) *v1.Thread {
	return &v1.Thread{Root: o.message(t.Root), Following: t.Following, Unread: o.count("unread", t.Unread), UnreadAtLeast: t.AtLeast}
}

// threadSummary returns nil for a message without a thread.
func (o *output) threadSummary(s app.ThreadSummary) *v1.ThreadSummary {
	if len(s.Participants) == 0 {
		return nil
	}
	return &v1.ThreadSummary{
		Replies: o.count("replies", s.Replies), LastSeq: o.seq(s.Last.Seq), LastMessageId: string(s.Last.Message), LastSenderId: string(s.Last.Sender),
		LastAt: timeOf(s.Last.At), ParticipantIds: texts(s.Participants), MoreParticipants: s.More,
	}
}

// count returns a number that is not negative.
func (o *output) count(name string, n int) uint32 { return o.number(name, uint64(max(n, 0))) }
