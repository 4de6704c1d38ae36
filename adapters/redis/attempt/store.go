// Package attempt is the store of the attempts of webhooks on Redis: two lists with a TTL for each webhook, one of those that failed.
package attempt

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// Store keeps attempts. Record takes one round trip for each list that it changes, the other methods one.
type Store struct {
	client goredis.UniversalClient
	keys   keyspace.Webhooks
}

var _ ports.WebhookAttempts = (*Store)(nil)

// New returns a store with the given keys. It does not close the client.
func New(client goredis.UniversalClient, keys keyspace.Webhooks) *Store { return &Store{client, keys} }

// attempt is the JSON of an attempt.
type attempt struct {
	At      int64  `json:"at"`   // milliseconds
	Took    int64  `json:"took"` // microseconds
	Event   string `json:"event"`
	Chat    string `json:"chat,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Type    string `json:"type"`
	Attempt int    `json:"attempt"`
	Status  int    `json:"status,omitempty"`
	OK      bool   `json:"ok,omitempty"`
	Error   string `json:"error,omitempty"`
	Answer  string `json:"answer,omitempty"`
}

// Record implements [ports.WebhookAttempts].
func (s *Store) Record(ctx context.Context, webhook string, attempts []ports.WebhookAttempt) error {
	if err := check(ctx, webhook); err != nil {
		return err
	}
	var failed, succeeded []any
	for _, a := range attempts {
		text, err := json.Marshal(attempt{
			At: a.StartedAt.UnixMilli(), Took: a.Took.Microseconds(), Event: string(a.Event), Chat: string(a.Chat), Seq: uint64(a.Seq), Type: a.Type, Attempt: a.Attempt,
			Status: a.Status, OK: a.OK, Error: a.Error, Answer: a.Answer,
		})
		if err != nil {
			return err
		}
		if a.OK {
			succeeded = append(succeeded, text)
		} else {
			failed = append(failed, text)
		}
	}
	if err := s.push(ctx, s.keys.Failed(webhook), failed); err != nil {
		return err
	}
	return s.push(ctx, s.keys.Succeeded(webhook), succeeded)
}

// push adds attempts to a list, and cuts it. All of it happens or nothing does.
func (s *Store) push(ctx context.Context, key string, attempts []any) error {
	if len(attempts) == 0 {
		return nil
	}
	_, err := s.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		p.LPush(ctx, key, attempts...)
		p.LTrim(ctx, key, 0, ports.MaxWebhookAttempts-1)
		p.PExpire(ctx, key, ports.WebhookAttemptsTTL)
		return nil
	})
	return rediscmd.Unavailable(ctx, err)
}

// Attempts implements [ports.WebhookAttempts]. It leaves out an element that is no attempt.
func (s *Store) Attempts(ctx context.Context, webhook string, failedOnly bool) ([]ports.WebhookAttempt, error) {
	if err := check(ctx, webhook); err != nil {
		return nil, err
	}
	var failed, succeeded *goredis.StringSliceCmd
	_, err := s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		failed = p.LRange(ctx, s.keys.Failed(webhook), 0, ports.MaxWebhookAttempts-1)
		if !failedOnly {
			succeeded = p.LRange(ctx, s.keys.Succeeded(webhook), 0, ports.MaxWebhookAttempts-1)
		}
		return nil
	})
	if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	if failedOnly {
		return read(failed.Val()), nil
	}
	return ports.LatestWebhookAttempts(read(failed.Val()), read(succeeded.Val())), nil
}

// Remove implements [ports.WebhookAttempts].
func (s *Store) Remove(ctx context.Context, webhook string) error {
	if err := check(ctx, webhook); err != nil {
		return err
	}
	_, err := s.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		p.Del(ctx, s.keys.Failed(webhook))
		p.Del(ctx, s.keys.Succeeded(webhook))
		return nil
	})
	return rediscmd.Unavailable(ctx, err)
}

func check(ctx context.Context, webhook string) error {
	return errors.Join(ports.CheckKey(webhook), ctx.Err())
}

func read(list []string) []ports.WebhookAttempt {
	attempts := make([]ports.WebhookAttempt, 0, len(list))
	for _, text := range list {
		var a attempt
		if json.Unmarshal([]byte(text), &a) != nil {
			continue
		}
		attempts = append(attempts, ports.WebhookAttempt{
			StartedAt: time.UnixMilli(a.At).UTC(), Took: time.Duration(a.Took) * time.Microsecond, Event: domain.EventID(a.Event), Chat: domain.ChatID(a.Chat), Seq: domain.Seq(a.Seq),
			Type: a.Type, Attempt: a.Attempt, Status: a.Status, OK: a.OK, Error: a.Error, Answer: a.Answer,
		})
	}
	return attempts
}
