package eventlog

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"chatcore/domain"
	"chatcore/ports"
)

// indexEntry is the entry of an entity in a chat's index.
type indexEntry struct {
	version, events, first uint64
	mark                   readMark // of a read mark
}

// text returns the entry in the form of the append script. Entries of receipts do not count events.
func (e indexEntry) text(kind string) string {
	version := strconv.FormatUint(e.version, 10)
	if kind == "v" || e.events == 1 {
		return version
	}
	return version + ":" + strconv.FormatUint(e.events, 10) + ":" + strconv.FormatUint(e.first, 10)
}

// commandText returns the index entry of a command. Its fingerprint cannot be derived from the events. A lost one becomes 0: a repetition of the
// command is then refused as another command and not executed again.
func (e indexEntry) commandText(kept string) string {
	fingerprint := "0"
	if parts := strings.Split(kept, ":"); len(parts) == 3 {
		if _, err := strconv.ParseUint(parts[2], 16, 64); err == nil {
			fingerprint = parts[2]
		}
	}
	return strconv.FormatUint(e.version, 10) + ":" + strconv.FormatUint(e.events, 10) + ":" + fingerprint
}

// wanted returns the correct entry of a field whose present entry is kept, or "" if there must be none.
func (c *chatFold) wanted(field, kept string) string {
	e := c.entries[field]
	switch kind := fieldKind(field); kind {
	case "k":
		return e.commandText(kept)
	case "r":
		return e.markText(kept, c.rich)
	default:
		return e.text(kind)
	}
}

// recorded reports whether an index field is that of a command.
func recorded(field string) bool { return fieldKind(field) == "k" }

// fieldKind returns the letter of an index field's kind.
func fieldKind(field string) string {
	if strings.HasPrefix(field, " ") && len(field) > 1 {
		return field[1:2]
	}
	return "m"
}

// fieldEntity returns the entity of an index field. It is the inverse of appendField.
func fieldEntity(field string) domain.Entity {
	kinds := map[string]domain.EntityKind{
		"c": domain.KindChat, "u": domain.KindMember, "x": domain.KindReactions, "r": domain.KindRead, "k": domain.KindCommand, "o": domain.KindCustom,
		"v": domain.KindReceipt, "b": domain.KindRestrictions, "d": domain.KindMetadata,
		"s": domain.KindSettings, "q": domain.KindPins, "t": domain.KindThread, "l": domain.KindThreads, "f": domain.KindThreadMark, "n": domain.KindMentions,
	}
	if !strings.HasPrefix(field, " ") || len(field) < 2 {
		return domain.MessageEntity(domain.MessageID(messageInField(field)))
	}
	e := domain.Entity{Kind: kinds[field[1:2]], ID: field[2:]}
	if e.Kind == domain.KindThread {
		e.ID = messageInField(e.ID)
	}
	if e.Kind == domain.KindThreadMark {
		user := threadMarkUser(e.ID)
		e.ID = e.ID[:user] + messageInField(e.ID[user:])
	}
	return e
}

// messageInField returns the id of a message in a field. It is the inverse of appendMessageField.
func messageInField(field string) string {
	if len(field) == 17 && field[0] == 1 {
		return uuid.UUID([]byte(field[1:])).String()
	}
	return field
}

// chatFold is the index that follows from a chat's events up to a seq, for all entities or for a share of them.
type chatFold struct {
	share, shares uint64 // share number and number of shares
	rich          bool   // entries of read marks have a base: the log is at level 3 or above
	partial       bool   // the fold does not begin with the first event
	entries       map[string]indexEntry
	tombstones    map[uint64]struct{} // first seqs of deleted messages
	sent          sentSeqs
}

// eventsAtOnce is the number of events per share of the index.
const eventsAtOnce = 200_000

func newChatFold(share, shares uint64, rich bool) *chatFold {
	return &chatFold{share: share, shares: shares, rich: rich, entries: make(map[string]indexEntry), tombstones: make(map[uint64]struct{})}
}

// has reports whether an entity belongs to the share.
func (c *chatFold) has(field string) bool {
	if c.shares == 1 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(field))
	return h.Sum64()%c.shares == c.share
}

// apply folds the next event. It returns the correct links of the event's entry.
func (c *chatFold) apply(r ports.Record, links string) string {
	seq := uint64(r.Seq)
	links = c.linkedMessage(r, links)
	if id := r.Meta.CausationID; id != "" {
		if field := string(appendField(nil, domain.CommandEntity(domain.Actor(r.Event), id))); c.has(field) {
			entry := c.entries[field]
			c.entries[field] = indexEntry{version: seq, events: entry.events + 1}
		}
	}
	for _, m := range domain.Moves(r.Event) {
		field := string(appendField(nil, m))
		if !c.has(field) {
			continue
		}
		kind := kindCode(m.Kind)
		entry, moved := c.entries[field]
		links = linked(links, kind, entry.version)
		if !moved {
			entry.first = seq
		}
		entry.version, entry.events = seq, entry.events+1
		c.entries[field] = entry
		if deleted, ok := r.Event.(domain.MessageDelete); ok && deleted.InTimeline() && m == domain.MessageEntity(deleted.Message) {
			c.tombstones[entry.first] = struct{}{}
		}
	}
	if c.rich {
		c.mark(r)
	}
	return links
}

// place folds the next event of a log that is written anew. It returns the links of the event's entry.
func (c *chatFold) place(r ports.Record) string {
	before := c.sent.last
	links := c.apply(r, "")
	if before > 0 && c.rich && domain.InTimeline(r.Event) {
		links += messageLink + strconv.FormatUint(before, 10)
	}
	return links
}

// linkedMessage returns links with the correct link to the message before, unless there is none: events of lower levels lack it.
func (c *chatFold) linkedMessage(r ports.Record, links string) string {
	if c.partial || !strings.Contains(links, messageLink) {
		return links
	}
	before := uint64(0)
	if c.rich && domain.InTimeline(r.Event) {
		before = c.sent.last
	}
	return linked(links, messageLink, before)
}

// messageLink is the letter of the link from a message to the message before.
const messageLink = "p"

// linked returns links with the link of one kind set to a seq, or removed if the seq is 0.
func linked(links, kind string, to uint64) string {
	before, after, found := strings.Cut(links, kind)
	end := 0
	for end < len(after) && after[end] >= '0' && after[end] <= '9' {
		end++
	}
	number := strconv.FormatUint(to, 10)
	switch {
	case !found && to == 0, found && after[:end] == number:
		return links
	case to == 0:
		return before + after[end:]
	}
	return before + kind + number + after[end:]
}
