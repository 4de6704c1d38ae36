package eventlog

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// Rules writes retention policies and legal holds, as [Log.RawRules] returns those of a partition. Holds are added to those that were written before, so that a hold of
// the log or of a user that only some partitions had is in all of them. It returns [ports.ErrConflict] if another restore has replaced this one.
func (r *Restore) Rules(ctx context.Context, policies, holds map[string]string) error {
	for field, text := range policies {
		if err := r.rule(ctx, r.keys.Policies, field, func(string) (string, error) { return text, nil }); err != nil {
			return err
		}
	}
	for field, text := range holds {
		if err := r.rule(ctx, r.keys.Holds, field, func(present string) (string, error) { return mergedHolds(field, present, text) }); err != nil {
			return err
		}
	}
	return nil
}

// mergedHolds returns the holds of two texts. The texts of a field that this program does not know are not merged.
func mergedHolds(field, present, text string) (string, error) {
	subject, known := subjectOf(field)
	if !known || present == "" {
		return text, nil
	}
	all, err1 := decodeHolds(subject, present)
	more, err2 := decodeHolds(subject, text)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	for _, h := range more {
		if with, err := ports.WithHold(all, h); err == nil { // one with another reason is there already
			all = with
		}
	}
	return wireformat.EncodeHolds(all), nil
}

// rule writes a rule into every partition that has it.
func (r *Restore) rule(ctx context.Context, key func(partition int) string, name string, merge func(present string) (string, error)) error {
	partitions := allPartitions(r.keys.PartitionCount())
	if subject, known := subjectOf(name); known && subject.Chat != "" {
		partitions = []int{r.Partition(subject.Chat)}
	}
	script := goredis.NewScript(ruleChangeSource)
	for _, p := range partitions {
		present, err := r.client.HGet(ctx, key(p), name).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return rediscmd.Unavailable(ctx, err)
		}
		text, err := merge(present)
		if err != nil {
			return err
		}
		reply, err := script.Run(ctx, r.client, []string{r.keys.ID(p), key(p)}, r.held, name, present, text).Int64()
		switch {
		case err != nil:
			return rediscmd.Unavailable(ctx, err)
		case reply != 1:
			return r.replaced()
		}
	}
	return nil
}

func allPartitions(n int) []int {
	all := make([]int, n)
	for p := range all {
		all[p] = p
	}
	return all
}
