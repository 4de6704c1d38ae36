package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.RetentionRules = (*Log)(nil)

// rules are the policies and holds of a log. The mutex of the log guards them. Every partition has all of them.
type rules struct {
	policies map[domain.ChatID]domain.RetentionPolicy // by chat, "" for that of the log
	holds    map[domain.HoldSubject][]domain.Hold
	expiries map[expiryKey]ports.Expiry
}

type expiryKey struct {
	place ports.ExpiryPlace
	chat  domain.ChatID
}

func newRules() rules {
	return rules{make(map[domain.ChatID]domain.RetentionPolicy), make(map[domain.HoldSubject][]domain.Hold), make(map[expiryKey]ports.Expiry)}
}

// held returns a [*domain.LegalHoldError] if a hold protects a message of a sender.
func (r rules) held(chat domain.ChatID, sender domain.UserID) error {
	for _, subject := range domain.SubjectsOf(chat, sender) {
		if len(r.holds[subject]) > 0 {
			return &domain.LegalHoldError{HoldSubject: subject}
		}
	}
	return nil
}

// withRules calls fn with the rules, while nothing is appended.
func (l *Log) withRules(ctx context.Context, fn func(r rules) error) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fn(l.rules)
}

// AddHold implements [ports.RetentionRules].
func (l *Log) AddHold(ctx context.Context, h domain.Hold) error {
	if err := h.Check(); err != nil {
		return err
	}
	h.At = h.At.Truncate(time.Millisecond).UTC()
	return l.withRules(ctx, func(r rules) error {
		holds, err := ports.WithHold(r.holds[h.HoldSubject], h)
		if err == nil {
			r.holds[h.HoldSubject] = holds
		}
		return err
	})
}

// RemoveHold implements [ports.RetentionRules].
func (l *Log) RemoveHold(ctx context.Context, subject domain.HoldSubject, id domain.HoldID) error {
	if err := subject.Check(); err != nil {
		return err
	}
	return l.withRules(ctx, func(r rules) error {
		holds := r.holds[subject]
		kept := slices.DeleteFunc(slices.Clone(holds), func(h domain.Hold) bool { return h.ID == id })
		if len(kept) == len(holds) {
			return fmt.Errorf("%w: %s has no hold %q", domain.ErrHoldNotFound, subject, id)
		}
		r.holds[subject] = kept
		return nil
	})
}

// Held implements [ports.RetentionRules].
func (l *Log) Held(ctx context.Context, _ domain.ChatID, subjects ...domain.HoldSubject) (held []bool, err error) {
	err = l.withRules(ctx, func(r rules) error {
		for _, s := range subjects {
			held = append(held, len(r.holds[s]) > 0)
		}
		return nil
	})
	return held, err
}

// Rules implements [ports.RetentionRules].
func (l *Log) Rules(ctx context.Context, _ int) (found ports.PartitionRules, err error) {
	err = l.withRules(ctx, func(r rules) error {
		found.Log, found.Chats = r.policies[""], maps.Clone(r.policies)
		delete(found.Chats, "")
		for _, holds := range r.holds {
			found.Holds = append(found.Holds, holds...)
		}
		return nil
	})
	return found, err
}

// Policies implements [ports.RetentionRules].
func (l *Log) Policies(ctx context.Context, chat domain.ChatID) (log, own domain.RetentionPolicy, err error) {
	err = l.withRules(ctx, func(r rules) error {
		log, own = r.policies[""], r.policies[chat]
		return nil
	})
	return log, own, err
}

// SetPolicy implements [ports.RetentionRules].
func (l *Log) SetPolicy(ctx context.Context, chat domain.ChatID, change func(log, present domain.RetentionPolicy) (domain.RetentionPolicy, error)) error {
	if err := (domain.HoldSubject{Chat: chat}).Check(); err != nil {
		return err
	}
	return l.withRules(ctx, func(r rules) error {
		next, err := change(r.policies[""], r.policies[chat])
		if err != nil {
			return err
		}
		if r.policies[chat] = next; next == (domain.RetentionPolicy{}) {
			delete(r.policies, chat)
		}
		return nil
	})
}

// Expiries implements [ports.RetentionRules].
func (l *Log) Expiries(ctx context.Context, _ int, place ports.ExpiryPlace, chats []domain.ChatID) (all []ports.Expiry, err error) {
	err = l.withRules(ctx, func(r rules) error {
		for _, chat := range chats {
			all = append(all, r.expiries[expiryKey{place, chat}])
		}
		return nil
	})
	return all, err
}

// SaveExpiry implements [ports.RetentionRules].
func (l *Log) SaveExpiry(ctx context.Context, _ int, place ports.ExpiryPlace, chat domain.ChatID, e ports.Expiry) error {
	return l.withRules(ctx, func(r rules) error {
		r.expiries[expiryKey{place, chat}] = e
		return nil
	})
}
