package ports

import (
	"context"
	"fmt"
	"iter"

	"chatcore/domain"
)

// Eraser is an event log that removes content from its events. A log that cannot need not be one.
type Eraser interface {
	// Erase appends as [EventLog.Append] does. In the same step it replaces every earlier event that moved the message by its erased form, as
	// [domain.Erased] has it, in its place: seq, ordinal, id and metadata stay. Snapshots of the message of earlier versions are dropped, and none is saved
	// from then on. Reads, and deliveries that read the log, give the erased forms. Entries of delivery streams and copies elsewhere are not changed.
	//
	// The append must have one [domain.MessageErased], which must be of the message, and no event that sends it. Errors are those of Append; after any
	// but [ErrOutcomeUnknown] no event is replaced. If no event has moved the message, the error is [ErrConflict].
	Erase(ctx context.Context, e Erasure) (Erased, error)

	// EraseContent replaces the events of a range that have content, and that no erasure of a message reaches, by their erased forms, as [domain.ErasedWithChat] has
	// it, in their place. No event says so: the caller appends one. It examines up to [MaxPage] events, leaves out those that a legal hold of the log, the chat or
	// their actor protects, and drops the snapshots of all entities of the chat if it has replaced an event. From then on, a snapshot from before the last
	// [domain.ChatDeleted] is not saved, unless the chat was created anew.
	//
	// An event that only a newer program can read gives [*NewerVersionError], and nothing is replaced. After any other error some events may be replaced: given
	// again, the call goes on. [ErrConflict] says that others replaced events of the range at the same time.
	EraseContent(ctx context.Context, chat domain.ChatID, r ContentRange) (ContentErased, error)
}

// ContentRange is a range of events of which content is erased.
type ContentRange struct {
	From  domain.Seq // the first seq; 0 is 1
	Until domain.Seq // the last seq; one beyond the head is the head
}

// ContentErased is the result of an erasure of content.
type ContentErased struct {
	Next   domain.Seq         // the first seq of the range that was not examined; 0 if there is none
	Erased int                // events that were replaced
	Held   int                // events with content that stay, because a legal hold protects them
	Hold   domain.HoldSubject // of the last of these
}

// Erasure is an append that erases a message.
type Erasure struct {
	Append
	Message domain.MessageID
	// Known are all events of the message up to the version that the append requires, oldest first, as the log has returned them. With them the log need not read
	// the message again. Defaults to none.
	Known []Record
}

// Erased is the result of an erasure.
type Erased struct {
	Appended
	// Events are the erased events as they were before, oldest first. They have no content that an earlier erasure removed, and after a lost answer none at
	// all.
	Events []Record
}

// Sent returns the seq of the event that sent the message, as the erasure says: 0 if it does not.
func (e Erasure) Sent() domain.Seq {
	for _, event := range e.Events {
		if erased, ok := event.Event.(domain.MessageErased); ok {
			return erased.Sent
		}
	}
	return 0
}

// Check returns an error if no log would accept the erasure.
func (e Erasure) Check() error {
	if err := e.Append.Check(); err != nil {
		return err
	}
	erased := 0
	for _, event := range e.Events {
		switch event := event.Event.(type) {
		case domain.MessageErased:
			erased++
			if event.Message != e.Message {
				return &domain.InvalidError{Field: "events", Problem: fmt.Sprintf("erase message %q", event.Message), Allowed: fmt.Sprintf("the erasure of message %q", e.Message)}
			}
		case domain.MessageNew:
			if event.Message == e.Message {
				return &domain.InvalidError{Field: "events", Problem: "send the message that they erase", Allowed: "the erasure of an earlier message"}
			}
		}
	}
	if erased != 1 {
		return &domain.InvalidError{Field: "events", Problem: fmt.Sprintf("have %d erasures", erased), Allowed: "one"}
	}
	return nil
}

// ErasedContent yields the events of a chat up to a seq that an [Eraser].EraseContent has replaced, in their order. It reads all events of the chat.
func ErasedContent(ctx context.Context, log EventLog, chat domain.ChatID, until domain.Seq) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r := (Range{From: 1, Until: until, Limit: MaxPage}); r.From <= until; r.From += MaxPage {
			page, err := log.Read(ctx, chat, r)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, record := range page.Records {
				if domain.IsErasedWithChat(record.Event) && !yield(record, nil) {
					return
				}
			}
		}
	}
}
