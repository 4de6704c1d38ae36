package chatcore

import (
	"context"
	"errors"
	"slices"
	"time"

	"chatcore/adapters/telemetry"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// RetentionConfig says which messages of the log are kept. It is the policy of all chats that have none of their own ([app.Retention.SetPolicy]). All processes on a log
// must have the same: the one that starts last decides. A policy that is stricter than the one before applies 24 h after the first process has started with it.
// docs/retention.md says what is erased, and when.
type RetentionConfig struct {
	// MaxAge is the age from which on messages are erased, at least 1 min. Defaults to 0: no age.
	MaxAge time.Duration
	// MaxMessages is how many of the newest messages of a chat are kept. Defaults to 0: all of them.
	MaxMessages int
	// Rate is the highest number of messages that this process erases in a second. Defaults to 200.
	Rate int
	// Files is called with the attachments of a message after it was erased by this process, at most once: a process that ends in between does not call it. The
	// files lie elsewhere. Defaults to nil: nothing is called.
	Files func(ctx context.Context, chat domain.ChatID, message domain.MessageID, files []domain.Attachment)
}

func (r RetentionConfig) withDefaults() RetentionConfig {
	setDefault(&r.Rate, 200)
	return r
}

func (r RetentionConfig) policy() domain.Retention {
	return domain.Retention{MaxAge: r.MaxAge, MaxMessages: r.MaxMessages}
}

func (r RetentionConfig) check(faults *validation) {
	if age := r.MaxAge; age > 0 && (domain.Retention{MaxAge: age}).Check() != nil {
		faults.refuse("Retention.MaxAge", age, "0, or whole milliseconds from "+domain.MinRetentionAge.String()+" on")
	}
}

// retainedLog is an event log with retention.
type retainedLog interface {
	ports.RetentionRules
	app.RetentionLog
}

// openRetention adds the retention of the log. It returns a [*domain.InvalidError] if one is configured for a custom log.
func (c *Core) openRetention() error {
	log, config := c.backend.retained, c.config.Retention
	if log == nil {
		if config.policy() != (domain.Retention{}) {
			return &domain.InvalidError{Field: "Retention", Problem: "is set", Allowed: "no policy for a custom event log"}
		}
		return nil
	}
	partitions := slices.DeleteFunc(slices.Clone(c.backend.groups.Partitions()), func(p groups.Partition) bool { return !p.Logged() })
	c.Retention = app.NewRetention(app.RetentionConfig{
		Rules: log, Log: log, Backlog: c.backend.backlog, Partitions: len(partitions), Erase: c.Chats.Erase, Clock: c.clock, Logger: c.config.Logger,
		Policy: config.policy(), Rate: config.Rate, Files: config.Files,
	})
	return nil
}

// runRetention runs retention beside the built-in group, in the partitions that this process owns of that, until ctx ends.
func (c *Core) runRetention(ctx context.Context) {
	if c.Retention == nil || !slices.ContainsFunc(c.groups, func(s *registration) bool { return s.group == BuiltinGroup }) {
		return
	}
	select {
	case <-c.running:
		c.Retention.Run(ctx, func() []int { return c.ownedPartitions(BuiltinGroup) })
	case <-ctx.Done():
	}
}

// retentionErr returns why the last pass of retention failed, or nil.
func (c *Core) retentionErr() error {
	if c.Retention == nil {
		return nil
	}
	if failure, _ := c.Retention.Stats().Failure.Load().(string); failure != "" {
		return errors.New(failure)
	}
	return nil
}

// The names of the metrics of retention.
const (
	metricRetentionPasses   = "chatcore.retention.passes"
	metricRetentionErased   = "chatcore.retention.erased"
	metricRetentionHeld     = "chatcore.retention.held"
	metricRetentionFailures = "chatcore.retention.failures"
)

func retentionInstruments() []telemetry.Instrument {
	return []telemetry.Instrument{
		{Name: metricRetentionPasses, Unit: "{pass}", Description: "Passes of retention over a partition that this process has ended."},
		{Name: metricRetentionErased, Unit: "{message}", Description: "Messages that retention has erased in this process."},
		{Name: metricRetentionHeld, Unit: "{message}", Description: "Messages that were due in a pass and under a legal hold."},
		{Name: metricRetentionFailures, Unit: "{pass}", Description: "Passes that ended with an error. They are made again."},
	}
}

// retentionPoints measures retention.
func (c *Core) retentionPoints() []telemetry.Point {
	if c.Retention == nil {
		return nil
	}
	s := c.Retention.Stats()
	return []telemetry.Point{
		{Name: metricRetentionPasses, Value: float64(s.Passes.Load())},
		{Name: metricRetentionErased, Value: float64(s.Erased.Load())},
		{Name: metricRetentionHeld, Value: float64(s.Held.Load())},
		{Name: metricRetentionFailures, Value: float64(s.Failed.Load())},
	}
}
