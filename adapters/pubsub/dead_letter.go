package pubsub

import (
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// Poison is the policy for a chat when one of its events becomes a dead letter.
type Poison uint8

// Policies for an event that cannot be handled.
const (
	Skip Poison = iota // the chat continues with its next event
	Park               // the chat waits until the dead letter is redelivered or dropped
)

// String returns "skip" or "park".
func (p Poison) String() string {
	switch p {
	case Skip:
		return "skip"
	case Park:
		return "park"
	}
	return "Poison(" + strconv.Itoa(int(p)) + ")"
}

// deadLetter is a dead letter as it is stored.
type deadLetter struct {
	Reason   string
	Attempts int // handler starts
	UUID     string
	Metadata string // packed
	Payload  []byte
	Chat     string     // "" for an entry of another program
	Seq      domain.Seq // 0 for an entry of another program
	Parked   bool       // its chat waits for a decision
	Entry    string     // id of an unreadable entry of another program, which is one letter for all groups; "" for any other
	Cut      bool       // not all of the entry is kept
	Of       string     // id of the letter whose retry failed, which remains; "" for a new letter
	Mark     retryMark  // that the letter Of gets
	InOrder  bool       // that retry was in order
}

// Bounds of the dead letters of unreadable entries of other programs.
const (
	sharedLetters = 10_000   // ids of entries on a stream that are remembered as dead letters of some group
	letterBytes   = 64 << 10 // of a field of such an entry; of a longer field the beginning is kept
)

// ofEntry makes the letter one of an unreadable entry of another program. The first group that meets the entry keeps the letter, for all groups.
func (l *deadLetter) ofEntry(id streamID) {
	l.Entry = id.String()
	if len(l.Payload) > letterBytes {
		l.Payload, l.Cut = l.Payload[:letterBytes], true
	}
	for _, field := range [...]*string{&l.UUID, &l.Metadata} {
		if len(*field) > letterBytes {
			*field, l.Cut = (*field)[:letterBytes], true
		}
	}
}

// The fields of a dead letter that precede those of its entry.
const (
	fieldReason   = "reason"
	fieldAttempts = "attempts"
	fieldParked   = "parked"
	fieldEntry    = "entry"
	fieldCut      = "cut"
)

func (l deadLetter) fields() []any {
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
	if l.Entry != "" {
		fields = append(fields, fieldEntry, l.Entry)
	}
	if l.Cut {
		fields = append(fields, fieldCut, "1")
	}
	return fields
}

// DeadLetter is a delivery that failed for good. It remains until a retry succeeds. A failed retry keeps ID, At and First, and attempts add up.
type DeadLetter struct {
	ID       string // within its group
	Group    string
	Reason   string        // of the last failure
	Attempts int           // handler starts, those of retries included
	At       time.Time     // when it became a dead letter
	FailedAt time.Time     // when its last retry failed; zero if none has
	First    string        // reason why it became a dead letter
	Parked   bool          // its chat waits until it is redelivered or dropped
	Again    bool          // it is about to be redelivered
	Chat     domain.ChatID // "" for an entry of another program
	Seq      domain.Seq    // 0 for an entry of another program
	Entry    string        // stream id of an unreadable entry of another program, which is one dead letter for all groups; "" for any other
	EventID  domain.EventID
	Metadata map[string]string
	Payload  []byte
}

func packMetadata(m message.Metadata) string { return string(wireformat.EncodeMetadata(m)) }

func readLetter(values map[string]any) deadLetter {
	text := func(name string) string {
		t, _ := values[name].(string)
		return t
	}
	attempts, _ := strconv.Atoi(text(fieldAttempts))
	seq, _ := strconv.ParseUint(text(wireformat.FieldSeq), 10, 64)
	return deadLetter{
		Reason: text(fieldReason), Attempts: attempts, UUID: text(wireformat.FieldUUID), Metadata: text(wireformat.FieldMetadata),
		Payload: []byte(text(wireformat.FieldPayload)), Chat: text(wireformat.FieldChat), Seq: domain.Seq(seq), Parked: text(fieldParked) == "1",
		Entry: text(fieldEntry), Cut: text(fieldCut) == "1",
	}
}

// opened returns l as a [DeadLetter]. Metadata that cannot be parsed is left out.
func (l deadLetter) opened(group, id string, at time.Time) DeadLetter {
	metadata, _ := wireformat.ParseMetadata(l.Metadata)
	return DeadLetter{
		ID: id, Group: group, Reason: l.Reason, First: l.Reason, Attempts: l.Attempts, At: at, Parked: l.Parked,
		Chat: domain.ChatID(l.Chat), Seq: l.Seq, Entry: l.Entry, EventID: domain.EventID(l.UUID), Metadata: metadata, Payload: l.Payload,
	}
}

// closed returns d as it is stored.
func (d DeadLetter) closed() deadLetter {
	return deadLetter{
		Reason: d.Reason, Attempts: d.Attempts, UUID: string(d.EventID), Metadata: packMetadata(d.Metadata), Payload: d.Payload,
		Chat: string(d.Chat), Seq: d.Seq, Parked: d.Parked, Entry: d.Entry,
	}
}
