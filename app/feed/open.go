package feed

import (
	"context"
	"errors"
	"sync"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// opening is a chat that a feed is about to follow.
type opening struct {
	Position
	chat   *chat
	grant  app.Grant // of a service: only Head
	err    error     // why the user may not read the chat
	named  bool      // the request names it
	joined bool      // the position is that before the event that made the user a member
}

// Open begins a feed. It returns a [*domain.InvalidError] for a malformed request or too many chats, and for a named chat that User may not follow the
// error of [app.Access.Check]. A former member's named chat ends at the removal.
//
// If many feeds open at once, some wait for their turn (Config.Opens).
//
// A feed of all chats opens without those that cannot be read ([ports.ErrCorrupt], [ports.ErrNewerVersion]), also if the request has positions of them.
// It follows them once they can be read, which the hub tries about every minute, and when the user's chats change.
func (h *Hub) Open(ctx context.Context, r Request) (*Feed, error) {
	if h.d.Tail == nil {
		return nil, &domain.InvalidError{Field: "EventLog.Tail", Problem: "is missing", Allowed: "a tail of the log, for live feeds"}
	}
	if err := r.check(h.c); err != nil {
		return nil, err
	}
	f := &Feed{
		hub: h, user: r.User, allChats: r.AllChats, durableOnly: r.DurableOnly, maxCatchUp: domain.Seq(h.c.MaxCatchUp), //nolint:gosec // positive
		wake: make(chan struct{}, 1), active: time.Now(),
	}
	if r.MaxCatchUp > 0 {
		f.maxCatchUp = domain.Seq(r.MaxCatchUp)
	}
	if err := h.add(ctx, f); err != nil {
		return nil, err
	}
	if err := h.pace.wait(ctx, h.ctx.Done()); err != nil {
		f.Close()
		return nil, err
	}
	if err := h.begin(ctx, f, r); err != nil {
		f.Close()
		return nil, err
	}
	if f.allChats {
		h.ready(f)
	}
	return f, nil
}

// begin has a feed follow the chats of a request.
func (h *Hub) begin(ctx context.Context, f *Feed, r Request) error {
	chats, err := h.chatsOf(ctx, r)
	if err != nil {
		return err
	}
	other := r.LogID != "" && r.LogID != h.d.LogID
	if other {
		f.due = append(f.due, Message{Kind: KindResync})
	}
	if err := h.openAll(ctx, f.user, chats); err != nil {
		return err
	}
	for _, o := range chats {
		if o.err != nil && !r.AllChats {
			closeAll(chats)
			return o.err
		}
	}
	f.followed, f.work = make([]*follower, 0, len(chats)), make([]*follower, 0, len(chats))
	for _, o := range chats {
		switch {
		case isUnreadable(o.err):
			if other {
				o.named, o.Position = false, Position{Chat: o.Chat, Head: true}
			}
			f.parkOpening(o)
		case o.err == nil && (o.named || o.grant.Until == 0):
			f.follow(o, other)
			continue
		case o.named:
			f.due = append(f.due, Message{Kind: KindChatLeft, Chat: o.Chat, To: o.Seq})
		}
		o.chat.leave()
	}
	return nil
}

// chatsOf returns the chats that a request is about.
func (h *Hub) chatsOf(ctx context.Context, r Request) ([]*opening, error) {
	chats := make([]*opening, 0, len(r.Chats))
	named := make(map[domain.ChatID]struct{}, len(r.Chats))
	for _, position := range r.Chats {
		chats = append(chats, &opening{Position: position, named: true})
		named[position.Chat] = struct{}{}
	}
	if !r.AllChats {
		return chats, nil
	}
	all, err := h.d.Queries.ChatsOf(ctx, r.User)
	if err != nil {
		return nil, err
	}
	for _, id := range all {
		if _, ok := named[id]; !ok {
			chats = append(chats, &opening{Position: Position{Chat: id, Head: !r.Resume}, joined: r.Resume})
		}
	}
	if len(chats) > h.c.MaxChats {
		return nil, tooManyChats("allChats", len(chats), h.c.MaxChats)
	}
	return chats, nil
}

// openAtOnce is how many partitions one feed begins to watch at once.
const openAtOnce = 16

// openAll enters chats, and reads their heads and what the user may read of them: after their partitions are watched, and in one round trip for each 64
// chats. After an error no chat is entered.
func (h *Hub) openAll(ctx context.Context, user domain.UserID, chats []*opening) error {
	var group sync.WaitGroup
	slots, errs := make(chan struct{}, openAtOnce), make([]error, len(chats))
	for i, o := range chats {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			p := h.partitionOf(o.Chat)
			if errs[i] = p.acquire(ctx); errs[i] == nil {
				o.chat = p.enter(o.Chat)
			}
		})
	}
	group.Wait()
	var err error
	for _, err = range errs {
		if err != nil {
			break
		}
	}
	if err == nil {
		err = h.readHeads(ctx, user, chats)
	}
	if err != nil {
		closeAll(chats)
	}
	return err
}

