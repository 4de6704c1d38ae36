package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// chatCheck is the check of one chat.
type chatCheck struct {
	*fsck
	chat domain.ChatID
	id   string     // the chat in keys
	head string     // in the index; "" if there is none
	last domain.Seq // of the head, or of the last entry if the head is missing

	rich bool // the log is at level 3 or above

	ordinal   domain.Ordinal        // of the last event read
	sent      domain.Seq            // of the last message read
	quiet     bool                  // correct contradictions without a report
	unfolded  bool                  // entries are missing or unreadable: the rest cannot be checked
	entries   map[domain.Seq]string // beyond the head
	commanded bool                  // some of those entries are of recorded commands
}

var errUnfolded = errors.New("the log is not whole")

// chat checks one chat: first its segments and, if these are complete, the structures derived from them.
func (f *fsck) chat(ctx context.Context, chat domain.ChatID) error {
	c := &chatCheck{fsck: f, chat: chat, id: keyspace.Escape(string(chat)), rich: f.levelOf(f.keys.Partition(chat)) >= compactLevel}
	err := c.check(ctx)
	if isCorrupt(err) { // a key has another type
		return f.found(ctx, ports.Contradiction{
			Kind: "foreign", Chat: chat, Key: f.keys.Chat(chat, "*"), What: err.Error(), Lost: "reads and commands of the chat fail; delete or rename the key that is not the log's",
		}, nil)
	}
	return err
}

func isCorrupt(err error) bool { return errors.Is(err, ports.ErrCorrupt) }

func (c *chatCheck) check(ctx context.Context) error {
	whole, err := c.segments(ctx)
	if err != nil || !whole {
		return err
	}
	if c.head == "" {
		if err := c.rebuild(ctx); err != nil || c.unfolded {
			return err
		}
		return c.snapshots(ctx)
	}
	shares := c.shares()
	for share := range shares {
		fold := newChatFold(share, shares, c.rich)
		if err := c.refold(ctx, fold, share == 0); err != nil || c.unfolded {
			return err
		}
		if err := c.compare(ctx, fold); err != nil || c.unfolded {
			return err
		}
	}
	if err := c.heads(ctx); err != nil {
		return err
	}
	if err := c.counts(ctx); err != nil {
		return err
	}
	if err := c.addPad(ctx); err != nil {
		return err
	}
	return c.snapshots(ctx)
}

// addPad writes the pad of an index that lacks it. A chat without it is sound: an older program appended its events.
func (c *chatCheck) addPad(ctx context.Context) error {
	corrections, err := c.pad(ctx)
	if err != nil {
		return err
	}
	return c.addQuietly(ctx, corrections)
}

// addQuietly makes corrections of a sound chat, without a report, if repairs are enabled.
func (c *chatCheck) addQuietly(ctx context.Context, corrections []correction) error {
	if !c.config.Repair || len(corrections) == 0 {
		return nil
	}
	_, err := c.correct(ctx, c.chat, "", false, corrections)
	return err
}

// shares is the number of parts in which the index is folded, which bounds the memory.
func (c *chatCheck) shares() uint64 { return uint64(c.last)/eventsAtOnce + 1 }

// refold folds the events from the first one on.
func (c *chatCheck) refold(ctx context.Context, fold *chatFold, report bool) error {
	c.ordinal, c.sent, c.unfolded = 0, 0, false
	return c.read(ctx, fold, 1, c.last, report)
}

// found reports a contradiction of the chat, or only corrects it if the check is quiet.
func (c *chatCheck) found(ctx context.Context, contradiction ports.Contradiction, correct func() (bool, error)) error {
	if c.quiet && correct != nil {
		_, err := correct()
		return err
	}
	return c.fsck.found(ctx, contradiction, correct)
}

// pageOf is the reply of fsck_page.lua about a segment.
type pageOf struct {
	head         string
	length, next int
	entries      []string
}

func (c *chatCheck) pageAt(ctx context.Context, segment uint64, index, limit int) (page pageOf, err error) {
	p := c.keys.Partition(c.chat)
	err = c.step(ctx, func() error {
		reply, err := c.guarded(ctx, p, func(held *field) ([]any, error) {
			return c.page.Run(ctx, c.client, []string{c.keys.ID(p)}, held, c.id, segment, index, limit).Slice()
		})
		if err != nil {
			return err
		}
		page.head = rediscmd.Text(reply[0])
		length, _ := reply[1].(int64)
		next, _ := reply[2].(int64)
		page.length, page.next = int(length), int(next)
		for _, entry := range reply[3:] {
			page.entries = append(page.entries, rediscmd.Text(entry))
		}
		return nil
	})
	return page, err
}

