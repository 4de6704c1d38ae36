package redis

import (
	"context"
	"errors"
	"fmt"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// resends is how often a batch is sent again when the answer was lost.
const resends = 2

// Append implements [ports.EventLog] in one round trip.
func (l *Log) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	outcomes, err := l.AppendBatch(ctx, []ports.Append{a})
	if err != nil {
		return ports.Appended{}, err
	}
	return outcomes[0].Appended, outcomes[0].Err
}

// AppendBatch implements [ports.BatchAppender]: in one round trip on a single server, in one for each partition on a Cluster, where
// an error may then leave the commands of other partitions appended.
func (l *Log) AppendBatch(ctx context.Context, batch []ports.Append) ([]ports.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.evicting != nil {
		return nil, l.evicting
	}
	outcomes := make([]ports.Outcome, len(batch))
	sends := make(map[int]*send)
	for i, a := range batch {
		group := 0
		if l.keys.cluster {
			group = l.keys.partition(a.Chat)
		}
		if sends[group] == nil {
			sends[group] = &send{log: l, batch: batch}
		}
		if err := sends[group].add(i); err != nil {
			outcomes[i].Err = err
		}
	}
	for _, s := range sends {
		if err := s.run(ctx, outcomes); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// send is the part of a batch that goes to Redis in one script call.
type send struct {
	log        *Log
	batch      []ports.Append
	commands   []int // places in batch
	partitions []int
	args       []any
}

// add encodes one command. A command that cannot be encoded leaves the rest of the batch as it is.
func (s *send) add(i int) error {
	a := s.batch[i]
	if err := a.Check(); err != nil {
		return err
	}
	encoded := make([]wireformat.Encoded, len(a.Events))
	for e, event := range a.Events {
		var err error
		if encoded[e], err = s.log.codec.Encode(event.ID, event.Event, event.Meta); err != nil {
			return err
		}
	}
	typing, channel, payload := "", "", []byte(nil)
	if end := a.EndsTyping; end != nil {
		var err error
		if payload, err = s.log.codec.EncodeLive(end.ID, end.Stop, a.Events[0].Meta); err != nil {
			return err
		}
		typing = s.log.keys.typing(end.Stop.Chat, end.Stop.User)
		channel = s.log.keys.Channel(wireformat.Type(end.Stop))
	}

	s.commands = append(s.commands, i)
	s.arg(s.place(s.log.keys.partition(a.Chat)), escape(string(a.Chat)), string(a.Chat), typing, channel, payload)
	s.arg(len(a.Conditions))
	for _, c := range a.Conditions {
		s.arg(kindCode(c.Entity.Kind), c.Entity.ID, uint64(c.Version))
	}
	s.arg(len(a.Events))
	for e, event := range a.Events {
		typ := wireformat.Type(event.Event)
		channel := ""
		if s.log.announce {
			channel = s.log.keys.Channel(typ)
		}
		counts, deletes := 0, ""
		switch event := event.Event.(type) {
		case domain.MessageNew:
			counts = 1
		case domain.MessageDelete:
			deletes = string(event.Message)
		}
		metadata := wireformat.EncodeMetadata(wireformat.Metadata(event.ID, event.Event, event.Meta))
		s.arg(string(event.ID), channel, metadata, encoded[e].Head, encoded[e].Tail, counts, deletes, len(event.Moves))
		for _, m := range event.Moves {
			s.arg(kindCode(m.Kind), m.ID)
		}
	}
	return nil
}

func (s *send) arg(values ...any) { s.args = append(s.args, values...) }

// place numbers the partitions of the batch from 1, in the order in which they come.
func (s *send) place(partition int) int {
	for i, p := range s.partitions {
		if p == partition {
			return i + 1
		}
	}
	s.partitions = append(s.partitions, partition)
	return len(s.partitions)
}

// run sends the batch until there is an answer. Only the first sending can be ambiguous about nothing: a lost answer is asked for
// again with the same event ids, which Redis then either finds or appends, so that nothing is there twice.
func (s *send) run(ctx context.Context, outcomes []ports.Outcome) error {
	if len(s.commands) == 0 {
		return nil
	}
	keys := make([]string, 0, 2*len(s.partitions))
	for _, p := range s.partitions {
		keys = append(keys, s.log.keys.id(p), s.log.keys.stream(p))
	}
	var unknown error
	for range 1 + resends {
		again := ""
		if unknown != nil {
			again = "1"
		}
		args := append([]any{s.log.id, again, len(s.commands)}, s.args...)
		reply, err := s.log.scripts.append.Run(ctx, s.log.client, keys, args...).Slice()
		switch {
		case err == nil:
			return s.read(reply, outcomes)
		case answered(err) && unknown == nil, neverSent(err) && unknown == nil:
			return unavailable(ctx, err)
		case !answered(err) && !neverSent(err):
			unknown = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("%w: %w", ports.ErrOutcomeUnknown, unknown)
}

func (s *send) read(reply []any, outcomes []ports.Outcome) error {
	if status, _ := reply[0].(int64); status != 0 {
		place, _ := reply[1].(int64)
		return s.log.lost(s.partitions[place-1])
	}
	for c, i := range s.commands {
		outcome, ok := reply[c+1].([]any)
		if !ok {
			return fmt.Errorf("%w: unreadable outcome %v", ports.ErrOutcomeUnknown, reply[c+1])
		}
		outcomes[i] = readOutcome(s.batch[i], outcome)
	}
	return nil
}

func readOutcome(a ports.Append, outcome []any) ports.Outcome {
	number := func(i int) uint64 {
		n, _ := outcome[i].(int64)
		return uint64(n) //nolint:gosec // seqs are not negative
	}
	switch number(0) {
	case 0:
		return ports.Outcome{Appended: ports.Appended{
			First: domain.Seq(number(1)), Last: domain.Seq(number(2)), Ordinal: domain.Ordinal(number(3)),
		}}
	case 1:
		return ports.Outcome{Err: &ports.ConflictError{
			Chat: a.Chat, Condition: a.Conditions[number(1)-1], Version: domain.Seq(number(2)),
		}}
	default:
		what, _ := outcome[1].(string)
		return ports.Outcome{Err: &ports.CorruptError{Chat: a.Chat, Cause: errors.New(what)}}
	}
}

// kindCode is how the scripts and the links of an entry call a kind of entity.
func kindCode(k domain.EntityKind) string {
	switch k {
	case domain.KindChat:
		return "c"
	case domain.KindMember:
		return "u"
	case domain.KindMessage:
		return "m"
	case domain.KindReactions:
		return "x"
	case domain.KindRead:
		return "r"
	case domain.KindCommand:
		return "k"
	}
	return "?"
}
