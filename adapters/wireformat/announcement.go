package wireformat

import (
	"fmt"
	"strconv"
	"strings"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// MaxAnnouncement is the highest number of bytes of an announcement with more than one event.
const MaxAnnouncement = 64 << 10

// Announcement is a message on the channel of a partition. It holds events that one batch appended, in the order of the partition's stream. The text of
// it is
//
//	PREVIOUS\n
//	ID SEQ CHAT LENGTH JSON\n
//
// with the second line for each event; LENGTH is the number of bytes of JSON.
type Announcement struct {
	Previous groups.StreamID // of the stream's last entry before these events; zero if the stream had none
	Events   []Announced
}

// Announced is an event of an announcement.
type Announced struct {
	ID   groups.StreamID // of its entry in the stream
	Seq  domain.Seq
	Chat domain.ChatID
	JSON []byte // as in the payload of its entry
}

// Parse reads the text of an announcement. It reuses the slice of Events and keeps parts of text. The JSON of all events shares one copy of the text, which is
// the only allocation once the slice is large enough. Parse does not look into the JSON.
//
// Parse returns an [*Error] with [ErrMalformed] if the text is no announcement of at least one event, with ids that rise from Previous on. a is then empty.
func (a *Announcement) Parse(text string) error {
	a.Previous, a.Events = groups.StreamID{}, a.Events[:0]
	if err := a.parse(text); err != nil {
		a.Previous, a.Events = groups.StreamID{}, a.Events[:0]
		return err
	}
	return nil
}

func (a *Announcement) parse(text string) error {
	first, rest, _ := strings.Cut(text, "\n")
	last, err := groups.ParseStreamID(first)
	if err != nil {
		return malformedAnnouncement("begins with "+strconv.Quote(clip(first)), "the id of an entry, and a new line")
	}
	a.Previous = last
	if rest == "" {
		return malformedAnnouncement("has no event", "at least one")
	}
	shared := []byte(rest)
	for at := 0; at < len(rest); {
		e, length, end, err := parseAnnounced(rest[at:])
		if err != nil {
			return err
		}
		if e.ID.Compare(last) <= 0 {
			return malformedAnnouncement(fmt.Sprintf("has entry %s after %s", e.ID, last), "rising ids")
		}
		last = e.ID
		at += end
		e.JSON = shared[at-length : at : at]
		at++ // the new line
		a.Events = append(a.Events, e)
	}
	return nil
}

// parseAnnounced reads the first event of a text, but for its JSON. It returns the length of the JSON and its end in the text.
func parseAnnounced(text string) (e Announced, length, end int, err error) {
	id, rest, _ := strings.Cut(text, " ")
	seq, rest, _ := strings.Cut(rest, " ")
	chat, rest, _ := strings.Cut(rest, " ")
	bytes, rest, _ := strings.Cut(rest, " ")
	if e.ID, err = groups.ParseStreamID(id); err != nil {
		return e, 0, 0, malformedAnnouncement("has the entry "+strconv.Quote(clip(id)), "the id of an entry")
	}
	number, ok := parseNumber(seq)
	if !ok || number == 0 {
		return e, 0, 0, malformedAnnouncement(fmt.Sprintf("has seq %q", clip(seq)), "a number from 1")
	}
	if chat == "" || strings.Contains(chat, "\n") {
		return e, 0, 0, malformedAnnouncement(fmt.Sprintf("has chat %q", clip(chat)), "a chat id")
	}
	n, ok := parseNumber(bytes)
	if !ok || n >= uint64(len(rest)) || rest[n] != '\n' {
		return e, 0, 0, malformedAnnouncement(fmt.Sprintf("has %q as the length of an event", clip(bytes)), "the number of bytes before a new line")
	}
	e.Seq, e.Chat, length = domain.Seq(number), domain.ChatID(chat), int(n) //nolint:gosec // below the length of a string
	return e, length, len(text) - len(rest) + length, nil
}

// parseNumber parses digits without a sign and without leading zeros.
func parseNumber(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && (s[0] != '0' || len(s) == 1)
}

func malformedAnnouncement(problem, allowed string) error {
	return &Error{Reason: ErrMalformed, Field: "announcement", Problem: problem, Allowed: allowed}
}

// Append appends the text of the announcement to dst.
func (a *Announcement) Append(dst []byte) []byte {
	dst = append(a.Previous.Append(dst), '\n')
	for _, e := range a.Events {
		dst = append(e.ID.Append(dst), ' ')
		dst = append(strconv.AppendUint(dst, uint64(e.Seq), 10), ' ')
		dst = append(append(dst, e.Chat...), ' ')
		dst = append(strconv.AppendInt(dst, int64(len(e.JSON)), 10), ' ')
		dst = append(append(dst, e.JSON...), '\n')
	}
	return dst
}