// segments checks that there are as many entries as the head says. It returns false if entries are missing: then nothing can be derived from the
// rest. Entries beyond the head belong to an interrupted append.
func (c *chatCheck) segments(ctx context.Context) (whole bool, err error) {
	first, err := c.pageAt(ctx, 0, 0, 0)
	if err != nil {
		return false, err
	}
	c.head = first.head
	if c.head != "" {
		head, err := parseHead(c.head)
		if c.last = head.last; err != nil {
			c.head = ""
		}
	}
	whole = true
	segment := uint64(0)
	for ; c.last == 0 || segment < uint64(c.last-1)/segmentSize; segment++ { // the full ones
		page, err := c.pageAt(ctx, segment, 0, 0)
		if err != nil {
			return false, err
		}
		if c.last == 0 && page.next == 0 {
			break // without a head, the last segment is the one with no successor
		}
		if page.length != segmentSize {
			whole = false
			if err := c.missing(ctx, segment, page.length, segmentSize); err != nil {
				return false, err
			}
		}
	}
	return c.end(ctx, segment, whole)
}

// end checks the last segment.
func (c *chatCheck) end(ctx context.Context, segment uint64, whole bool) (bool, error) {
	page, err := c.pageAt(ctx, segment, 0, 0)
	if err != nil {
		return false, err
	}
	if c.last == 0 {
		c.last = domain.Seq(segment*segmentSize) + domain.Seq(page.length) //nolint:gosec // a length
		if c.last > 0 && whole {
			return true, nil
		}
		if _, err := c.Log.head(ctx, c.chat, []any{nil}); err == nil {
			return false, &domain.Refusal{Reason: domain.ErrChatNotFound, Detail: fmt.Sprintf("chat %q was never created", c.chat)}
		} else if !isCorrupt(err) {
			return false, err
		}
		return false, c.found(ctx, ports.Contradiction{
			Kind: "chat", Chat: c.chat, Key: c.keys.Chat(c.chat, "0"), What: "the chat has keys or is listed, and the head or the beginning of its log is missing",
			Lost: "its events are lost; every read and command of it fails with ErrCorrupt",
		}, nil)
	}
	found, err := parseHead(page.head) // of the same moment as the length
	if err != nil {
		return false, nil //nolint:nilerr // the head was removed meanwhile; the next check sees that
	}
	head := found.last
	expected := segmentSize
	if uint64(head-1)/segmentSize == segment {
		expected = int(uint64(head-1)%segmentSize) + 1 //nolint:gosec // below segmentSize
		if whole && (page.length > expected || page.next > 0 && page.length == expected && expected == segmentSize) {
			c.head = page.head
			c.last = head
			return true, c.cutOff(ctx, head)
		}
	}
	if page.length != expected {
		return false, c.missing(ctx, segment, page.length, expected)
	}
	return whole, nil
}

func (c *chatCheck) missing(ctx context.Context, segment uint64, length, expected int) error {
	return c.found(ctx, ports.Contradiction{
		Kind: "segment", Chat: c.chat, Seq: domain.Seq(segment*segmentSize + 1), Key: c.keys.Chat(c.chat, strconv.FormatUint(segment, 10)),
		What: fmt.Sprintf("it has %d of %d entries", length, expected),
		Lost: "events are lost, and which ones cannot be known from the rest; reads that need them fail with ErrCorrupt, and groups that have to deliver them wait; restore the key from a backup",
	}, nil)
}

// read reads a range of events and folds them. It checks that each event is in its place, and its links.
func (c *chatCheck) read(ctx context.Context, fold *chatFold, from, to domain.Seq, report bool) error {
	for seq := from; seq <= to && !c.unfolded; {
		segment, index := uint64(seq-1)/segmentSize, int(uint64(seq-1)%segmentSize) //nolint:gosec // below segmentSize
		limit := min(fsckPage, segmentSize-index, int(min(to-seq, fsckPage))+1)
		page, err := c.pageAt(ctx, segment, index, limit)
		if err != nil {
			return err
		}
		if len(page.entries) < limit { // removed meanwhile
			c.unfolded = true
			return nil
		}
		for _, entry := range page.entries {
			if err := c.event(ctx, fold, seq, entry, report); err != nil {
				return err
			}
			seq++
		}
	}
	return nil
}

