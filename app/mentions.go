package app

import (
	"context"
	"slices"
	"sync"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	// MaxMentionPage is the most messages of one page of mentions.
	MaxMentionPage = 50

	mentionThreads = 64   // threads whose marks are read to count mentions
	mentionLinks   = 1024 // events that a query reads for one page of mentions
)

// UnreadMentions is a user's unread messages and mentions in a chat.
type UnreadMentions struct {
	Messages       domain.Ordinal // of others in the main timeline, as [Queries.Unread] counts them
	Mentions       int            // messages of others in the main timeline that mention the user, or all members
	ThreadMentions int            // such messages in threads alone, which the user need not follow
	AtLeast        bool           // whether there may be more mentions, before the last [domain.MaxMentionEvents] events that changed mentions
}

// UnreadMentions returns how many messages and mentions a member has not read. A mention in the main timeline is read with the chat, one in a thread alone with
// the thread ([Chats.MarkThread]). A mention counts at the place of its message: not if an edit adds it to a message that the user has read. Deletions, and edits that
// take the mention back, end it. Messages of the users in ignoring are no mentions.
//
// It takes one round trip if this process has seen the chat's mentions before, or the user has read them all; otherwise one more, of about 200 KiB at most.
// Mentions in threads take another one; those in more than the last 64 threads are left out, with AtLeast. The counts of messages and of mentions may
// be of different moments of the call. It returns [domain.ErrNotMember] for anyone else.
func (q *Queries) UnreadMentions(ctx context.Context, chat domain.ChatID, user domain.UserID, ignoring ...domain.UserID) (UnreadMentions, error) {
	if err := firstError(checkChat(chat, user), checkUsers(ignoring)); err != nil {
		return UnreadMentions{}, err
	}
	var unread UnreadMentions
	var counting sync.WaitGroup
	var failed error
	counting.Go(func() { unread.Messages, failed = q.models.Unread(ctx, chat, user) })
	at, err := q.mentionState(ctx, chat, user)
	counting.Wait()
	if err := firstError(failed, err); err != nil {
		return UnreadMentions{}, err
	}
	main, mainLeast := at.main.Of(user, at.base)
	threads, threadsLeast := at.threads.Of(user, at.since)
	ignored := func(m domain.Mention) bool { return slices.Contains(ignoring, m.Sender) }
	unread.Mentions = len(slices.DeleteFunc(main, ignored))
	n, cut, err := q.unreadInThreads(ctx, chat, user, slices.DeleteFunc(threads, ignored))
	unread.ThreadMentions, unread.AtLeast = n, mainLeast || threadsLeast || cut
	return unread, err
}

// mentionState is the mentions of a chat, and where a member stands.
type mentionState struct {
	since, base   domain.Seq // of the join; of that or the read mark, whichever is later
	main, threads *domain.Mentions
}

// mentionState loads the mentions that the member may not have read, in one round trip and one more for those that are not cached. It leaves out mentions
// that are all read.
func (q *Queries) mentionState(ctx context.Context, chat domain.ChatID, user domain.UserID) (mentionState, error) {
	entities := []entity.Versioned{
		{Entity: domain.MemberEntity(user)},
		{Entity: domain.ReadEntity(user), Latest: true},
		{Entity: domain.MentionsEntity(true)},
		{Entity: domain.MentionsEntity(false)},
	}
	q.entities.Cached(chat, entities)
	for i := 2; i < len(entities); i++ {
		entities[i].Latest = entities[i].State == nil
	}
	_, unread, err := q.refresh(ctx, chat, entities)
	for _, u := range unread {
		if u.Newer && err == nil {
			err = &u.NewerVersionError
		}
	}
	if err != nil {
		return mentionState{}, err
	}
	member, _ := entities[0].State.(*domain.Member)
	mark, _ := entities[1].State.(*domain.ReadMark)
	if !member.Current() {
		return mentionState{}, domain.NotMember(chat, user)
	}
	s := mentionState{since: member.Since, base: max(member.Since, mark.Seq)}
	above := [...]domain.Seq{s.base, s.since}
	var missing []entity.Versioned
	for i, ring := range entities[2:] {
		if ring.Latest && ring.Version > above[i] {
			missing = append(missing, entity.Versioned{Entity: ring.Entity})
		}
	}
	if len(missing) > 0 {
		if _, err := q.load(ctx, chat, missing); err != nil {
			return mentionState{}, err
		}
	}
	s.main, s.threads = mentionsIn(entities[2], missing), mentionsIn(entities[3], missing)
	return s, nil
}

