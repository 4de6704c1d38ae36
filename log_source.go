package chatcore

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"chatcore/adapters/logdir"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// logSource is a log that is read to be copied or compared: in a vault, in Redis, or in a directory.
type logSource interface {
	partitions() int
	partition(ctx context.Context, number int) (sourcePartition, error)
}

// ruledSource is a source that has the retention policies and the legal holds of a log.
type ruledSource interface {
	// rules returns those of a partition, as they are stored.
	rules(ctx context.Context, number int) (policies, holds map[string]string, err error)
}

// sourcePartition is a partition of a source. Several goroutines may read its chats.
type sourcePartition interface {
	chats(ctx context.Context) iter.Seq2[domain.ChatID, error]
	parts(ctx context.Context, chat domain.ChatID) iter.Seq2[ports.ChatPart, error]
	checkpoints() []groupCheckpoint
}

// groupCheckpoint is the checkpoint of a consumer group in a chat.
type groupCheckpoint struct {
	group string
	chat  domain.ChatID
	seq   domain.Seq
}

// vaultSource is a log in a vault.
type vaultSource struct{ *logcopy.Copy }

func (s vaultSource) partitions() int { return s.Manifest().Partitions }

func (s vaultSource) partition(ctx context.Context, number int) (sourcePartition, error) {
	p, err := s.Partition(ctx, number)
	return vaultPartition{p}, err
}

func (s vaultSource) rules(ctx context.Context, number int) (policies, holds map[string]string, err error) {
	found, err := s.Rules(ctx, number)
	if err != nil || found == nil {
		return nil, nil, err
	}
	return found.Policies, found.Holds, nil
}

type vaultPartition struct{ *logcopy.Partition }

func (p vaultPartition) chats(context.Context) iter.Seq2[domain.ChatID, error] {
	return func(yield func(domain.ChatID, error) bool) {
		for _, chat := range p.Chats() {
			if !yield(chat, nil) {
				return
			}
		}
	}
}

func (p vaultPartition) parts(ctx context.Context, chat domain.ChatID) iter.Seq2[ports.ChatPart, error] {
	return func(yield func(ports.ChatPart, error) bool) {
		for part, err := range p.Chat(ctx, chat) {
			if !yield(storedPart(part), err) {
				return
			}
		}
	}
}

// storedPart returns a part of a chat in the form of Redis.
func storedPart(p logcopy.Part) ports.ChatPart {
	part := ports.ChatPart{First: p.First, Events: make([][]byte, len(p.Events)), Commands: make([]ports.CopiedCommand, len(p.Commands))}
	for i, e := range p.Events {
		part.Events[i] = e.JSON
	}
	for i, c := range p.Commands {
		part.Commands[i] = ports.CopiedCommand(c)
	}
	return part
}

func (p vaultPartition) checkpoints() (all []groupCheckpoint) {
	for _, g := range p.Groups() {
		for _, c := range g.Checkpoints {
			all = append(all, groupCheckpoint{g.Group, c.Chat, c.Seq})
		}
		if len(g.Checkpoints) == 0 {
			all = append(all, groupCheckpoint{group: g.Group})
		}
	}
	return all
}

// redisSource is a log in Redis. Its groups stay there.
type redisSource struct{ *eventlog.Stored }

func (s redisSource) partitions() int { return s.Partitions() }

func (s redisSource) partition(_ context.Context, number int) (sourcePartition, error) {
	return redisPartition{s.Stored, number}, nil
}

type redisPartition struct {
	*eventlog.Stored
	number int
}

func (p redisPartition) chats(ctx context.Context) iter.Seq2[domain.ChatID, error] {
	return p.Chats(ctx, p.number)
}

func (p redisPartition) parts(ctx context.Context, chat domain.ChatID) iter.Seq2[ports.ChatPart, error] {
	return func(yield func(ports.ChatPart, error) bool) {
		head, err := p.Head(ctx, chat)
		if err != nil {
			yield(ports.ChatPart{}, err)
			return
		}
		for part, err := range p.Chat(ctx, chat, head) {
			if !yield(part, err) {
				return
			}
		}
	}
}

func (redisPartition) checkpoints() []groupCheckpoint { return nil }

// dirSource is a log in a directory.
type dirSource struct{ *logdir.Dir }

func (dirSource) partitions() int { return 1 }

func (s dirSource) partition(context.Context, int) (sourcePartition, error) { return s, nil }

func (dirSource) checkpoints() []groupCheckpoint { return nil }

func (s dirSource) chats(context.Context) iter.Seq2[domain.ChatID, error] {
	return func(yield func(domain.ChatID, error) bool) {
		codec := wireformat.New()
		for _, name := range s.Names() {
			var chat domain.ChatID
			err := fmt.Errorf("%w: %s has no events", logdir.ErrDamaged, name)
			for part, failed := range s.Chat(name) {
				var r ports.Record
				if err = failed; err == nil {
					r, err = codec.Decode(part.Events[0])
				}
				if err == nil {
					chat = r.Event.ChatID()
				}
				break
			}
			if err == nil && logdir.File(chat) != name {
				err = fmt.Errorf("%w: %s has chat %q", logdir.ErrDamaged, name, chat)
			}
			if !yield(chat, err) || err != nil {
				return
			}
		}
	}
}

func (s dirSource) parts(_ context.Context, chat domain.ChatID) iter.Seq2[ports.ChatPart, error] {
	return s.Chat(logdir.File(chat))
}

// copyWorkers returns how many chats are copied or compared at the same time.
func copyWorkers() int { return runtime.GOMAXPROCS(0) + 1 }

// inParallel calls do for each item, on some goroutines, each with a worker of its own. It returns the first error.
func inParallel[T, W any](ctx context.Context, items iter.Seq2[T, error], worker func() W, do func(ctx context.Context, w W, item T) error) ([]W, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work, workers := make(chan T), make([]W, copyWorkers())
	var running sync.WaitGroup
	for i := range workers {
		workers[i] = worker()
		running.Go(func() {
			for item := range work {
				if err := do(ctx, workers[i], item); err != nil {
					cancel(err)
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	for item, err := range items {
		if err != nil {
			cancel(err)
			break
		}
		select {
		case work <- item:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	running.Wait()
	return workers, context.Cause(ctx)
}
