package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// RetentionConfig configures [NewRetention].
type RetentionConfig struct {
	Rules      ports.RetentionRules
	Log        RetentionLog
	Backlog    ports.Backlog // of the same log
	Partitions int           // of the log
	Erase      func(ctx context.Context, cmd domain.Erase) (Erased, error)
	Clock      ports.LogClock
	Logger     *slog.Logger

	Policy domain.Retention // of the log
	Rate   int              // the highest number of messages that are erased in a second
	// Files is called with the attachments of a message after it was erased, at most once. nil does nothing.
	Files func(ctx context.Context, chat domain.ChatID, message domain.MessageID, files []domain.Attachment)
}

// RetentionLog is the part of an event log that retention reads.
type RetentionLog interface {
	ports.EventSearch
	ports.MessageCounter
	entityLog
}

// Retention erases messages by rule, and keeps the legal holds that stop every erasure. It is for trusted callers: no membership is checked. Messages are erased
// as [Chats.Erase] does, by [domain.RetentionActor]: seqs, members and ids of messages and commands stay, and so do reactions, titles and custom events.
type Retention struct {
	config RetentionConfig
	counts RetentionStats
}

// NewRetention returns the retention of a log.
func NewRetention(c RetentionConfig) *Retention { return &Retention{config: c} }

// now returns the time in whole milliseconds, as policies are kept.
func (r *Retention) now() time.Time { return r.config.Clock.Now().UTC().Truncate(time.Millisecond) }

// Declare sets the policy of the log to that of the configuration. If it is stricter than the present one, it applies after a grace of
// [domain.RetentionGrace]; a policy that is declared again keeps its grace.
func (r *Retention) Declare(ctx context.Context) error {
	now, next := r.now(), domain.RetentionPolicy{Retention: r.config.Policy, SetBy: domain.RetentionActor}
	return r.config.Rules.SetPolicy(ctx, "", func(_, present domain.RetentionPolicy) (domain.RetentionPolicy, error) {
		switch {
		case present.Retention == next.Retention:
			return present, nil
		case next.KeepsAll():
			return domain.RetentionPolicy{}, nil
		}
		return next.Begin(present.Applied(domain.Retention{}, now), domain.Retention{}, now), nil
	})
}

// SetPolicy sets the policy of a chat, which need not exist yet. It overrides the policy of the log, also with one that keeps all. If it is stricter than what applies
// to the chat, it applies after a grace of [domain.RetentionGrace]. The same policy again changes nothing. It returns the policy.
func (r *Retention) SetPolicy(ctx context.Context, chat domain.ChatID, retention domain.Retention, by domain.UserID) (domain.RetentionPolicy, error) {
	if err := firstError(checkChat(chat, by), retention.Check()); err != nil {
		return domain.RetentionPolicy{}, err
	}
	return r.change(ctx, chat, func(present domain.RetentionPolicy, set bool) (domain.RetentionPolicy, bool) {
		return domain.RetentionPolicy{Retention: retention, SetBy: by}, !set || present.Inherits || present.Retention != retention
	})
}

// ClearPolicy removes the policy of a chat: that of the log applies, if it is stricter after a grace of [domain.RetentionGrace]. A chat without a policy is left
// as it is.
func (r *Retention) ClearPolicy(ctx context.Context, chat domain.ChatID, by domain.UserID) error {
	if err := checkChat(chat, by); err != nil {
		return err
	}
	_, err := r.change(ctx, chat, func(present domain.RetentionPolicy, set bool) (domain.RetentionPolicy, bool) {
		return domain.RetentionPolicy{Inherits: true, SetBy: by}, set && !present.Inherits
	})
	return err
}

