package app

import (
	"context"
	"fmt"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Limits of the queries of threads.
const (
	MaxThreadReplies = 100 // replies of one page
	MaxThreads       = 50  // threads of one page

	threadLinks = 256             // events that one load walks
	threadWalk  = 4 * threadLinks // replies in all threads that a query reads for one page of threads
)

// ThreadSummary is what a thread has, beside its replies.
type ThreadSummary struct {
	Replies      int                // without deleted ones
	Last         domain.ThreadReply // the last one that is not deleted; zero if there is none, and only its seq if many later ones were deleted
	Participants []domain.UserID    // the last users that replied, the last one first; at most [domain.MaxThreadParticipants]
	More         bool               // whether others replied before
}

// ThreadView is a thread, as a user sees it.
type ThreadView struct {
	Root MessageView // a tombstone if it was deleted: the thread stays readable
	ThreadSummary
	Following bool // whether the user follows the thread
	// Unread is the number of replies that the user has not read. It is 0 for those who do not follow the thread, and for those who are no members.
	Unread  int
	AtLeast bool // whether there may be more unread ones, before the last [domain.MaxThreadWindow]
}

// Thread returns a thread as a user sees it, or as nobody does if user is "". It takes one round trip, and one more if the root quotes a message. It
// returns [domain.ErrMessageNotFound] if the chat has no such message, and [domain.ErrThread] if that is itself a reply.
func (q *Queries) Thread(ctx context.Context, chat domain.ChatID, root domain.MessageID, user domain.UserID) (ThreadView, error) {
	if err := firstError(checkChat(chat), checkMessage(root)); err != nil {
		return ThreadView{}, err
	}
	if user != "" {
		if err := checkUsers([]domain.UserID{user}); err != nil {
			return ThreadView{}, err
		}
	}
	views, err := q.threadViews(ctx, chat, user, []domain.MessageID{root})
	if err != nil {
		return ThreadView{}, err
	}
	view := views[0].ThreadView
	switch {
	case !view.Root.Exists():
		return ThreadView{}, noMessage(chat, root)
	case view.Root.Thread != "":
		return ThreadView{}, noThread(view.Root.Message)
	case view.Last.Seq > 0 && view.Last.Message == "":
		if view.Last, err = q.replyAt(ctx, chat, view.Last.Seq); err != nil {
			return ThreadView{}, err
		}
	}
	if view.Root.ReplyTo != "" {
		quoted := []entity.Versioned{{Entity: domain.MessageEntity(view.Root.ReplyTo), Latest: true}}
		if _, _, err := q.refresh(ctx, chat, quoted); err != nil {
			return ThreadView{}, err
		}
		m, _ := quoted[0].State.(*domain.Message)
		view.Root.ReplyDeleted = m.Deleted()
	}
	return view, nil
}

func noThread(m domain.Message) error {
	return &domain.Refusal{Reason: domain.ErrThread, Detail: fmt.Sprintf("message %q of chat %q is a reply in the thread of %q", m.ID, m.Chat, m.Thread)}
}

// replyAt returns the reply of a seq.
func (q *Queries) replyAt(ctx context.Context, chat domain.ChatID, seq domain.Seq) (domain.ThreadReply, error) {
	page, err := q.read(ctx, chat, ports.Range{From: seq, Limit: 1})
	reply := domain.ThreadReply{Seq: seq}
	for _, r := range page.Records {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			reply.Message, reply.Sender, reply.At = sent.Message, sent.Sender, sent.At
		}
	}
	return reply, err
}

// loadedThread is a thread with the seq of its newest reply, deleted or not.
type loadedThread struct {
	ThreadView
	newest domain.Seq
}

// threadEntities is how many entities a thread takes: the root, its reactions, the thread, and the user's mark.
const threadEntities = 4