func (c *chatCheck) event(ctx context.Context, fold *chatFold, seq domain.Seq, entry string, report bool) error {
	if c.unfolded {
		return nil
	}
	key := c.keys.Chat(c.chat, strconv.FormatUint(uint64(seq-1)/segmentSize, 10))
	record, err := c.decode(c.chat, seq, entry)
	if _, unknown := record.Event.(domain.Unknown); unknown {
		c.unfolded = true
		if !report {
			return nil
		}
		return c.found(ctx, ports.Contradiction{
			Kind: "newer", Chat: c.chat, Seq: seq, Key: key, What: "a newer program recorded the event, and this one cannot read it",
			Lost: "nothing, but the rest of the chat was not checked; check with the newer program",
		}, nil)
	}
	if err == nil {
		if domain.InTimeline(record.Event) {
			c.ordinal++
			c.sent = seq
		}
		if record.Ordinal != c.ordinal {
			err = fmt.Errorf("its ordinal is %d, and %d messages were sent so far", record.Ordinal, c.ordinal)
			c.ordinal = record.Ordinal
		}
	}
	if err != nil {
		c.unfolded = true
		if !report {
			return nil
		}
		return c.found(ctx, ports.Contradiction{
			Kind: "entry", Chat: c.chat, Seq: seq, Key: key, What: err.Error(),
			Lost: "reads that need the event fail with ErrCorrupt; restore the key from a backup. The rest of the chat was not checked",
		}, nil)
	}
	at := strings.IndexByte(entry, '{')
	links := fold.apply(record, entry[:at])
	if links == entry[:at] {
		return nil
	}
	return c.found(ctx, ports.Contradiction{
		Kind: "link", Chat: c.chat, Seq: seq, Key: key, What: fmt.Sprintf("its links are %q, and the earlier events require %q", entry[:at], links), Repair: "the links are corrected",
	}, func() (bool, error) {
		return c.correct(ctx, c.chat, "", false, []correction{{ofList, strconv.FormatUint(uint64(seq-1)/segmentSize, 10), strconv.FormatUint(uint64(seq-1)%segmentSize, 10), present(entry), present(links + entry[at:])}})
	})
}

// cutOff finishes an append that wrote its events but not its index. Until then the chat accepts no append.
func (c *chatCheck) cutOff(ctx context.Context, head domain.Seq) error {
	c.entries = make(map[domain.Seq]string)
	var order []domain.Seq
	for seq := head + 1; ; {
		segment := uint64(seq-1) / segmentSize
		page, err := c.pageAt(ctx, segment, int(uint64(seq-1)%segmentSize), fsckPage) //nolint:gosec // below segmentSize
		if err != nil {
			return err
		}
		if page.head != c.head {
			return nil // another process has finished it
		}
		if len(page.entries) == 0 {
			break
		}
		for _, entry := range page.entries {
			c.entries[seq] = entry
			order = append(order, seq)
			seq++
		}
	}
	found := ports.Contradiction{
		Kind: "cut_off", Chat: c.chat, Seq: head + 1, Key: c.keys.Chat(c.chat, "x"),
		What: fmt.Sprintf("the log has %d events behind the head, seq %d: an append was cut off", len(order), head), Repair: "they are added to the index and delivered",
	}
	last := order[len(order)-1]
	corrections, deliveries, err := c.finish(ctx, head, last, order)
	if errors.Is(err, errUnfolded) {
		found.Repair, found.Lost = "", "one of the events cannot be read; commands of the chat fail with ErrCorrupt until the entries are removed"
		return c.found(ctx, found, nil)
	}
	if err != nil {
		return err
	}
	if c.commanded {
		found.Lost = "its commands with ids are refused with ErrCommandReused when they are repeated"
	}
	return c.found(ctx, found, func() (bool, error) {
		done, err := c.correct(ctx, c.chat, c.head, false, corrections, deliveries...)
		if done {
			c.last, c.head = last, strings.TrimPrefix(corrections[len(corrections)-1].is, "+")
		}
		return done, err
	})
}