// change replaces the policy of a chat, if decide says so. A policy that only inherits and has no grace is removed.
func (r *Retention) change(
	ctx context.Context, chat domain.ChatID, decide func(present domain.RetentionPolicy, set bool) (next domain.RetentionPolicy, change bool),
) (policy domain.RetentionPolicy, err error) {
	now := r.now()
	err = r.config.Rules.SetPolicy(ctx, chat, func(log, present domain.RetentionPolicy) (domain.RetentionPolicy, error) {
		set, applied := present != (domain.RetentionPolicy{}), log.Applied(domain.Retention{}, now)
		next, changed := decide(present, set)
		if policy = present; !changed {
			return policy, nil
		}
		policy = next.Begin(appliedTo(present, applied, now), log.Retention, now)
		if policy.Inherits && policy.From.IsZero() {
			return domain.RetentionPolicy{}, nil
		}
		return policy, nil
	})
	return policy, err
}

// appliedTo returns what applies to a chat with a policy, which may be the zero policy. log is what applies to chats without one.
func appliedTo(own domain.RetentionPolicy, log domain.Retention, now time.Time) domain.Retention {
	if own == (domain.RetentionPolicy{}) {
		return log
	}
	return own.Applied(log, now)
}

// AddHold sets a legal hold: from its return on nothing erases what it protects, and an erasure that runs stops at it. After an error that is
// [ports.ErrUnavailable] or [ports.ErrOutcomeUnknown] it may protect a part: give it again. At defaults to now. Its errors are those of [ports.RetentionRules].
func (r *Retention) AddHold(ctx context.Context, h domain.Hold) error {
	if h.At.IsZero() {
		h.At = r.now()
	}
	return r.config.Rules.AddHold(ctx, h)
}

// RemoveHold removes a legal hold. It returns [domain.ErrHoldNotFound] if the subject does not have it.
func (r *Retention) RemoveHold(ctx context.Context, subject domain.HoldSubject, id domain.HoldID) error {
	return r.config.Rules.RemoveHold(ctx, subject, id)
}

// Holds returns all legal holds: those of the log, of chats and of users, each by id.
func (r *Retention) Holds(ctx context.Context) (holds []domain.Hold, err error) {
	err = r.eachPartition(ctx, func(_ int, rules ports.PartitionRules) error {
		holds = append(holds, rules.Holds...)
		return nil
	})
	slices.SortFunc(holds, func(a, b domain.Hold) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Chat, b.Chat), cmp.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(holds, func(a, b domain.Hold) bool { return a.HoldSubject == b.HoldSubject && a.ID == b.ID }), err
}

func (r *Retention) eachPartition(ctx context.Context, fn func(partition int, rules ports.PartitionRules) error) error {
	for p := range r.config.Partitions {
		rules, err := r.config.Rules.Rules(ctx, p)
		if err == nil {
			err = fn(p, rules)
		}
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

// PolicyStatus is a policy with its effect.
type PolicyStatus struct {
	Chat    domain.ChatID // "" for the log
	Policy  domain.RetentionPolicy
	Applied domain.Retention // now; it differs from the policy during the grace
	Due     int              // messages that are due now, those under a legal hold included; of the log those of chats without a policy
}

// Status returns the policies of the log and of chats, that of the log first. count also counts what is due: that reads the messages that are due, and costs a
// round trip for each chat with a policy.
func (r *Retention) Status(ctx context.Context, count bool) (all []PolicyStatus, err error) {
	now := r.now()
	var ofLog PolicyStatus
	err = r.eachPartition(ctx, func(p int, rules ports.PartitionRules) error {
		ofLog.Policy, ofLog.Applied = rules.Log, rules.Log.Applied(domain.Retention{}, now)
		due := make(map[domain.ChatID]int)
		if count {
			pass := &expiryPass{Retention: r, partition: p, count: func(chat domain.ChatID) { due[chat]++ }}
			if err := pass.run(ctx); err != nil {
				return err
			}
		}
		for chat, n := range due {
			if _, own := rules.Chats[chat]; !own {
				ofLog.Due += n
			}
		}
		for _, chat := range slices.Sorted(maps.Keys(rules.Chats)) {
			own := rules.Chats[chat]
			all = append(all, PolicyStatus{Chat: chat, Policy: own, Applied: own.Applied(ofLog.Applied, now), Due: due[chat]})
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b PolicyStatus) int { return cmp.Compare(a.Chat, b.Chat) })
	return append([]PolicyStatus{ofLog}, all...), err
}
