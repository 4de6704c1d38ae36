package redisgroup

import (
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// The fields of a dead letter beside those of its entry.
const (
	fieldReason   = "reason"
	fieldAttempts = "attempts"
	fieldParked   = "parked"
	fieldEntry    = "entry"
	fieldCut      = "cut"
)

// letterFields returns the fields and values of a dead letter's entry in the stream of dead letters.
func letterFields(l *groups.Letter) []any {
	fields := []any{
		fieldReason, l.Reason, fieldAttempts, l.Attempts,
		wireformat.FieldUUID, l.UUID, wireformat.FieldMetadata, l.Metadata, wireformat.FieldPayload, l.Payload,
	}
	if l.Chat != "" {
		fields = append(fields, wireformat.FieldChat, l.Chat, wireformat.FieldSeq, uint64(l.Seq))
	}
	if l.Parked {
		fields = append(fields, fieldParked, "1")
	}
	if !l.Entry.IsZero() {
		fields = append(fields, fieldEntry, l.Entry.String())
	}
	if l.Cut {
		fields = append(fields, fieldCut, "1")
	}
	return fields
}

// parseLetter parses the fields of a dead letter, or of an entry of a stream. It ignores values that it cannot parse.
func parseLetter(values map[string]any) groups.Letter {
	text := func(name string) string { return rediscmd.Text(values[name]) }
	attempts, _ := strconv.Atoi(text(fieldAttempts))
	entry, _ := groups.ParseStreamID(text(fieldEntry))
	return groups.Letter{
		Reason: text(fieldReason), Attempts: attempts, UUID: text(wireformat.FieldUUID), Metadata: text(wireformat.FieldMetadata),
		Payload: []byte(text(wireformat.FieldPayload)), Chat: text(wireformat.FieldChat), Seq: parseSeq(text(wireformat.FieldSeq)), Parked: text(fieldParked) == "1",
		Entry: entry, Cut: text(fieldCut) == "1",
	}
}

// openLetter returns an entry of a partition's stream of dead letters with the retries that its mark records, "" for none. Metadata that cannot be
// parsed is left out.
func openLetter(group string, partition int, m goredis.XMessage, mark string) groups.DeadLetter {
	id, _ := groups.ParseStreamID(m.ID)
	l := parseLetter(m.Values)
	metadata, _ := wireformat.ParseMetadata(l.Metadata)
	d := groups.DeadLetter{
		ID: strconv.Itoa(partition) + "/" + m.ID, Group: group, Reason: l.Reason, First: l.Reason, Attempts: l.Attempts, At: timeOf(id), Parked: l.Parked,
		Chat: domain.ChatID(l.Chat), Seq: l.Seq, EventID: domain.EventID(l.UUID), Metadata: metadata, Payload: l.Payload,
	}
	if !l.Entry.IsZero() {
		d.Entry = l.Entry.String()
	}
	if mark != "" {
		parseRetryMark(mark).Apply(&d)
	}
	return d
}

// timeOf returns when an entry was appended.
func timeOf(id groups.StreamID) time.Time {
	return time.UnixMilli(int64(id.Milliseconds)).UTC() //nolint:gosec // a time
}
