package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.RetentionRules = (*Log)(nil)

// The fields of rules: logRule is that of the log, and a letter goes before the id of a chat or user.
const (
	logRule  = ""
	chatRule = "c"
	userRule = "u"
)

// ruleField returns the field of the holds of a subject.
func ruleField(s domain.HoldSubject) string {
	switch {
	case s.Chat != "":
		return chatRule + string(s.Chat)
	case s.User != "":
		return userRule + string(s.User)
	}
	return logRule
}

// subjectOf returns the subject of a field. It returns false for a field of a later version.
func subjectOf(field string) (domain.HoldSubject, bool) {
	switch {
	case field == logRule:
		return domain.HoldSubject{}, true
	case strings.HasPrefix(field, chatRule):
		return domain.HoldSubject{Chat: domain.ChatID(field[1:])}, true
	case strings.HasPrefix(field, userRule):
		return domain.HoldSubject{User: domain.UserID(field[1:])}, true
	}
	return domain.HoldSubject{}, false
}

// partitionsOf returns the partitions that have the rules of a subject.
func (l *Log) partitionsOf(s domain.HoldSubject) []int {
	if s.Chat != "" {
		return []int{l.keys.Partition(s.Chat)}
	}
	return allPartitions(l.keys.PartitionCount())
}

// rule is a rule of some partitions, which is changed in one after the other.
type rule struct {
	key        func(partition int) string
	partitions []int
	field      string
}

// changeRule changes a rule: change gets its present text and that of the log's rule, "" if there is none, and returns the next one. An error after the first
// change also is [ports.ErrOutcomeUnknown].
func (l *Log) changeRule(ctx context.Context, r rule, change func(log, present string) (string, error)) error {
	for n, p := range r.partitions {
		if err := l.changeRuleOf(ctx, p, r, change); err != nil {
			if n > 0 {
				return fmt.Errorf("%w: the rule has changed in %d of %d partitions: %w", ports.ErrOutcomeUnknown, n, len(r.partitions), err)
			}
			return err
		}
	}
	return nil
}

func (l *Log) changeRuleOf(ctx context.Context, partition int, r rule, change func(log, present string) (string, error)) error {
	key := r.key(partition)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		log, present, err := l.rulesAt(ctx, key, r.field)
		if err != nil {
			return err
		}
		next, err := change(log, present)
		if err != nil {
			return err
		}
		reply, err := l.guarded(ctx, partition, func(held *field) ([]any, error) {
			changed, err := l.run(ctx, l.scripts.ruleChange, partition, []string{key}, held, r.field, present, next).Int64()
			return []any{changed}, err
		})
		if err != nil || reply[0] == int64(1) {
			return err
		}
	}
}

// rulesAt returns the texts of the log's rule and of another one, "" where there is none.
func (l *Log) rulesAt(ctx context.Context, key, name string) (log, present string, err error) {
	values, err := l.client.HMGet(ctx, key, logRule, name).Result()
	if err != nil {
		return "", "", rediscmd.ReadError(ctx, "", err)
	}
	log, _ = values[0].(string)
	present, _ = values[1].(string)
	return log, present, nil
}

// holdsOf returns the rule that has the holds of a subject.
func (l *Log) holdsOf(s domain.HoldSubject) rule {
	return rule{l.keys.Holds, l.partitionsOf(s), ruleField(s)}
}

// AddHold implements [ports.RetentionRules] in two round trips for a chat, and two for each partition otherwise.
func (l *Log) AddHold(ctx context.Context, h domain.Hold) error {
	if err := h.Check(); err != nil {
		return err
	}
	h.At = h.At.Truncate(time.Millisecond)
	return l.changeRule(ctx, l.holdsOf(h.HoldSubject), func(_, text string) (string, error) {
		holds, err := decodeHolds(h.HoldSubject, text)
		if err != nil {
			return "", err
		}
		holds, err = ports.WithHold(holds, h)
		return wireformat.EncodeHolds(holds), err
	})
}