// finish returns the writes that are missing after an interrupted append: corrections of the index, and deliveries.
func (c *chatCheck) finish(ctx context.Context, head, last domain.Seq, order []domain.Seq) ([]correction, []delivery, error) {
	ended, err := parseHead(c.head)
	if err != nil {
		return nil, nil, errUnfolded
	}
	var records []ports.Record
	fields := make(map[string]struct{})
	for _, seq := range order {
		record, err := c.decode(c.chat, seq, c.entries[seq])
		if _, unknown := record.Event.(domain.Unknown); err != nil || unknown {
			return nil, nil, errUnfolded
		}
		records = append(records, record)
		ended.messages = record.Ordinal
		if ended.counts && domain.InTimeline(record.Event) {
			ended.sent = record.Seq
		}
		if id := record.Meta.CausationID; id != "" {
			fields[string(appendField(nil, domain.CommandEntity(domain.Actor(record.Event), id)))] = struct{}{}
		}
		for _, m := range domain.Moves(record.Event) {
			fields[string(appendField(nil, m))] = struct{}{}
		}
		if update, ok := record.Event.(domain.ChatUpdate); ok && c.rich {
			if user, sign := membership(update); sign != 0 {
				fields[string(appendField(nil, domain.ReadEntity(user)))] = struct{}{}
			}
		}
	}
	fold := newChatFold(0, 1, c.rich)
	fold.partial = true
	before, err := c.seed(ctx, fold, fields)
	if err != nil {
		return nil, nil, err
	}
	var deliveries []delivery
	for _, r := range records {
		entry := c.entries[r.Seq]
		at := strings.IndexByte(entry, '{')
		fold.apply(r, entry[:at])
		json, err := jsonIn(c.chat, r.Seq, entry)
		if err != nil {
			return nil, nil, errUnfolded
		}
		c.commanded = c.commanded || r.Meta.CausationID != ""
		deliveries = append(deliveries, delivery{
			event: string(r.ID), metadata: string(wireformat.AppendMetadata(nil, r.Event, r.Meta)), payload: string(json), seq: r.Seq,
		})
	}
	ended.last = last
	var corrections []correction
	for field := range fold.entries {
		if recorded(field) && before[field] != none {
			continue
		}
		corrections = append(corrections, correction{ofHash, "x", field, before[field], present(fold.wanted(field, ""))})
		if fieldKind(field) == "u" && before[field] == none {
			corrections = append(corrections, correction{ofHash, "u", field[2:], none, present("")})
		}
	}
	for first := range fold.tombstones {
		corrections = append(corrections, correction{ofSortedSet, "d", strconv.FormatUint(first, 10), none, present(strconv.FormatUint(first, 10))})
	}
	corrections = append(corrections, correction{ofHash, "x", headField, present(c.head), present(ended.String())}) // last, because it makes the others count
	return corrections, deliveries, nil
}

// seed initializes a fold with some fields of the index, and returns their values.
func (c *chatCheck) seed(ctx context.Context, fold *chatFold, fields map[string]struct{}) (map[string]string, error) {
	names := make([]string, 0, len(fields))
	for field := range fields {
		names = append(names, field)
	}
	kept, err := c.index(ctx, names)
	if err != nil {
		return nil, err
	}
	before := make(map[string]string, len(names))
	for i, field := range names {
		before[field] = none
		if value, ok := kept[i].(string); ok {
			before[field] = present(value)
			if recorded(field) { // an earlier check has written it
				continue
			}
			parts := strings.SplitN(value, ":", 3)
			version, _ := rediscmd.LeadingNumber(value)
			entry := indexEntry{version: version, events: 1, first: version}
			if fieldKind(field) == "r" {
				entry.mark = parseMark(value)
			} else if len(parts) == 3 {
				entry.events, _ = strconv.ParseUint(parts[1], 10, 64)
				entry.first, _ = strconv.ParseUint(parts[2], 10, 64)
			}
			fold.entries[field] = entry
		}
	}
	return before, nil
}

func (c *chatCheck) index(ctx context.Context, fields []string) (values []any, err error) {
	for from := 0; from < len(fields); from += fsckPage {
		var some *goredis.SliceCmd
		err := c.pipelined(ctx, func(p goredis.Pipeliner) {
			some = p.HMGet(ctx, c.keys.Chat(c.chat, "x"), fields[from:min(from+fsckPage, len(fields))]...)
		})
		if err != nil {
			return nil, err
		}
		values = append(values, some.Val()...)
	}
	return values, nil
}
