package chatcore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/ports"
)

// Unordered makes every event of a group independent of the others: an event that fails, or whose handler runs for long, delays no other event, also
// not of its chat. Several events of a chat may be with handlers of a process at a time ([ChatConcurrency]). An event that becomes a dead letter is
// skipped.
//
// Events that are finished before an earlier event of their chat are not delivered again, whichever process continues: the group keeps them beside its
// checkpoints. After a crash the events that were finished in the last milliseconds may come again, as in every group. At most 128 events of a chat, and
// 1,024 of a partition, are retried at a time: at that number, events that were not delivered yet wait.
func Unordered() SubscribeOption {
	return func(s *registration) { s.unordered = true }
}

// OrderBy makes an event wait only for the earlier events of its chat with the same key: for its message, for example, so that an edit follows its message
// and other messages do not wait for either. The events of a chat whose keys differ are as independent as those of an [Unordered] group, with the same
// bounds. When about 500 events of a chat wait behind a key whose event is retried, the chat's other keys wait too.
//
// key is called once for each event that is read, by several goroutines at a time. It must return the same key for the same event, without waiting. An
// event for which it panics becomes a dead letter. Events of different chats have no order, whatever their keys.
func OrderBy(key func(e domain.Durable) string) SubscribeOption {
	return func(s *registration) {
		if key == nil {
			s.refuse("OrderBy", "has nil as function", "a function that returns a key")
		}
		s.orderBy = key
	}
}

// Concurrency is how many events may be with handlers of this process at a time. Events of a chat are with handlers one after the other unless the group
// has [Unordered] or [OrderBy]. Defaults to 64.
func Concurrency(n int) SubscribeOption {
	return func(s *registration) {
		if n < 1 {
			s.refuse("Concurrency", fmt.Sprintf("is %d", n), "a number from 1")
		}
		s.concurrency = n
	}
}

// ChatConcurrency is how many events of one chat may be with handlers at a time, in a group with [Unordered] or [OrderBy], so that a busy chat leaves room
// for others. Defaults to [Concurrency].
func ChatConcurrency(n int) SubscribeOption {
	return func(s *registration) {
		if n < 1 {
			s.refuse("ChatConcurrency", fmt.Sprintf("is %d", n), "a number from 1")
		}
		s.chatConcurrency = n
	}
}

// Retry sets how often, and when, a failed handler of the group is started again. A field of 0 has the value of [DeliveryConfig.Retry].
func Retry(p RetryPolicy) SubscribeOption {
	return func(s *registration) {
		for _, field := range []struct {
			name    string
			value   int64
			problem string
		}{
			{"Retry.Attempts", int64(p.Attempts), strconv.Itoa(p.Attempts)},
			{"Retry.First", int64(p.First), p.First.String()},
			{"Retry.Max", int64(p.Max), p.Max.String()},
		} {
			if field.value < 0 {
				s.refuse(field.name, "is "+field.problem, "a value above 0, or 0 for that of DeliveryConfig.Retry")
			}
		}
		s.retry = p
	}
}

// OnlyChats selects the chats whose events reach the group's handlers. The group finishes the events of other chats without a handler and without decoding
// them, each in its place in the order, and counts them in [Stats.Ignored]. Dead letters that are retried reach the handlers in any case.
//
// wants is called for each delivery. It must not wait, and must give the same answer for a chat for as long as the group exists: events that were finished
// do not come again. An event for which it panics becomes a dead letter. The chat of another program's entry is that of its metadata, "" if it has none.
func OnlyChats(wants func(chat domain.ChatID) bool) SubscribeOption {
	return func(s *registration) {
		if wants == nil {
			s.refuse("OnlyChats", "has nil as function", "a function that selects chats")
		}
		s.chats = wants
	}
}

// FromBeginning makes a new group start with the first event there is instead of with the next one.
func FromBeginning() SubscribeOption {
	return func(s *registration) { s.start.Beginning = true }
}

// StartAt makes a new group start, in each chat, with the first event of the time t or later, by the times of the events: also with events that only
// the log still has. A time in the future means the next event. It has no effect on a group that exists.
//
// A chat's events rise in time, apart from imported ones ([app.Chats.Backdated]): where they do not, the group begins at one of the events at which their
// times pass t. Of a chat with n events the first start reads about log2(n), for many chats in one round trip.
func StartAt(t time.Time) SubscribeOption {
	return func(s *registration) {
		if t.IsZero() {
			s.refuse("StartAt", "is the zero time", "a time; FromBeginning for the first event, neither for the next one")
		}
		s.start.At = t
	}
}

// refuse adds an error about an option.
func (s *registration) refuse(option, problem, allowed string) {
	s.err = errors.Join(s.err, &domain.InvalidError{Field: option, Problem: problem, Allowed: allowed})
}

// order returns the order of the group's events, and the function of their keys.
func (s *registration) order() (delivery.Order, func(ports.Delivery) string) {
	switch {
	case s.orderBy != nil:
		return delivery.ByKey, func(d ports.Delivery) string { return s.orderBy(d.Event) }
	case s.unordered:
		return delivery.Unordered, nil
	}
	return delivery.ByChat, nil
}

// checkOptions adds an error for each option that does not go with the others.
func (s *registration) checkOptions() {
	anyOrder := s.unordered || s.orderBy != nil
	switch {
	case s.unordered && s.orderBy != nil:
		s.refuse("Unordered", "is beside OrderBy", "one of them")
	case anyOrder && s.poison == Park:
		s.refuse("OnPoison", "is Park in a group with Unordered or OrderBy", "Skip; or Park in a group without them: no other event waits for one that fails")
	case !anyOrder && s.chatConcurrency > 0:
		s.refuse("ChatConcurrency", "is in a group with one event of a chat at a time", "a group with Unordered or OrderBy")
	}
	if s.start.Beginning && !s.start.At.IsZero() {
		s.refuse("StartAt", "is beside FromBeginning", "one of them")
	}
}