// RemoveHold implements [ports.RetentionRules] in two round trips for a chat, and two for each partition otherwise.
func (l *Log) RemoveHold(ctx context.Context, subject domain.HoldSubject, id domain.HoldID) error {
	if err := subject.Check(); err != nil {
		return err
	}
	found := false
	err := l.changeRule(ctx, l.holdsOf(subject), func(_, text string) (string, error) {
		holds, err := decodeHolds(subject, text)
		if err != nil {
			return "", err
		}
		kept := slices.DeleteFunc(slices.Clone(holds), func(h domain.Hold) bool { return h.ID == id })
		if len(kept) == len(holds) {
			return text, nil
		}
		if found = true; len(kept) == 0 {
			return "", nil
		}
		return wireformat.EncodeHolds(kept), nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: %s has no hold %q", domain.ErrHoldNotFound, subject, id)
	}
	return err
}

// decodeHolds returns the holds of a text, none for "".
func decodeHolds(subject domain.HoldSubject, text string) ([]domain.Hold, error) {
	if text == "" {
		return nil, nil
	}
	holds, err := wireformat.DecodeHolds(subject, text)
	if err != nil {
		return nil, &ports.CorruptError{Chat: subject.Chat, Cause: fmt.Errorf("the holds of %s: %w", subject, err)}
	}
	return holds, nil
}

// Held implements [ports.RetentionRules] in one round trip.
func (l *Log) Held(ctx context.Context, chat domain.ChatID, subjects ...domain.HoldSubject) ([]bool, error) {
	if len(subjects) == 0 {
		return nil, ctx.Err()
	}
	fields, held := make([]string, len(subjects)), make([]bool, len(subjects))
	for i, s := range subjects {
		fields[i] = ruleField(s)
	}
	values, err := l.client.HMGet(ctx, l.keys.Holds(l.keys.Partition(chat)), fields...).Result()
	if err != nil {
		return nil, rediscmd.ReadError(ctx, "", err)
	}
	for i, v := range values {
		held[i] = v != nil
	}
	return held, nil
}

// RawRules returns the policies and the holds of a partition as they are stored, by field. It takes two round trips.
func (l *Log) RawRules(ctx context.Context, partition int) (policies, holds map[string]string, err error) {
	if policies, err = l.client.HGetAll(ctx, l.keys.Policies(partition)).Result(); err == nil {
		holds, err = l.client.HGetAll(ctx, l.keys.Holds(partition)).Result()
	}
	return policies, holds, rediscmd.ReadError(ctx, "", err)
}

// Rules implements [ports.RetentionRules] in two round trips.
func (l *Log) Rules(ctx context.Context, partition int) (rules ports.PartitionRules, err error) {
	policies, holds, err := l.RawRules(ctx, partition)
	if err != nil {
		return rules, err
	}
	rules.Chats = make(map[domain.ChatID]domain.RetentionPolicy)
	for field, text := range policies {
		policy, err := decodePolicy(text)
		if err != nil {
			return rules, err
		}
		if field == logRule {
			rules.Log = policy
		} else if chat, ok := strings.CutPrefix(field, chatRule); ok {
			rules.Chats[domain.ChatID(chat)] = policy
		}
	}
	for field, text := range holds {
		if subject, known := subjectOf(field); known {
			of, err := decodeHolds(subject, text)
			if err != nil {
				return rules, err
			}
			rules.Holds = append(rules.Holds, of...)
		}
	}
	return rules, nil
}

// decodePolicy returns the policy of a text, the zero policy for "".
func decodePolicy(text string) (p domain.RetentionPolicy, err error) {
	if text == "" {
		return p, nil
	}
	if p, err = wireformat.DecodePolicy(text); err != nil {
		return p, &ports.CorruptError{Cause: fmt.Errorf("a retention policy: %w", err)}
	}
	return p, nil
}

// Policies implements [ports.RetentionRules] in one round trip.
func (l *Log) Policies(ctx context.Context, chat domain.ChatID) (log, own domain.RetentionPolicy, err error) {
	logText, text, err := l.rulesAt(ctx, l.keys.Policies(l.keys.Partition(chat)), ruleField(domain.HoldSubject{Chat: chat}))
	if err != nil {
		return log, own, err
	}
	return decodePolicies(logText, text)
}

func decodePolicies(logText, text string) (log, own domain.RetentionPolicy, err error) {
	if log, err = decodePolicy(logText); err == nil {
		own, err = decodePolicy(text)
	}
	return log, own, err
}

// SetPolicy implements [ports.RetentionRules] in two round trips for a chat, and two for each partition otherwise.
func (l *Log) SetPolicy(ctx context.Context, chat domain.ChatID, change func(log, present domain.RetentionPolicy) (domain.RetentionPolicy, error)) error {
	subject := domain.HoldSubject{Chat: chat}
	if err := subject.Check(); err != nil {
		return err
	}
	policy := rule{l.keys.Policies, l.partitionsOf(subject), ruleField(subject)}
	return l.changeRule(ctx, policy, func(logText, text string) (string, error) {
		log, present, err := decodePolicies(logText, text)
		if err != nil {
			return "", err
		}
		next, err := change(log, present)
		if err != nil || next == (domain.RetentionPolicy{}) {
			return "", err
		}
		return wireformat.EncodePolicy(next), nil
	})
}

// Expiries implements [ports.RetentionRules] in one round trip.
func (l *Log) Expiries(ctx context.Context, partition int, place ports.ExpiryPlace, chats []domain.ChatID) ([]ports.Expiry, error) {
	if len(chats) == 0 {
		return nil, ctx.Err()
	}
	fields, all := make([]string, len(chats)), make([]ports.Expiry, len(chats))
	for i, chat := range chats {
		fields[i] = expiryField(place, chat)
	}
	values, err := l.client.HMGet(ctx, l.keys.Expired(partition), fields...).Result()
	if err != nil {
		return nil, rediscmd.ReadError(ctx, "", err)
	}
	for i, v := range values {
		text, _ := v.(string)
		all[i] = parseExpiry(text)
	}
	return all, nil
}

// SaveExpiry implements [ports.RetentionRules] in one round trip.
func (l *Log) SaveExpiry(ctx context.Context, partition int, place ports.ExpiryPlace, chat domain.ChatID, e ports.Expiry) error {
	text := fmt.Sprintf("%d:%d:%d:%d", e.Next, e.At, e.Ordinal, e.Until)
	return rediscmd.Unavailable(ctx, l.client.HSet(ctx, l.keys.Expired(partition), expiryField(place, chat), text).Err())
}

func expiryField(place ports.ExpiryPlace, chat domain.ChatID) string {
	switch place {
	case ports.ExpiryOfVault:
		return "v" + string(chat)
	case ports.ExpiryOfThreads:
		return "t" + string(chat)
	case ports.ExpiryOfLog:
	}
	return "r" + string(chat)
}

// parseExpiry parses NEXT:AT:ORDINAL:UNTIL. A text that is none is the zero value: retention begins again.
func parseExpiry(text string) (e ports.Expiry) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 { //nolint:mnd // see above
		return e
	}
	next, err1 := strconv.ParseUint(parts[0], 10, 64)
	at, err2 := strconv.ParseInt(parts[1], 10, 64)
	ordinal, err3 := strconv.ParseUint(parts[2], 10, 64)
	until, err4 := strconv.ParseUint(parts[3], 10, 64)
	if errors.Join(err1, err2, err3, err4) != nil {
		return e
	}
	return ports.Expiry{Next: domain.Seq(next), At: at, Ordinal: domain.Ordinal(ordinal), Until: domain.Seq(until)}
}
