package memgroup

import (
	"cmp"
	"context"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// List implements [groups.Admin].
func (g *Groups) List(ctx context.Context) ([]groups.State, error) {
	if err := g.begin(ctx); err != nil {
		return nil, err
	}
	defer g.mu.Unlock()
	states := make(map[string]*groups.State)
	for _, p := range g.partitions {
		for name := range p.groups {
			if states[name] == nil {
				states[name] = &groups.State{Group: name, Members: g.countMembers(name)}
			}
			state, err := g.inspect(ctx, p, name)
			if err != nil {
				return nil, err
			}
			states[name].Partitions = append(states[name].Partitions, state)
		}
	}
	list := make([]groups.State, 0, len(states))
	for _, s := range states {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b groups.State) int { return cmp.Compare(a.Group, b.Group) })
	return list, nil
}

// countMembers counts the members of a group whose heartbeats have not expired. The mutex is held.
func (g *Groups) countMembers(group string) (n int) {
	for _, until := range g.membershipOf(group).living {
		if until.After(g.now()) {
			n++
		}
	}
	return n
}

// Inspect implements [groups.Admin].
func (g *Groups) Inspect(ctx context.Context, group string, partitions []groups.Partition) (groups.State, error) {
	if err := g.beginWith(ctx, group); err != nil {
		return groups.State{}, err
	}
	defer g.mu.Unlock()
	state := groups.State{Group: group}
	for _, p := range partitions {
		part := g.partition(p)
		if part.groups[group] == nil {
			continue
		}
		s, err := g.inspect(ctx, part, group)
		if err != nil {
			return groups.State{}, err
		}
		state.Partitions = append(state.Partitions, s)
	}
	return state, nil
}

// inspect returns the state of a group on a partition. The mutex is held.
func (g *Groups) inspect(ctx context.Context, p *partition, group string) (groups.PartitionState, error) {
	s, now := p.groups[group], g.now()
	state := groups.PartitionState{
		Stream: p.Stream, Partition: p.Number, Epoch: s.epoch, Position: s.position.String(), Failing: len(s.failing), Letters: len(s.letters),
		LettersFull: s.bound > 0 && len(s.letters) >= s.bound, CatchesUp: s.walk.Active, Walked: s.walk.Checked, Chats: s.walk.Total,
	}
	if s.until.After(now) {
		state.Owner, state.Until = s.owner, s.until
	}
	unread := p.stream.after(s.position)
	state.Passed = uint64(p.stream.added - len(unread)) //nolint:gosec // not negative
	if len(unread) > 0 {
		state.Lag = uint64(len(unread))
		state.Oldest = time.UnixMilli(int64(unread[0].ID.Milliseconds)).UTC() //nolint:gosec // a time
		state.Age = max(now.Sub(state.Oldest), 0)
	}
	state.Blocked, state.Longest = s.blocked()
	var behind []ports.EventRange
	for chat, as := range s.left {
		if as == groups.Parked {
			state.Parked++
		} else {
			state.Behind++
			behind = append(behind, ports.EventRange{Chat: domain.ChatID(chat), From: 1, Limit: 1}) // for the head
		}
	}
	lag, err := g.unfinished(ctx, p, s, behind)
	state.Lag += lag
	return state, err
}

// unfinished counts the unfinished events of chats, after their checkpoints.
func (g *Groups) unfinished(ctx context.Context, p *partition, s *groupState, chats []ports.EventRange) (events uint64, err error) {
	if len(chats) == 0 || !p.Logged() {
		return 0, nil
	}
	pages, _, err := g.log.ReadRaw(ctx, p.Number, "", chats)
	if err != nil {
		return 0, err
	}
	for i, page := range pages {
		chat := string(chats[i].Chat)
		events += s.failing[chat].Unfinished(s.checkpoints[chat], page.Head)
	}
	return events, nil
}

// blocked returns the number of chats that make no progress, and those that are blocked for the longest.
func (s *groupState) blocked() (n int, longest []groups.BlockedChat) {
	for chat, p := range s.failing {
		if f := p.Failure; f.Reason != "" {
			longest = append(longest, groups.BlockedChat{Chat: domain.ChatID(chat), Seq: f.Seq, Reason: f.Reason, Since: f.Since, Error: f.Cause})
		}
	}
	slices.SortFunc(longest, func(a, b groups.BlockedChat) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Chat, b.Chat))
	})
	n = len(longest)
	return n, longest[:min(n, groups.MaxBlockedChats)]
}
