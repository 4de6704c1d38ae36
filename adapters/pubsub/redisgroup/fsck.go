package redisgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// FsckConfig is the configuration of [Groups.Fsck].
type FsckConfig struct {
	Backlog   ports.Backlog
	Codec     *wireformat.Codec
	Chat      domain.ChatID // only this chat, of Partition; "" for all chats
	Partition int
	Repair    bool // correct contradictions that the log resolves
	// Report is called with each contradiction. An error that it returns ends the check.
	Report func(ports.Contradiction) error
}

// Fsck checks the state of every consumer group against the log and the delivery streams. It finds half-deleted groups, checkpoints beyond a chat's
// head, events that no member will deliver, dead letters without an event and parked chats without a dead letter. It returns an error only if it
// could not finish.
//
// It runs beside writers and the groups' members. It reads in pages and pauses after each for as long as the page took, at most 100 ms. It holds in
// memory a group's chats that are left to the log, the ids of its dead letters and the chats of one page.
func (g *Groups) Fsck(ctx context.Context, c FsckConfig) error {
	names, err := g.names(ctx)
	if err != nil {
		return err
	}
	if c.Chat == "" {
		unlisted, err := g.unlisted(ctx)
		if err != nil {
			return err
		}
		names = append(names, unlisted...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for _, p := range g.partitions {
		if p.Number < 0 || c.Chat != "" && p.Number != c.Partition {
			continue
		}
		for _, name := range names {
			f := &groupCheck{Groups: g, config: c, partition: p.bare(), group: name, keys: p.group(name), store: g.store(name)}
			if err := f.check(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// names returns the names of the groups of any partition. Each of these groups is one of every partition.
func (g *Groups) names(ctx context.Context) ([]string, error) {
	var names []string
	for _, p := range g.partitions {
		some, err := g.commands.SMembers(ctx, p.group("").groups).Result()
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		names = append(names, some...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// unlisted scans all keys for groups that have a state, and returns their names.
func (g *Groups) unlisted(ctx context.Context) (names []string, err error) {
	prefixes := make(map[string]struct{}, len(g.partitions))
	for _, p := range g.partitions {
		prefixes[p.group("").group] = struct{}{}
	}
	scan := func(ctx context.Context, node goredis.Cmdable) error {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			keys, next, err := node.Scan(ctx, cursor, "*}:g:state:*", 256).Result()
			if err != nil {
				return rediscmd.Unavailable(ctx, err)
			}
			for _, key := range keys {
				at := strings.Index(key, "}:g:state:") + len("}:g:state:")
				if _, ours := prefixes[key[:at]]; ours {
					names = append(names, key[at:])
				}
			}
			cursor = next
		}
		return nil
	}
	nodes, err := rediscmd.Masters(ctx, g.commands)
	if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	for _, node := range nodes {
		if err := scan(ctx, node); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// groupCheck checks one group on one partition.
type groupCheck struct {
	*Groups
	config    FsckConfig
	partition groups.Partition
	group     string
	keys      groupKeys
	store     *store
}

func (f *groupCheck) check(ctx context.Context) error {
	if ready, err := f.state(ctx); err != nil || !ready {
		return err
	}
	if f.config.Chat != "" {
		page, _, err := f.config.Backlog.ReadRaw(ctx, f.partition.Number, "", []ports.EventRange{{Chat: f.config.Chat, From: 1, Limit: 1}})
		if err != nil {
			return err
		}
		if len(page) == 1 && page[0].Err == nil && page[0].Head > 0 {
			if err := f.chats(ctx, []ports.ChatHead{{Chat: f.config.Chat, Head: page[0].Head}}); err != nil {
				return err
			}
		}
		return f.letters(ctx)
	}
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var heads []ports.ChatHead
		var next uint64
		err := f.step(ctx, func() (err error) {
			heads, next, _, err = f.config.Backlog.ListHeads(ctx, f.partition.Number, cursor)
			return err
		})
		if errors.Is(err, ports.ErrCorrupt) {
			break // a contradiction of the log
		}
		if err != nil {
			return err
		}
		if err := f.chats(ctx, heads); err != nil {
			return err
		}
		cursor = next
	}
	return f.letters(ctx)
}

// step calls do, and pauses for as long as do took, at most 100 ms.
func (f *groupCheck) step(ctx context.Context, do func() error) error {
	const longest = 100 * time.Millisecond
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	timer := time.NewTimer(min(time.Since(began), longest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (f *groupCheck) pipelined(ctx context.Context, do func(p goredis.Pipeliner)) error {
	return f.step(ctx, func() error {
		_, err := f.commands.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			do(p)
			return nil
		})
		if err != nil && !errors.Is(err, goredis.Nil) {
			return rediscmd.Unavailable(ctx, err)
		}
		return nil
	})
}

func (f *groupCheck) found(c ports.Contradiction, correct func() (bool, error)) error {
	c.Group = f.group
	if f.config.Repair && correct != nil {
		done, err := correct()
		if err != nil {
			return err
		}
		c.Repaired = done
	}
	return f.config.Report(c)
}

// state checks that the group exists on the partition. It reports whether it does, with its first checkpoints written.
func (f *groupCheck) state(ctx context.Context) (ready bool, err error) {
	var fields *goredis.SliceCmd
	var named *goredis.BoolCmd
	var known *goredis.IntCmd
	err = f.pipelined(ctx, func(p goredis.Pipeliner) {
		fields, named = p.HMGet(ctx, f.keys.group, "state", "epoch", "position"), p.SIsMember(ctx, f.keys.groups, f.group)
		known = p.Exists(ctx, f.keys.group, f.keys.chats)
	})
	if err != nil {
		return false, err
	}
	if !named.Val() && known.Val() == 0 {
		return false, f.halfDeleted(ctx)
	}
	state, _ := fields.Val()[0].(string)
	_, owned := fields.Val()[1].(string)
	position, _ := fields.Val()[2].(string)
	_, positionErr := parseID(position)
	switch {
	case state == "" || !owned || positionErr != nil:
		return false, f.found(ports.Contradiction{
			Kind: "group_state", Key: f.keys.group, What: "the group has no state on the partition, or not all of it",
			Repair: "the group restarts from its checkpoints: every chat is checked, and chats that are behind are read from the log",
		}, func() (bool, error) {
			if err := f.commands.Del(ctx, f.keys.group).Err(); err != nil {
				return false, rediscmd.Unavailable(ctx, err)
			}
			_, err := f.store.Create(ctx, f.partition, groups.Start{Beginning: true})
			return err == nil, err
		})
	case !named.Val():
		return true, f.found(ports.Contradiction{
			Kind: "group_unlisted", Key: f.keys.groups, What: "the group is not among the partition's groups: the stream is trimmed regardless of it", Repair: "it is added to them",
		}, func() (bool, error) {
			if err := f.commands.SAdd(ctx, f.keys.groups, f.group).Err(); err != nil {
				return false, rediscmd.Unavailable(ctx, err)
			}
			return true, nil
		})
	}
	return state == "ready", nil
}

// halfDeleted reports a group that is gone from this partition and exists on others.
func (f *groupCheck) halfDeleted(ctx context.Context) error {
	names, err := f.names(ctx) // it may have been deleted meanwhile
	if err != nil || !slices.Contains(names, f.group) {
		return err
	}
	return f.found(ports.Contradiction{
		Kind: "group_half", Key: f.keys.group, What: "the group is missing on this partition and exists on others: its deletion was interrupted",
		Lost: "nothing of this partition is delivered to it; delete it once more, or run it to create it there anew",
	}, nil)
}

// standing is the group's state of some chats, all as of one moment.
type standing struct {
	position    groups.StreamID
	walks       bool
	checkpoints []string // "" for none
	left        []string
}

func (f *groupCheck) standing(ctx context.Context, chats []string) (s standing, err error) {
	var state, checkpoints, left *goredis.SliceCmd
	err = f.pipelined(ctx, func(p goredis.Pipeliner) {
		state = p.HMGet(ctx, f.keys.group, "position", "walk")
		checkpoints, left = p.HMGet(ctx, f.keys.chats, chats...), p.HMGet(ctx, f.keys.left, chats...)
	})
	if err != nil {
		return s, err
	}
	position, _ := state.Val()[0].(string)
	walk, _ := state.Val()[1].(string)
	s.position, err = parseID(position)
	s.walks = walk != "" || err != nil // a deleted group is not checked
	for i := range chats {
		checkpoint, _ := checkpoints.Val()[i].(string)
		as, _ := left.Val()[i].(string)
		s.checkpoints, s.left = append(s.checkpoints, checkpoint), append(s.left, as)
	}
	return s, nil
}

// chats compares the checkpoints of a page of chats with their heads.
func (f *groupCheck) chats(ctx context.Context, heads []ports.ChatHead) error {
	heads = slices.DeleteFunc(slices.Clone(heads), func(h ports.ChatHead) bool { return h.Err != nil })
	if len(heads) == 0 {
		return nil
	}
	names := make([]string, len(heads))
	for i, h := range heads {
		names[i] = string(h.Chat)
	}
	s, err := f.standing(ctx, names)
	if err != nil {
		return err
	}
	var suspects []suspect
	for i, h := range heads {
		switch checkpoint := parseSeq(s.checkpoints[i]); {
		case checkpoint > h.Head:
			if err := f.beyond(ctx, h.Chat, s.checkpoints[i], s.left[i]); err != nil {
				return err
			}
		case checkpoint < h.Head && s.left[i] == "" && !s.walks:
			suspects = append(suspects, suspect{names[i], h.Head, checkpoint})
		}
	}
	return f.undelivered(ctx, suspects, s.position)
}

// beyond reports a checkpoint beyond the chat's head. It reads the head again, because the checkpoint was read after the head.
func (f *groupCheck) beyond(ctx context.Context, chat domain.ChatID, checkpoint, left string) error {
	pages, _, err := f.config.Backlog.ReadRaw(ctx, f.partition.Number, "", []ports.EventRange{{Chat: chat, From: 1, Limit: 1}})
	if err != nil || len(pages) == 0 || pages[0].Err != nil || pages[0].Head >= parseSeq(checkpoint) {
		return err
	}
	head := pages[0].Head
	return f.found(ports.Contradiction{
		Kind: "checkpoint", Chat: chat, Seq: head, Key: f.keys.chats,
		What: fmt.Sprintf("the checkpoint is %s, and the chat ends with %d: its next events would be skipped", checkpoint, head), Repair: fmt.Sprintf("the checkpoint becomes %d", head),
	}, func() (bool, error) {
		return f.mark(ctx, chat, checkpoint, left, strconv.FormatUint(uint64(head), 10), "")
	})
}

// mark marks a chat as behind. It also sets another checkpoint or removes a dead letter if these are given.
func (f *groupCheck) mark(ctx context.Context, chat domain.ChatID, checkpoint, left, corrected, letter string) (bool, error) {
	k, marked := f.keys, false
	err := f.store.guarded(ctx, f.partition, func(log string) (int64, error) {
		status, err := f.scripts.fsckMark.Run(ctx, f.commands, []string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead},
			log, string(chat), checkpoint, left, corrected, letter).Int64()
		if err != nil {
			return 0, rediscmd.Unavailable(ctx, err)
		}
		marked = status == 1
		return min(status, 0), nil
	})
	return marked, err
}

// suspect is a chat with unfinished events.
type suspect struct {
	chat             string
	head, checkpoint domain.Seq
}

// undelivered finds chats whose next event is not in the stream after the position though the chat is not left to the log. Entries and positions only
// move forward, and an owner marks a chat before the position passes its events. A contradiction found before and after the stream is read is
// therefore permanent.
func (f *groupCheck) undelivered(ctx context.Context, suspects []suspect, position groups.StreamID) error {
	if len(suspects) == 0 {
		return nil
	}
	waiting := make(map[string]suspect, len(suspects))
	for _, s := range suspects {
		waiting[s.chat] = s
	}
	for from := position; len(waiting) > 0; {
		var entries []goredis.XMessage
		err := f.step(ctx, func() (err error) {
			const page = 512
			entries, err = f.commands.XRangeN(ctx, f.partition.Stream, "("+from.String(), "+", page).Result()
			return err
		})
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		if len(entries) == 0 {
			break
		}
		for _, m := range entries {
			if l := parseLetter(m.Values); l.Seq > waiting[l.Chat].checkpoint {
				delete(waiting, l.Chat)
			}
		}
		if from, err = parseID(entries[len(entries)-1].ID); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(waiting))
	for chat := range waiting {
		names = append(names, chat)
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	s, err := f.standing(ctx, names)
	if err != nil || s.walks {
		return err
	}
	for i, chat := range names {
		head := waiting[chat].head
		if parseSeq(s.checkpoints[i]) >= head || s.left[i] != "" {
			continue
		}
		next := parseSeq(s.checkpoints[i]) + 1
		err := f.found(ports.Contradiction{
			Kind: "undelivered", Chat: domain.ChatID(chat), Seq: next, Key: f.keys.chats,
			What:   fmt.Sprintf("seqs %d to %d are neither finished nor in the stream, and the chat is not left to the log", next, head),
			Repair: "the chat is read from the log from there on",
		}, func() (bool, error) { return f.mark(ctx, domain.ChatID(chat), s.checkpoints[i], "", "", "") })
		if err != nil {
			return err
		}
	}
	return nil
}

// letters checks the dead letters against the log, and the parked chats and retry marks against the dead letters.
func (f *groupCheck) letters(ctx context.Context) error {
	left, err := hashMap(ctx, f.Groups, f.keys.left, parseChatState) // read before the letters: each of them had a letter then
	if err != nil {
		return err
	}
	again, err := hashMap(ctx, f.Groups, f.keys.again, parseRetryMark)
	if err != nil {
		return err
	}
	parked, ids := make(map[domain.ChatID]struct{}), make(map[string]struct{})
	for from := "-"; ; {
		var letters []goredis.XMessage
		err := f.step(ctx, func() (err error) {
			const page = 100
			letters, err = f.commands.XRangeN(ctx, f.keys.dead, from, "+", page).Result()
			return err
		})
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		if len(letters) == 0 {
			break
		}
		for _, m := range letters {
			l := parseLetter(m.Values)
			ids[m.ID] = struct{}{}
			if l.Parked {
				parked[domain.ChatID(l.Chat)] = struct{}{}
			}
			if err := f.letter(ctx, m.ID, l); err != nil {
				return err
			}
		}
		from = "(" + letters[len(letters)-1].ID
	}
	for chat, state := range left {
		if _, has := parked[domain.ChatID(chat)]; state == groups.Parked && !has && (f.config.Chat == "" || string(f.config.Chat) == chat) {
			if err := f.parked(ctx, domain.ChatID(chat)); err != nil {
				return err
			}
		}
	}
	for id := range again {
		if _, has := ids[id]; has || f.config.Chat != "" {
			continue
		}
		err := f.found(ports.Contradiction{
			Kind: "letter", Key: f.keys.again, What: "dead letter " + id + " is to be redelivered and is missing", Repair: "the mark is removed",
		}, func() (bool, error) {
			n, err := f.commands.HDel(ctx, f.keys.again, id).Result()
			if err != nil {
				return false, rediscmd.Unavailable(ctx, err)
			}
			return n > 0, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parked checks a parked chat for which no dead letter was found.
func (f *groupCheck) parked(ctx context.Context, chat domain.ChatID) error {
	s, err := f.standing(ctx, []string{string(chat)})
	if err != nil || s.left[0] != markParked {
		return err
	}
	for from := "-"; ; { // it may have been parked anew
		letters, err := f.commands.XRangeN(ctx, f.keys.dead, from, "+", 100).Result()
		if err != nil {
			return rediscmd.Unavailable(ctx, err)
		}
		if len(letters) == 0 {
			break
		}
		for _, m := range letters {
			if l := parseLetter(m.Values); l.Parked && l.Chat == string(chat) {
				return nil
			}
		}
		from = "(" + letters[len(letters)-1].ID
	}
	return f.found(ports.Contradiction{
		Kind: "parked", Chat: chat, Key: f.keys.left, What: "the chat waits for a decision about a dead letter, and there is none", Repair: "it goes on with its next event",
	}, func() (bool, error) { return f.mark(ctx, chat, s.checkpoints[0], markParked, "", "") })
}

// letter checks that a dead letter's event is in the log.
func (f *groupCheck) letter(ctx context.Context, id string, l groups.Letter) error {
	chat := domain.ChatID(l.Chat)
	if l.Seq == 0 || f.config.Chat != "" && f.config.Chat != chat {
		return nil
	}
	var pages []ports.EncodedPage
	err := f.step(ctx, func() (err error) {
		pages, _, err = f.config.Backlog.ReadRaw(ctx, f.partition.Number, "", []ports.EventRange{{Chat: chat, From: l.Seq, Limit: 1}})
		return err
	})
	if err != nil || len(pages) == 0 || pages[0].Err != nil {
		return err
	}
	what := fmt.Sprintf("it is of seq %d, and the chat ends with %d", l.Seq, pages[0].Head)
	if len(pages[0].Events) > 0 {
		r, err := f.config.Codec.Decode(pages[0].Events[0])
		if err != nil || l.UUID == "" || string(r.ID) == l.UUID {
			return nil //nolint:nilerr // an entry that cannot be read is a contradiction of the log
		}
		what = fmt.Sprintf("it is of event %s, and the log has %s at seq %d", l.UUID, r.ID, l.Seq)
	}
	s, err := f.standing(ctx, []string{l.Chat})
	if err != nil {
		return err
	}
	return f.found(ports.Contradiction{
		Kind: "letter", Chat: chat, Seq: l.Seq, Key: f.keys.dead, What: "dead letter " + id + ": " + what, Repair: "it is removed, and a chat that is parked for it goes on",
	}, func() (bool, error) {
		if l.Parked && s.left[0] == markParked {
			return f.mark(ctx, chat, s.checkpoints[0], markParked, "", id)
		}
		_, err := f.commands.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.XDel(ctx, f.keys.dead, id)
			p.HDel(ctx, f.keys.again, id)
			return nil
		})
		if err != nil {
			return false, rediscmd.Unavailable(ctx, err)
		}
		return true, nil
	})
}