// mentionsIn returns loaded mentions: none if they were only probed and not missing.
func mentionsIn(probed entity.Versioned, missing []entity.Versioned) *domain.Mentions {
	for _, loaded := range missing {
		if loaded.Entity == probed.Entity {
			m, _ := loaded.State.(*domain.Mentions)
			return m
		}
	}
	if m, ok := probed.State.(*domain.Mentions); ok && !probed.Latest {
		return m
	}
	return &domain.Mentions{}
}

// unreadInThreads returns how many of some mentions in threads the user has not read, of the newest threads. cut reports whether there are others.
func (q *Queries) unreadInThreads(ctx context.Context, chat domain.ChatID, user domain.UserID, mentions []domain.Mention) (n int, cut bool, err error) {
	marks := make(map[domain.MessageID]int)
	var entities []entity.Versioned
	for _, m := range slices.Backward(mentions) {
		if _, known := marks[m.Thread]; known {
			continue
		}
		if len(entities) == mentionThreads {
			cut = true
			break
		}
		marks[m.Thread] = len(entities)
		entities = append(entities, entity.Versioned{Entity: domain.ThreadMarkEntity(user, m.Thread)})
	}
	if len(entities) == 0 {
		return 0, false, nil
	}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return 0, false, err
	}
	for _, m := range mentions {
		place, known := marks[m.Thread]
		if !known {
			continue
		}
		if position, _ := entities[place].State.(*domain.ThreadPosition); m.Seq > position.Base() {
			n++
		}
	}
	return n, cut, nil
}

// MentionPage selects a part of the messages that mention a user.
type MentionPage struct {
	domain.Page
	Threads bool // those that are in threads alone, instead of those of the main timeline
}

// MentionsOf returns a page of the messages of a chat that mention a user, or all members, in their present state, the latest mention first: also those that the user
// has read. Messages that no longer mention the user are left out. A page has at most [MaxMentionPage]; the query reads the last 1,024 events that changed
// mentions before its cursor. A page may have fewer messages than asked for, or none, before the last page. A message whose mention was taken back and
// added again may be on two pages. It takes two round trips for a chat of few mentions.
func (q *Queries) MentionsOf(ctx context.Context, chat domain.ChatID, user domain.UserID, page MentionPage) (List[MessageView], error) {
	var err error
	page.Page, err = checkPageOf(page.Page, MaxMentionPage)
	from, wrong := seqCursor(page.Cursor)
	if err := firstError(checkChat(chat, user), err, wrong); err != nil {
		return List[MessageView]{}, err
	}
	loaded, err := q.log.Load(ctx, chat, ports.LoadRequest{Entity: domain.MentionsEntity(!page.Threads), Until: q.until, From: from, Last: mentionLinks})
	if err == nil {
		err = entity.Found(chat, loaded.Head)
	}
	if err != nil {
		return List[MessageView]{}, err
	}
	history := loaded.Entities[0]
	list := List[MessageView]{Next: seqText(history.Older)}
	var entities []entity.Versioned
	seen := make(map[domain.MessageID]struct{})
	for _, r := range slices.Backward(history.Events) {
		id := mentioning(r.Event, user)
		if _, twice := seen[id]; id == "" || twice {
			continue
		}
		if len(seen) == page.Limit {
			list.Next = seqText(r.Seq)
			break
		}
		seen[id] = struct{}{}
		entities = append(entities, entity.Versioned{Entity: domain.MessageEntity(id)}, entity.Versioned{Entity: domain.ReactionsEntity(id)})
	}
	if len(entities) == 0 {
		return list, nil
	}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return List[MessageView]{}, err
	}
	for i := 0; i < len(entities); i += 2 {
		view := viewOf(entities[i], entities[i+1])
		if view.Broadcast == domain.BroadcastAll || slices.Contains(view.Mentions, user) {
			list.Items = append(list.Items, view)
		}
	}
	return list, nil
}

// mentioning returns the message if an event makes it mention a user, who is not its author, and "" otherwise.
func mentioning(e domain.Durable, user domain.UserID) domain.MessageID {
	switch e := e.(type) {
	case domain.MessageNew:
		if e.Sender != user && (e.Broadcast == domain.BroadcastAll || slices.Contains(e.Mentions, user)) {
			return e.Message
		}
	case domain.MessageEdit:
		if e.Editor != user && slices.Contains(e.MentionsAdded, user) {
			return e.Message
		}
	}
	return ""
}