// threadViews loads threads in one round trip. Roots that do not exist give views without one.
func (q *Queries) threadViews(ctx context.Context, chat domain.ChatID, user domain.UserID, roots []domain.MessageID) ([]loadedThread, error) {
	entities := make([]entity.Versioned, 0, threadEntities*len(roots)+1)
	for _, root := range roots {
		entities = append(entities, entity.Versioned{Entity: domain.MessageEntity(root)}, entity.Versioned{Entity: domain.ReactionsEntity(root)},
			entity.Versioned{Entity: domain.ThreadEntity(root)}, entity.Versioned{Entity: domain.ThreadMarkEntity(user, root)})
	}
	entities = append(entities, entity.Versioned{Entity: domain.MemberEntity(user)})
	if _, err := q.load(ctx, chat, entities); err != nil {
		return nil, err
	}
	member, _ := entities[len(entities)-1].State.(*domain.Member)
	views := make([]loadedThread, len(roots))
	for i := range roots {
		of := entities[threadEntities*i:]
		thread, _ := of[2].State.(*domain.Thread)
		position, _ := of[3].State.(*domain.ThreadPosition)
		view := ThreadView{Root: viewOf(of[0], of[1]), ThreadSummary: summaryOf(thread)}
		if member.Current() && position.Follows(user, view.Root.Message) {
			view.Following = true
			view.Unread, view.AtLeast = thread.After(max(position.Base(), member.Since))
		}
		view.Root.Summary = view.ThreadSummary
		views[i] = loadedThread{view, thread.Newest}
	}
	return views, nil
}

// summaryOf returns the summary of a thread.
func summaryOf(t *domain.Thread) ThreadSummary {
	s := ThreadSummary{Replies: t.Replies, Participants: slices.Clone(t.Participants), More: t.More}
	if len(t.Recent) > 0 {
		s.Last = t.Recent[0]
	} else {
		s.Last.Seq = t.LastReply()
	}
	return s
}

// ThreadReplies returns a page of the replies in a thread in their present state, the newest first; deleted ones are included as tombstones. A page has at
// most [MaxThreadReplies]. It takes two round trips, however long the thread is, and more if many replies were deleted. It returns
// [domain.ErrMessageNotFound] if the chat has no such root, and [domain.ErrThread] if that is itself a reply.
func (q *Queries) ThreadReplies(ctx context.Context, chat domain.ChatID, root domain.MessageID, page domain.Page) (List[MessageView], error) {
	page, err := checkPageOf(page, MaxThreadReplies)
	from, wrong := seqCursor(page.Cursor)
	if err := firstError(checkChat(chat), checkMessage(root), err, wrong); err != nil {
		return List[MessageView]{}, err
	}
	var sends []ports.Record
	var list List[MessageView]
	for more := true; more; {
		const deletes = 16 // about as many as a page has
		want := ports.LoadRequest{Entity: domain.ThreadEntity(root), Until: q.until, From: from, Last: page.Limit - len(sends) + deletes, Whole: true}
		history, err := q.replyEvents(ctx, chat, root, want)
		if err != nil {
			return List[MessageView]{}, err
		}
		from, list.Next = history.Older, seqText(history.Older)
		more = from > 0 && len(sends) < page.Limit
		for _, r := range slices.Backward(history.Events) {
			if !isSend(r.Event) {
				continue
			}
			if len(sends) == page.Limit {
				list.Next, more = seqText(r.Seq), false
				break
			}
			sends = append(sends, r)
		}
		more = more && len(sends) < page.Limit
	}
	list.Items, err = q.viewsOf(ctx, chat, sends)
	return list, err
}

// isSend reports whether an event sent a message, in whichever version.
func isSend(e domain.Durable) bool {
	switch e := e.(type) {
	case domain.MessageNew:
		return true
	case domain.Unknown:
		return e.Sent
	}
	return false
}

// replyEvents loads events of a thread, and checks that its root is one.
func (q *Queries) replyEvents(ctx context.Context, chat domain.ChatID, root domain.MessageID, want ports.LoadRequest) (ports.EntityHistory, error) {
	loaded, err := q.log.Load(ctx, chat, want, ports.LoadRequest{Entity: domain.MessageEntity(root), Until: q.until, Whole: true})
	if err == nil {
		err = entity.Found(chat, loaded.Head)
	}
	if err != nil {
		return ports.EntityHistory{}, err
	}
	if len(loaded.Entities[1].Events) == 0 {
		return ports.EntityHistory{}, noMessage(chat, root)
	}
	if sent, ok := loaded.Entities[1].Events[0].Event.(domain.MessageNew); ok && sent.Thread != "" {
		return ports.EntityHistory{}, noThread(domain.Message{Chat: chat, ID: root, Thread: sent.Thread})
	}
	return loaded.Entities[0], nil
}

