package chatcore

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"time"

	"chatcore/adapters/subscribers"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// GroupState is the state of a consumer group.
type GroupState struct {
	Group      string
	Members    int // processes that run it: their heartbeats have not expired
	Partitions []PartitionState
}

// PartitionState is the state of a consumer group on one partition.
type PartitionState struct {
	Stream    string
	Partition int           // below 0: only entries of other programs
	Owner     string        // member that owns the partition; "" if none does
	Until     time.Time     // when its lease ends unless it is renewed
	Epoch     uint64        // of the last owner
	Position  string        // stream id up to which every event is finished or waits in the log
	Passed    uint64        // entries that the position has passed since the stream exists: how many more it becomes is the group's throughput
	Lag       uint64        // entries of the stream after the position, and unfinished events of chats that catch up from the log
	Oldest    time.Time     // append of the oldest of them; zero if there is none
	Age       time.Duration // since then, by Redis's clock
	Behind    int           // chats that catch up from the log
	Parked    int           // chats that wait for a decision about a dead letter
	Failing   int           // chats whose next event has failed, or waits
	Blocked   int           // chats that make no progress although none of their events became a dead letter
	Longest   []BlockedChat // at most 8 of them, those that are blocked for the longest
	Letters   int           // dead letters
	Walked    int           // chats checked so far while all chats are checked
	Chats     int           // chats to check; 0 unless all chats are checked
	CatchesUp bool          // all chats are checked for undelivered events

	LettersFull bool // the dead letter bound of the last owner is reached: a delivery that would become one is retried, and its chat waits
}

// BlockedChat is a chat that makes no progress although none of its events became a dead letter, with the reason.
type BlockedChat struct {
	Chat   domain.ChatID // "" for entries of other programs
	Seq    domain.Seq    // of the waiting event; 0 for entries of other programs
	Reason BlockReason
	Since  time.Time // by the clock of the process
	Error  string    // the last one, "" for [BlockedSlow]
}

// DeadLetter is a delivery that failed for good, or an entry of another program that nobody can read.
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
	Payload  []byte // of an event of the log as the log has it now
}

// Hole is a part of the log that a consumer group of this process cannot read.
type Hole struct {
	Group string
	Chat  domain.ChatID // "" for the list of a partition's chats
	Err   error         // a [*ports.CorruptError]
}

func groupState(of groups.State) GroupState {
	state := GroupState{Group: of.Group, Members: of.Members}
	for _, p := range of.Partitions {
		state.Partitions = append(state.Partitions, partitionState(p))
	}
	return state
}

func partitionState(p groups.PartitionState) PartitionState {
	state := PartitionState{
		Stream: p.Stream, Partition: p.Partition, Owner: p.Owner, Until: p.Until, Epoch: p.Epoch, Position: p.Position, Lag: p.Lag, Oldest: p.Oldest, Age: p.Age,
		Behind: p.Behind, Parked: p.Parked, Failing: p.Failing, Blocked: p.Blocked, Letters: p.Letters, Walked: p.Walked, Chats: p.Chats, CatchesUp: p.CatchesUp,
		LettersFull: p.LettersFull, Passed: p.Passed,
	}
	for _, chat := range p.Longest {
		state.Longest = append(state.Longest, BlockedChat(chat))
	}
	return state
}

// administration implements [Groups] on the consumer groups of a log.
type administration struct {
	groups.Admin
	definitions *subscribers.Administration
	backlog     ports.Backlog
}

// Delete implements [Groups].
func (a administration) Delete(ctx context.Context, group string) error {
	return a.definitions.Delete(ctx, group)
}

// List implements [Groups].
func (a administration) List(ctx context.Context) ([]GroupState, error) {
	list, err := a.Admin.List(ctx)
	if err != nil {
		return nil, err
	}
	states := make([]GroupState, 0, len(list))
	for _, state := range list {
		states = append(states, groupState(state))
	}
	return states, nil
}

// DeadLetters implements [Groups].
func (a administration) DeadLetters(ctx context.Context, group string) iter.Seq2[DeadLetter, error] {
	return a.DeadLettersAfter(ctx, group, "")
}

// DeadLettersAfter implements [Groups].
func (a administration) DeadLettersAfter(ctx context.Context, group, id string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for letter, err := range a.Admin.DeadLettersAfter(ctx, group, id) {
			if err == nil {
				letter, err = a.withPayload(ctx, letter)
			}
			if !yield(DeadLetter(letter), err) || err != nil {
				return
			}
		}
	}
}

// DeadLetter implements [Groups].
func (a administration) DeadLetter(ctx context.Context, group, id string) (DeadLetter, error) {
	letter, err := a.Admin.DeadLetter(ctx, group, id)
	if err == nil {
		letter, err = a.withPayload(ctx, letter)
	}
	return DeadLetter(letter), err
}

// withPayload returns a dead letter of an event of the log with the event as the log has it now: without content if that was erased. An event that the
// log does not have keeps the payload that an older program stored.
func (a administration) withPayload(ctx context.Context, d groups.DeadLetter) (groups.DeadLetter, error) {
	partition, err := strconv.Atoi(d.ID[:max(strings.IndexByte(d.ID, '/'), 0)])
	if err != nil || d.Seq == 0 || a.backlog == nil {
		return d, nil //nolint:nilerr // the id of another store has no partition
	}
	pages, _, err := a.backlog.ReadRaw(ctx, partition, "", []ports.EventRange{{Chat: d.Chat, From: d.Seq, Limit: 1}})
	if err != nil {
		return groups.DeadLetter{}, err
	}
	for _, page := range pages {
		if len(page.Events) > 0 {
			d.Payload = page.Events[0]
		}
	}
	return d, nil
}
