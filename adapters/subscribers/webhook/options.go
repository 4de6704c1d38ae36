package webhook

import (
	"slices"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// groupConfig returns the configuration with which a webhook joins its group.
func groupConfig(d groups.Definition) group.Config {
	c := group.Config{
		Group: d.Group, Start: d.Start, Concurrency: d.Concurrency,
		Retry: delivery.RetryPolicy{Attempts: d.Retry.Attempts, First: d.Retry.First, Max: d.Retry.Max},
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 64
	}
	if c.Retry.Attempts <= 0 {
		c.Retry.Attempts = 22
	}
	if c.Retry.First <= 0 {
		c.Retry.First = 5 * time.Second
	}
	if c.Retry.Max <= 0 {
		c.Retry.Max = 2 * time.Hour
	}
	if d.Unordered {
		c.Order = delivery.Unordered
	}
	if d.Park {
		c.OnPoison = delivery.Park
	}
	return c
}

// needsRestart reports whether a change of a definition needs another membership.
func needsRestart(before, after groups.Definition) bool {
	return before.Retry != after.Retry || before.Park != after.Park || before.Unordered != after.Unordered || before.Concurrency != after.Concurrency ||
		!slices.Equal(before.Filter.Types, after.Filter.Types) || !slices.Equal(before.Filter.Chats, after.Filter.Chats)
}

// wants returns a function that reports whether a filter selects an event, or nil for one that selects all.
func wants(f groups.Filter) func(domain.ChatID, string) bool {
	if len(f.Types) == 0 && len(f.Chats) == 0 {
		return nil
	}
	return func(chat domain.ChatID, typ string) bool {
		return (len(f.Types) == 0 || slices.Contains(f.Types, typ)) && (len(f.Chats) == 0 || slices.Contains(f.Chats, chat))
	}
}