func closeAll(chats []*opening) {
	for _, o := range chats {
		if o.chat != nil {
			o.chat.leave()
		}
	}
}

// acquire has the partition watched.
func (p *partition) acquire(ctx context.Context) error {
	return p.interest.acquire(ctx, p.hub, func(ctx context.Context) (func(), error) {
		history := p.hub.history(ctx)
		p.mu.Lock()
		p.history = history
		p.mu.Unlock()
		return p.hub.d.Tail.Watch(ctx, p.index, p)
	})
}

// readHeads reads what the user may read of chats; for a service, their heads.
func (h *Hub) readHeads(ctx context.Context, user domain.UserID, chats []*opening) error {
	ids, loads := make([]domain.ChatID, len(chats)), make([]ports.ChatLoad, len(chats))
	for i, o := range chats {
		ids[i], loads[i].Chat = o.Chat, o.Chat
	}
	if user == "" {
		loaded, err := h.d.Log.LoadChats(ctx, loads...)
		for i := range loaded {
			chats[i].grant.Head = loaded[i].Head
		}
		return err
	}
	checked, err := h.d.Access.CheckAll(ctx, user, ids...)
	for i, c := range checked {
		o := chats[i]
		if o.grant, o.err = c.Grant, c.Err; o.err != nil && !errors.Is(o.err, domain.ErrChatNotFound) && !isUnreadable(o.err) {
			return o.err
		}
		if o.joined && o.err == nil {
			o.Seq = max(o.grant.Member.Since, 1) - 1
		}
	}
	return err
}

// follow has a feed follow a chat that was opened. other has it begin at the head.
func (f *Feed) follow(o *opening, other bool) {
	s := &follower{feed: f, chat: o.chat, flags: flagBeginning | flagCaughtUp}
	s.permit(o.grant)
	if o.joined && !other {
		s.flags |= flagJoined
	}
	o.chat.attach(s, o.grant.Head, o.Position, other)
	f.mu.Lock()
	delete(f.parked, o.Chat)
	if f.ended != nil {
		f.mu.Unlock()
		s.detach()
		return
	}
	s.inWork = true
	f.followed, f.work = append(f.followed, s), append(f.work, s)
	f.mu.Unlock()
	f.poke()
}

// add registers a feed that is about to open, and has the hub hear what it needs.
func (h *Hub) add(ctx context.Context, f *Feed) error {
	if !f.durableOnly {
		err := h.ephemeral.acquire(ctx, h, func(ctx context.Context) (func(), error) { return h.d.Tail.WatchEphemeral(ctx, h.hearEphemeral) })
		if err != nil {
			return err
		}
	}
	if f.allChats {
		err := h.members.acquire(ctx, h, func(ctx context.Context) (func(), error) { return h.d.Tail.WatchMemberships(ctx, h.hearMembership) })
		if err != nil {
			if !f.durableOnly {
				h.ephemeral.release()
			}
			return err
		}
	}
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.feeds[f] = struct{}{}
		h.addUser(f)
	}
	h.mu.Unlock()
	if closed {
		f.release()
		return ErrEnded
	}
	return nil
}

// remove ends what add has begun, and the followers of a feed that has ended.
func (h *Hub) remove(f *Feed, followed []*follower) {
	for _, s := range followed {
		s.detach()
	}
	h.mu.Lock()
	_, open := h.feeds[f]
	delete(h.feeds, f)
	if open {
		h.removeUser(f)
	}
	h.mu.Unlock()
	if open {
		f.release()
	}
}

// release ends the feed's interests in ephemeral events and memberships.
func (f *Feed) release() {
	if !f.durableOnly {
		f.hub.ephemeral.release()
	}
	if f.allChats {
		f.hub.members.release()
	}
}
