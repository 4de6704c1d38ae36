package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// compare compares the index, the members and the tombstones of a chat with the fold of its events. Entities that were moved after the fold are
// folded and compared again, a bounded number of times. Entities that still change after that are no contradictions.
func (c *chatCheck) compare(ctx context.Context, fold *chatFold) error {
	fields := make([]string, 0, len(fold.entries))
	for field := range fold.entries {
		fields = append(fields, field)
	}
	const rounds = 5
	for range rounds {
		moved, err := c.compareFields(ctx, fold, fields)
		if err != nil {
			return err
		}
		if len(moved) == 0 {
			break
		}
		if err := c.grow(ctx, fold); err != nil || c.unfolded {
			return err
		}
		fields = moved
	}
	if err := c.compareMembers(ctx, fold); err != nil {
		return err
	}
	if err := c.compareTombstones(ctx, fold); err != nil {
		return err
	}
	return c.phantomFields(ctx, fold)
}

// grow folds the events appended since.
func (c *chatCheck) grow(ctx context.Context, fold *chatFold) error {
	head, err := c.present(ctx)
	if err != nil || head <= c.last {
		return err
	}
	from := c.last + 1
	c.last = head
	return c.read(ctx, fold, from, head, false)
}

// present returns the chat's current last seq, or 0 if the head is missing.
func (c *chatCheck) present(ctx context.Context) (domain.Seq, error) {
	page, err := c.pageAt(ctx, 0, 0, 0)
	if err != nil {
		return 0, err
	}
	head, err := parseHead(page.head)
	if err != nil {
		return 0, nil //nolint:nilerr // a missing head is another contradiction
	}
	return head.last, nil
}

// compareFields compares entries of the index. It returns the fields that were moved after the fold.
func (c *chatCheck) compareFields(ctx context.Context, fold *chatFold, fields []string) (moved []string, err error) {
	kept, err := c.index(ctx, fields)
	if err != nil {
		return nil, err
	}
	head, err := c.present(ctx) // after the index: an entry with a later seq is wrong
	if err != nil {
		return nil, err
	}
	for i, field := range fields {
		value, found := kept[i].(string)
		want, text := fold.entries[field], fold.wanted(field, value)
		if version, ok := rediscmd.LeadingNumber(value); found && ok && version > uint64(c.last) && version <= uint64(head) {
			moved = append(moved, field)
			continue
		}
		if value == text {
			continue
		}
		if since, err := c.membershipSince(ctx, field); err != nil || since {
			if err != nil {
				return nil, err
			}
			moved = append(moved, field)
			continue
		}
		if !found && want.version == 0 { // a mark without a base, before its first event: a chat of a lower level has none
			if err := c.addQuietly(ctx, []correction{{ofHash, "x", field, none, present(text)}}); err != nil {
				return nil, err
			}
			continue
		}
		was, what := none, "the index has no entry of it"
		if found {
			was, what = present(value), fmt.Sprintf("the index says %q", value)
		}
		is := present(text)
		if text == "" {
			is = none
		}
		what, lost := fmt.Sprintf("%s: %s, and the log requires %q", fieldEntity(field), what, text), ""
		if recorded(field) {
			what = strings.Replace(what, fieldEntity(field).String(), fmt.Sprintf("the command of seq %d", want.version), 1)
			lost = "the command is refused with ErrCommandReused when it is repeated"
		}
		err := c.found(ctx, ports.Contradiction{
			Kind: "index", Chat: c.chat, Seq: domain.Seq(want.version), Key: c.keys.Chat(c.chat, "x"),
			What: what, Repair: "the entry is written anew", Lost: lost,
		}, func() (bool, error) {
			return c.correct(ctx, c.chat, "", false, []correction{{ofHash, "x", field, was, is}})
		})
		if err != nil {
			return nil, err
		}
	}
	return moved, nil
}

