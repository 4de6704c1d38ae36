package logcopy

import (
	"context"
	"slices"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
)

// forks are the forks of a partition.
type forks []*object.ForkObject

func (l *Copy) forksOf(ctx context.Context, partition int) (f forks, err error) {
	names, err := l.names(ctx, object.Fork(l.manifest.Log, partition, 0).Siblings())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := l.get(ctx, name)
		if err != nil {
			return nil, err
		}
		o, err := l.codec.DecodeFork(name, data)
		if err != nil {
			return nil, err
		}
		f = append(f, o)
	}
	return f, nil
}

// unnoticed reports whether a block was flushed by an archiver that had not noticed that the log went on with another history.
func (f forks) unnoticed(history string, flushed uint64) bool {
	return slices.ContainsFunc(f, func(o *object.ForkObject) bool { return flushed > o.At && slices.Contains(o.Superseded, history) })
}

// keeps returns the last seq of a chat that an event of a history may have.
func (f forks) keeps(chat domain.ChatID, history string) domain.Seq {
	keeps := ^domain.Seq(0)
	for _, o := range f {
		if !slices.Contains(o.Superseded, history) {
			continue
		}
		for _, c := range o.Chats {
			if c.Chat == chat {
				keeps = min(keeps, c.Head)
			}
		}
	}
	return keeps
}

// lost reports whether the log has lost an event of a history.
func (f forks) lost(chat domain.ChatID, seq domain.Seq, history string) bool {
	return seq > f.keeps(chat, history)
}

// newer reports whether a history began after another one.
func (f forks) newer(a, b string) bool {
	return slices.ContainsFunc(f, func(o *object.ForkObject) bool {
		return slices.Contains(o.Superseded, b) && !slices.Contains(o.Superseded, a)
	})
}
