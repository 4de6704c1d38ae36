package groups

import (
	"slices"
	"time"
)

// Replace returns the definition that a store has after a change of d to next at a time: what never changes stays. It returns [ErrDefinitionChanged] if next
// is of another version than d.
func (d Definition) Replace(next Definition, at time.Time) (Definition, error) {
	if next.Version != d.Version {
		return Definition{}, ErrDefinitionChanged
	}
	next.Kind, next.Start, next.Unordered, next.CreatedAt = d.Kind, d.Start, d.Unordered, d.CreatedAt
	next.Version, next.UpdatedAt = d.Version+1, at
	if err := next.Validate(); err != nil {
		return Definition{}, err
	}
	return next.Clone(), nil
}

// Clone returns a copy that shares no memory with the definition. Its times are in UTC, and lists without elements are nil.
func (d Definition) Clone() Definition {
	d.Filter = Filter{Types: copied(d.Filter.Types), Chats: copied(d.Filter.Chats)}
	d.Start.At, d.CreatedAt, d.UpdatedAt = d.Start.At.UTC(), d.CreatedAt.UTC(), d.UpdatedAt.UTC()
	if d.Webhook == nil {
		return d
	}
	webhook := *d.Webhook
	webhook.Secrets = copied(webhook.Secrets)
	for i, s := range webhook.Secrets {
		webhook.Secrets[i].Sealed, webhook.Secrets[i].ExpiresAt = copied(s.Sealed), s.ExpiresAt.UTC()
	}
	d.Webhook = &webhook
	return d
}

func copied[E any](list []E) []E {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}