// phantomFields reports entries of the index that no event has moved. It ignores commands, which may have no events.
func (c *chatCheck) phantomFields(ctx context.Context, fold *chatFold) error {
	return c.scanHash(ctx, "x", func(field, value string) error {
		if field == headField || strings.HasPrefix(field, " #") || !fold.has(field) || recorded(field) {
			return nil
		}
		if _, known := fold.entries[field]; known {
			return nil
		}
		if version, ok := rediscmd.LeadingNumber(value); ok && version > uint64(c.last) {
			if head, err := c.present(ctx); err != nil || version <= uint64(head) {
				return err // moved since the fold
			}
		}
		if since, err := c.membershipSince(ctx, field); err != nil || since {
			return err
		}
		return c.found(ctx, ports.Contradiction{
			Kind: "index", Chat: c.chat, Key: c.keys.Chat(c.chat, "x"),
			What: fmt.Sprintf("%s: the index says %q, and no event has moved it", fieldEntity(field), value), Repair: "the entry is removed",
		}, func() (bool, error) {
			return c.correct(ctx, c.chat, "", false, []correction{{ofHash, "x", field, present(value), none}})
		})
	})
}

// scanHash visits all fields of one of the chat's hashes.
func (c *chatCheck) scanHash(ctx context.Context, part string, visit func(field, value string) error) error {
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var pairs []string
		err := c.step(ctx, func() (err error) {
			pairs, cursor, err = c.client.HScan(ctx, c.keys.Chat(c.chat, part), cursor, "", fsckPage).Result()
			return err
		})
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			if err := visit(pairs[i], pairs[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// since reports whether an entity was moved after the fold.
func (c *chatCheck) since(ctx context.Context, field string) (bool, error) {
	kept, err := c.index(ctx, []string{field})
	if err != nil {
		return false, err
	}
	value, _ := kept[0].(string)
	version, ok := rediscmd.LeadingNumber(value)
	return ok && version > uint64(c.last), nil
}

// membershipSince reports whether a field is that of the read mark of a user who has joined or left after the fold: that changes the mark's base, and
// not its version.
func (c *chatCheck) membershipSince(ctx context.Context, field string) (bool, error) {
	if fieldKind(field) != "r" {
		return false, nil
	}
	return c.since(ctx, " u"+field[2:])
}

func (c *chatCheck) compareMembers(ctx context.Context, fold *chatFold) error {
	kept := make(map[string]struct{})
	err := c.scanHash(ctx, "u", func(user, value string) error {
		field := " u" + user
		if !fold.has(field) {
			return nil
		}
		kept[user] = struct{}{}
		if _, member := fold.entries[field]; member {
			return nil
		}
		if since, err := c.since(ctx, field); err != nil || since {
			return err
		}
		return c.found(ctx, ports.Contradiction{
			Kind: "members", Chat: c.chat, Key: c.keys.Chat(c.chat, "u"), What: fmt.Sprintf("%q was never a member", user), Repair: "the user is removed",
		}, func() (bool, error) {
			return c.correct(ctx, c.chat, "", false, []correction{{ofHash, "u", user, present(value), none}})
		})
	})
	if err != nil {
		return err
	}
	for field := range fold.entries {
		if fieldKind(field) != "u" {
			continue
		}
		user := field[2:]
		if _, there := kept[user]; there {
			continue
		}
		err := c.found(ctx, ports.Contradiction{
			Kind: "members", Chat: c.chat, Key: c.keys.Chat(c.chat, "u"), What: fmt.Sprintf("%q is or was a member and is missing", user), Repair: "the user is added",
		}, func() (bool, error) {
			return c.correct(ctx, c.chat, "", false, []correction{{ofHash, "u", user, none, present("")}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *chatCheck) compareTombstones(ctx context.Context, fold *chatFold) error {
	kept := make(map[uint64]struct{})
	key := c.keys.Chat(c.chat, "d")
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var pairs []string
		err := c.step(ctx, func() (err error) {
			pairs, cursor, err = c.client.ZScan(ctx, key, cursor, "", fsckPage).Result()
			return err
		})
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			seq, err := strconv.ParseUint(pairs[i], 10, 64)
			if err == nil && pairs[i] == pairs[i+1] {
				kept[seq] = struct{}{}
			}
			if err := c.phantomTombstone(ctx, fold, pairs[i], pairs[i+1]); err != nil {
				return err
			}
		}
	}
	for seq := range fold.tombstones {
		if _, there := kept[seq]; there {
			continue
		}
		text := strconv.FormatUint(seq, 10)
		err := c.found(ctx, ports.Contradiction{
			Kind: "tombstones", Chat: c.chat, Seq: domain.Seq(seq), Key: key, What: "the message was deleted and is missing", Repair: "it is added",
		}, func() (bool, error) {
			return c.correct(ctx, c.chat, "", false, []correction{{ofSortedSet, "d", text, none, present(text)}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *chatCheck) phantomTombstone(ctx context.Context, fold *chatFold, member, score string) error {
	seq, err := strconv.ParseUint(member, 10, 64)
	if err == nil && member == score {
		if _, known := fold.tombstones[seq]; known {
			return nil
		}
		field, sent, err := c.sentAt(ctx, domain.Seq(seq))
		if err != nil || sent && !fold.has(field) {
			return err
		}
		if since, err := c.since(ctx, field); err != nil || sent && since {
			return err
		}
	}
	return c.found(ctx, ports.Contradiction{
		Kind: "tombstones", Chat: c.chat, Seq: domain.Seq(seq), Key: c.keys.Chat(c.chat, "d"), What: fmt.Sprintf("%s is of no deleted message", member), Repair: "it is removed",
	}, func() (bool, error) {
		return c.correct(ctx, c.chat, "", false, []correction{{ofSortedSet, "d", member, present(score), none}})
	})
}

// sentAt returns the index field of the message that was sent at a seq.
func (c *chatCheck) sentAt(ctx context.Context, seq domain.Seq) (field string, sent bool, err error) {
	if seq == 0 {
		return "", false, nil
	}
	page, err := c.pageAt(ctx, uint64(seq-1)/segmentSize, int(uint64(seq-1)%segmentSize), 1) //nolint:gosec // below segmentSize
	if err != nil || len(page.entries) == 0 {
		return "", false, err
	}
	record, err := c.decode(c.chat, seq, page.entries[0])
	if err != nil {
		return "", false, nil //nolint:nilerr // not a message
	}
	message, _ := record.Event.(domain.MessageNew)
	return string(appendField(nil, domain.MessageEntity(message.Message))), domain.InTimeline(record.Event), nil
}

// heads compares the head with the last event and the last message.
func (c *chatCheck) heads(ctx context.Context) error {
	head, err := c.index(ctx, []string{headField})
	if err != nil {
		return err
	}
	text, _ := head[0].(string)
	found, err := parseHead(text)
	want := found
	want.messages, want.counts = c.ordinal, found.counts && c.rich
	if found.sent != 0 {
		want.sent = c.sent
	}
	if err != nil || found.last != c.last || found == want {
		return nil //nolint:nilerr // the head has changed meanwhile
	}
	return c.found(ctx, ports.Contradiction{
		Kind: "head", Chat: c.chat, Seq: found.last, Key: c.keys.Chat(c.chat, "x"), What: fmt.Sprintf("the head is %q, and the log requires %q", text, want), Repair: "the head is corrected",
	}, func() (bool, error) {
		return c.correct(ctx, c.chat, "", false, []correction{{ofHash, "x", headField, present(text), present(want.String())}})
	})
}

// counts compares the numbers of members and tombstones with the counts in the index.
func (c *chatCheck) counts(ctx context.Context) error {
	var index *goredis.SliceCmd
	var members, tombstones *goredis.IntCmd
	err := c.step(ctx, func() error {
		_, err := c.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			index = p.HMGet(ctx, c.keys.Chat(c.chat, "x"), membersField, tombstonesField, headField)
			members, tombstones = p.HLen(ctx, c.keys.Chat(c.chat, "u")), p.ZCard(ctx, c.keys.Chat(c.chat, "d"))
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	text, _ := index.Val()[2].(string)
	head, err := parseHead(text)
	if err != nil {
		return nil //nolint:nilerr // the head was removed meanwhile; the next check sees that
	}
	for i, elements := range []*goredis.IntCmd{members, tombstones} {
		key := c.keys.Chat(c.chat, []string{"u", "d"}[i])
		problem := counted(c.chat, key, index.Val()[i], elements.Val())
		if elements == tombstones {
			problem = head.countTombstones(c.chat, key, index.Val()[i], elements)
		}
		if problem == nil {
			continue
		}
		err := c.found(ctx, ports.Contradiction{Kind: "count", Chat: c.chat, Key: key, What: problem.Error(), Repair: "the index's count is corrected"}, func() (bool, error) {
			_, err := c.correct(ctx, c.chat, "", true, nil)
			return err == nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rebuild writes the index of a chat that has no head. The head is written last; until then the chat accepts no append.
func (c *chatCheck) rebuild(ctx context.Context) error {
	beyond, commands := uint64(0), false
	err := c.scanHash(ctx, "x", func(field, value string) error {
		if version, ok := rediscmd.LeadingNumber(value); ok && field != headField && !strings.HasPrefix(field, " #") {
			beyond, commands = max(beyond, version), commands || recorded(field)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if beyond > uint64(c.last) {
		c.unfolded = true
		return c.found(ctx, ports.Contradiction{
			Kind: "segment", Chat: c.chat, Seq: c.last + 1, Key: c.keys.Chat(c.chat, strconv.FormatUint(uint64(c.last)/segmentSize, 10)),
			What: fmt.Sprintf("the head is missing, the log ends with seq %d, and the index knows of seq %d", c.last, beyond),
			Lost: "the events behind it are lost; every read and command of the chat fails with ErrCorrupt; restore the chat's keys from a backup",
		}, nil)
	}
	if err := c.refold(ctx, newChatFold(0, c.shares(), c.rich), true); err != nil || c.unfolded {
		return err
	}
	lost := ""
	if !commands {
		lost = "commands with ids are refused with ErrCommandReused when they are repeated, and those that changed nothing are validated again"
	}
	return c.found(ctx, ports.Contradiction{
		Kind: "head", Chat: c.chat, Seq: c.last, Key: c.keys.Chat(c.chat, "x"), What: "the chat's head is missing or unreadable", Repair: "the index is rebuilt from the log", Lost: lost,
	}, func() (bool, error) {
		c.quiet = true
		defer func() { c.quiet = false }()
		return c.rewrite(ctx)
	})
}

// rewrite writes the whole index, and then the head.
func (c *chatCheck) rewrite(ctx context.Context) (bool, error) {
	page, err := c.pageAt(ctx, 0, 0, 0)
	if err != nil {
		return false, err
	}
	was := none
	if page.head != "" {
		was = present(page.head)
	}
	shares, ended := c.shares(), chatHead{last: c.last, counts: c.rich}
	for share := range shares {
		fold := newChatFold(share, shares, c.rich)
		if err := c.refold(ctx, fold, false); err != nil || c.unfolded {
			return false, err
		}
		if err := c.writeIndex(ctx, fold); err != nil {
			return false, err
		}
		ended.deleted += int64(len(fold.tombstones))
		for _, correct := range []func(context.Context, *chatFold) error{c.compareMembers, c.compareTombstones, c.phantomFields} {
			if err := correct(ctx, fold); err != nil {
				return false, err
			}
		}
	}
	ended.messages, ended.sent = c.ordinal, c.sent
	corrections, err := c.pad(ctx)
	if err != nil {
		return false, err
	}
	return c.correct(ctx, c.chat, "", true, append(corrections, correction{ofHash, "x", headField, was, present(ended.String())}))
}

// pad returns the correction that writes the pad of an index that lacks it.
func (c *chatCheck) pad(ctx context.Context) ([]correction, error) {
	if c.last < padEvery {
		return nil, nil
	}
	kept, err := c.index(ctx, []string{padField})
	if err != nil {
		return nil, err
	}
	if _, there := kept[0].(string); there {
		return nil, nil
	}
	return []correction{{ofHash, "x", padField, none, present(strings.Repeat("-", padBytes))}}, nil
}

// writeIndex writes the entries that are missing or wrong, some hundreds per step.
func (c *chatCheck) writeIndex(ctx context.Context, fold *chatFold) error {
	fields := make([]string, 0, len(fold.entries))
	for field := range fold.entries {
		fields = append(fields, field)
	}
	for some := range slices.Chunk(fields, fsckPage) {
		kept, err := c.index(ctx, some)
		if err != nil {
			return err
		}
		var corrections []correction
		for i, field := range some {
			value, found := kept[i].(string)
			want := fold.wanted(field, value)
			if value == want {
				continue
			}
			was, is := none, none
			if found {
				was = present(value)
			}
			if want != "" {
				is = present(want)
			}
			corrections = append(corrections, correction{ofHash, "x", field, was, is})
		}
		if len(corrections) == 0 {
			continue
		}
		if _, err := c.correct(ctx, c.chat, "", false, corrections); err != nil {
			return err
		}
	}
	return nil
}

// snapshots compares every snapshot with the fold of the entity's events.
func (c *chatCheck) snapshots(ctx context.Context) error {
	kept := make(map[string]string)
	err := c.scanHash(ctx, "s", func(field, value string) error {
		kept[field] = value
		return nil
	})
	if err != nil {
		return err
	}
	for field, version := range kept {
		if strings.HasPrefix(field, "=") {
			if _, known := kept[field[1:]]; known {
				continue
			}
			field, version = field[1:], ""
		}
		state, there := kept["="+field]
		problem, err := c.snapshot(ctx, field, version, state)
		if err != nil {
			return err
		}
		if problem == "" {
			continue
		}
		corrections := []correction{{ofHash, "s", field, none, none}, {ofHash, "s", "=" + field, none, none}}
		if version != "" {
			corrections[0].was = present(version)
		}
		if there {
			corrections[1].was = present(state)
		}
		err = c.found(ctx, ports.Contradiction{
			Kind: "snapshot", Chat: c.chat, Key: c.keys.Chat(c.chat, "s"), What: fmt.Sprintf("%s: %s", fieldEntity(field), problem), Repair: "the snapshot is removed",
		}, func() (bool, error) { return c.correct(ctx, c.chat, "", false, corrections) })
		if err != nil {
			return err
		}
	}
	return nil
}

// snapshot returns the fault of a snapshot, or "".
func (c *chatCheck) snapshot(ctx context.Context, field, version, kept string) (problem string, err error) {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil || n == 0 {
		return fmt.Sprintf("its version is %q", version), nil
	}
	entity := fieldEntity(field)
	loaded, err := c.Load(ctx, c.chat, ports.LoadRequest{Entity: entity, Until: domain.Seq(n), Whole: true})
	if isCorrupt(err) {
		return "", nil // the chat has other contradictions
	}
	if err != nil {
		return "", err
	}
	if wireformat.OutdatedState(entity.Kind, []byte(kept)) {
		return "", nil // loads ignore it
	}
	state := domain.NewState(c.chat, entity)
	if state == nil || loaded.Entities[0].Version != domain.Seq(n) {
		return "it is of seq " + version + ", at which nothing has moved the entity", nil
	}
	for _, r := range loaded.Entities[0].Events {
		state.Apply(r.Seq, r.Event)
	}
	if folded, err := wireformat.EncodeState(state); err != nil || !bytes.Equal(folded, []byte(kept)) {
		return "it differs from the state after the events up to seq " + version, nil
	}
	return "", nil
}
