package eventlog_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// erasureBy deletes and erases a message that a user sent at a seq. It requires a version of the message.
func erasureBy(by domain.UserID, c domain.ChatID, m domain.MessageID, sent, version domain.Seq) ports.Erasure {
	at := time.UnixMilli(1_800_000_000_000)
	e := ports.Erasure{Message: m, Append: ports.Append{Chat: c, Conditions: []domain.Condition{{Entity: domain.MessageEntity(m), Version: version}}}}
	for i, event := range []domain.Durable{
		domain.MessageDelete{Chat: c, Message: m, By: by, Sent: sent, Reason: "reason", At: at}, domain.MessageErased{Chat: c, Message: m, Sent: sent, By: by, At: at},
	} {
		e.Events = append(e.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprint("z", i, "-", m)), Event: event, Moves: domain.Moves(event)})
	}
	return e
}

// erasure returns a random erasure of a message that the chat may have.
func (s *sides) erasure(t *rapid.T, c domain.ChatID, n int) ports.Erasure {
	m := domain.MessageID(rapid.OneOf(rapid.SampledFrom([]string{"old0", "old1", "old2", "old3"}), rapid.Just(fmt.Sprint("m", rapid.IntRange(1, n).Draw(t, "sent")))).Draw(t, "erased"))
	member, message := domain.MemberEntity("ada"), domain.MessageEntity(m)
	loaded, err := s.general.log.Load(t.Context(), c, ports.LoadRequest{Entity: message}, ports.LoadRequest{Entity: member})
	if err != nil || loaded.Entities[0].Version == 0 {
		return erasureBy("ada", c, m, 3, 3)
	}
	known := loaded.Entities[0].Events
	e := erasureBy("ada", c, m, known[0].Seq, loaded.Entities[0].Version)
	if rapid.Bool().Draw(t, "by a member") {
		e.Conditions = append(e.Conditions, domain.Condition{Entity: member, Version: loaded.Entities[1].Version})
	}
	if rapid.IntRange(0, 9).Draw(t, "stale") == 0 {
		e.Conditions[len(e.Conditions)-1].Version++
	}
	if command := rapid.IntRange(0, 3).Draw(t, "command"); command > 0 {
		e.Command, e.Fingerprint = domain.CommandEntity("ada", domain.CommandID(fmt.Sprint("erase", command))), uint64(n%2) //nolint:gosec // one of two
	}
	if rapid.Bool().Draw(t, "known") {
		e.Known = known
	}
	return e
}

// agreeErased makes an erasure on both servers, and compares what an observer sees.
func (s *sides) agreeErased(t *rapid.T, e ports.Erasure) {
	same(t, fmt.Sprint(e), s.lean.erased(t, e), s.general.erased(t, e))
}

// erased is all that an observer sees of an erasure.
func (s *side) erased(t *rapid.T, e ports.Erasure) string {
	e.Append = s.form(e.Append)
	e.Known = slices.Clone(e.Known)
	got, err := s.log.Erase(t.Context(), e)
	return fmt.Sprintf("%+v\n%v\n%s", got, err, strings.Join(s.announced(t), "\n"))
}
