package pull

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/google/uuid"

	"chatcore/ports"
)

// relayed are settlements on the way to the process that made their deliveries.
type relayed struct {
	Group       string       `json:"group"`
	Settlements []Settlement `json:"settlements"`
}

// answered is its answer.
type answered struct {
	Statuses []Status `json:"statuses"`
}

// maxRelayed is the most settlements of a request: with the longest reasons it stays below [ports.MaxRelayed].
const maxRelayed = 64

// serve has the broker answer other processes, until Close.
func (b *Broker) serve(ctx context.Context) error {
	b.serving.Lock()
	defer b.serving.Unlock()
	if b.config.Relay == nil || b.answers != nil {
		return nil
	}
	stop, err := b.config.Relay.Answer(ctx, uuid.UUID(b.tokens.instance).String(), b.answer)
	if err != nil {
		return err
	}
	b.answers = stop
	return nil
}

// answer settles the deliveries of another process's request.
func (b *Broker) answer(_ context.Context, request []byte) []byte {
	var asked relayed
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil
	}
	answer := answered{Statuses: make([]Status, len(asked.Settlements))}
	for i := range asked.Settlements {
		t, ok := parseToken(asked.Settlements[i].Token)
		if !ok || !b.tokens.isOf(t, asked.Group) {
			answer.Statuses[i] = unknown
		}
	}
	if !hasUnknown(answer.Statuses) {
		b.settleHere(asked.Group, asked.Settlements, answer.Statuses)
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		return nil
	}
	return encoded
}

func hasUnknown(statuses []Status) bool {
	for _, s := range statuses {
		if s == unknown {
			return true
		}
	}
	return false
}

// ask has the process of deliveries settle some of them. A process that is gone owns nothing any more: the settlements are stale.
func (b *Broker) ask(ctx context.Context, instance [instanceBytes]byte, request relayed) ([]Status, error) {
	n := len(request.Settlements)
	if b.config.Relay == nil {
		return all(Stale, n), nil
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	answer, err := b.config.Relay.Ask(ctx, uuid.UUID(instance).String(), encoded)
	if errors.Is(err, ports.ErrNoInstance) {
		return all(Stale, n), nil
	}
	var statuses answered
	if err != nil || json.Unmarshal(answer, &statuses) != nil || len(statuses.Statuses) != n {
		return all(Unanswered, n), err
	}
	return statuses.Statuses, nil
}

func all(s Status, n int) []Status {
	statuses := make([]Status, n)
	for i := range statuses {
		statuses[i] = s
	}
	return statuses
}

// settleEverywhere settles deliveries of several processes: those of the others first, because their tokens are checked there.
func (b *Broker) settleEverywhere(ctx context.Context, group string, settlements []Settlement, elsewhere map[[instanceBytes]byte][]int, statuses []Status) error {
	var asking sync.WaitGroup
	for instance, indexes := range elsewhere {
		for from := 0; from < len(indexes); from += maxRelayed {
			part := indexes[from:min(from+maxRelayed, len(indexes))]
			asking.Go(func() {
				request := relayed{Group: group}
				for _, i := range part {
					request.Settlements = append(request.Settlements, settlements[i])
				}
				answers, err := b.ask(ctx, instance, request)
				if err != nil {
					b.config.Logger.DebugContext(ctx, "another process has not answered a settlement", "group", group, "error", err)
					answers = all(Unanswered, len(part))
				}
				for n, i := range part {
					statuses[i] = answers[n]
				}
			})
		}
	}
	asking.Wait()
	var here []Settlement
	var indexes []int
	unanswered := false
	for i, s := range statuses {
		switch s {
		case unknown:
			return unknownToken(i)
		case Unanswered:
			unanswered = true
		case 0:
			here, indexes = append(here, settlements[i]), append(indexes, i)
		case Done, Stale:
		}
	}
	answers := make([]Status, len(here))
	b.settleHere(group, here, answers)
	for n, i := range indexes {
		statuses[i] = answers[n]
	}
	if unanswered {
		return ErrUnanswered
	}
	return nil
}

// Close stops all groups, and the answers to other processes.
func (b *Broker) Close() {
	b.mu.Lock()
	all := make([]*Group, 0, len(b.groups))
	for _, g := range b.groups {
		all = append(all, g)
	}
	b.mu.Unlock()
	for _, g := range all {
		_ = g.Stop(context.Background()) // it returns nil
	}
	b.serving.Lock()
	defer b.serving.Unlock()
	if b.answers != nil {
		b.answers()
		b.answers = nil
	}
}