// ThreadPage selects a part of the threads of a chat.
type ThreadPage struct {
	domain.Page
	Followed bool // only threads that the user follows
}

// Threads returns a page of the threads of a chat, as a user sees them, ordered by their last reply that was sent, the newest first. Threads whose replies
// were all deleted are left out. A page has at most [MaxThreads]. It reads the last 1,024 replies before its cursor: the page may have fewer threads than
// asked for, or none, before the last page. A thread that gets a reply meanwhile moves to the first page. It takes two round trips if the threads are
// among the last 256 replies.
func (q *Queries) Threads(ctx context.Context, chat domain.ChatID, user domain.UserID, page ThreadPage) (List[ThreadView], error) {
	var err error
	page.Page, err = checkPageOf(page.Page, MaxThreads)
	from, wrong := seqCursor(page.Cursor)
	if err := firstError(checkChat(chat, user), err, wrong); err != nil {
		return List[ThreadView]{}, err
	}
	var list List[ThreadView]
	seen := make(map[domain.MessageID]struct{})
	for links := 0; links < threadWalk; links += threadLinks {
		loaded, err := q.log.Load(ctx, chat, ports.LoadRequest{Entity: domain.ThreadsEntity(), Until: q.until, From: from, Last: threadLinks})
		if err == nil {
			err = entity.Found(chat, loaded.Head)
		}
		if err != nil {
			return List[ThreadView]{}, err
		}
		history := loaded.Entities[0]
		rest, err := q.addThreads(ctx, chat, user, page, newRoots(history.Events, seen), &list)
		if err != nil {
			return List[ThreadView]{}, err
		}
		if rest > 0 {
			list.Next = seqText(rest)
			return list, nil
		}
		from, list.Next = history.Older, seqText(history.Older)
		if from == 0 || len(list.Items) == page.Limit {
			break
		}
	}
	return list, nil
}

// threadAt is a root, and the seq of the newest of its replies that a walk has met.
type threadAt struct {
	root domain.MessageID
	seq  domain.Seq
}

// newRoots returns the roots of replies that are not in seen, newest reply first, and adds them to seen.
func newRoots(replies []ports.Record, seen map[domain.MessageID]struct{}) (roots []threadAt) {
	for _, r := range slices.Backward(replies) {
		sent, ok := r.Event.(domain.MessageNew)
		if _, known := seen[sent.Thread]; !ok || known {
			continue
		}
		seen[sent.Thread] = struct{}{}
		roots = append(roots, threadAt{sent.Thread, r.Seq})
	}
	return roots
}

// addThreads adds the threads of some roots to a list, until that has its limit. It returns where the next page begins if it leaves roots out. A root that has a
// newer reply belongs to an earlier page.
func (q *Queries) addThreads(
	ctx context.Context, chat domain.ChatID, user domain.UserID, page ThreadPage, roots []threadAt, list *List[ThreadView],
) (rest domain.Seq, err error) {
	for len(roots) > 0 {
		room := page.Limit - len(list.Items)
		if room == 0 {
			return roots[0].seq, nil
		}
		some := roots[:min(room, len(roots))]
		ids := make([]domain.MessageID, len(some))
		for i, at := range some {
			ids[i] = at.root
		}
		views, err := q.threadViews(ctx, chat, user, ids)
		if err != nil {
			return 0, err
		}
		for i, view := range views {
			if view.newest == some[i].seq && view.Replies > 0 && (view.Following || !page.Followed) {
				list.Items = append(list.Items, view.ThreadView)
			}
		}
		roots = roots[len(some):]
	}
	return 0, nil
}
