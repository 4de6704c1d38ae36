package failures

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/helpers"
)

// The outcomes of a call other than errors.
const (
	answers = "answers"
	loads   = "loads"  // the loader's value
	misses  = "misses" // as if there were no value
)

// subject is a core under test.
type subject struct {
	core  *chatcore.Core
	ids   atomic.Uint64 // for ids that are new each time
	typed atomic.Uint64 // numbers users: the process suppresses a user's next start of typing
	token app.SessionToken
	cache *chatcore.Cache[int] // has a value for "kept"

	handled, heard receipts
}

func (s *subject) next() string { return fmt.Sprint("n", s.ids.Add(1)) }

func newSubject(ctx context.Context, core *chatcore.Core) (*subject, error) {
	s := &subject{core: core}
	_, err := core.Chats.Create(ctx, domain.Create{Chat: "room", Actor: "ada", Members: []domain.UserID{"typist0", "typist1", "typist2", "typist3"}})
	if err == nil {
		_, err = core.Chats.Send(ctx, domain.Send{Chat: "room", Actor: "ada", MessageID: "m", Content: "x"})
	}
	opened, openErr := core.Sessions.Open(ctx, domain.OpenSession{User: "eve"}) // not ada, whose sessions Helpers.DelPattern ends
	s.token = opened.Token
	var cacheErr error
	s.cache, cacheErr = chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "failures:", LoadTimeout: 5 * timeout}, func(context.Context, string) (int, error) {
		return 5, nil
	})
	return s, errors.Join(err, openErr, cacheErr, core.SubscribeBuiltins(), s.listen())
}

// calls are the rows of the table.
var calls = map[string]func(context.Context, *subject) (string, error){
	"Chats.Send": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Chats.Send(ctx, domain.Send{Chat: "room", Actor: "ada", Content: "x"})
		return answers, err
	},
	"Chats.Send, handled":    sendAndHandle,
	"Chats.Send, heard live": sendAndHear,
	"Presence.Heartbeat": func(ctx context.Context, s *subject) (string, error) {
		return answers, s.core.Presence.Heartbeat(ctx, "ada", "phone", "")
	},
	"Presence.SetStatus": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Presence.SetStatus(ctx, "ada", domain.Busy)
		return answers, err
	},
	"Presence.Statuses": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Presence.Statuses(ctx, "ada", "ben")
		return answers, err
	},
	"Presence.Online": func(ctx context.Context, s *subject) (string, error) {
		for _, err := range s.core.Presence.Online(ctx) {
			return answers, err
		}
		return answers, nil
	},
	"Chats.StartTyping": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Chats.StartTyping(ctx, domain.Typing{Chat: "room", Actor: domain.UserID(fmt.Sprint("typist", s.typed.Load()))})
		if err == nil {
			s.typed.Add(1)
		}
		return answers, err
	},
	"Queries.Typing": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Queries.Typing(ctx, "room")
		return answers, err
	},
	"Limits.Allow": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Limits.Allow(ctx, "upload", s.next())
		return answers, err
	},
	"Limits.Allow (login)": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Limits.Allow(ctx, app.LimitLogin, s.next())
		return answers, err
	},
	"Queries.History": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Queries.History(ctx, "room", domain.Span{Limit: 1})
		return answers, err
	},
	"Queries.UnreadOf": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Queries.UnreadOf(ctx, "ada")
		return answers, err
	},
	"Queries.Message": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Queries.Message(ctx, "room", "m")
		return answers, err
	},
	"Queries.ChatList": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Queries.ChatList(ctx, "ada")
		return answers, err
	},
	"Queries.Contacts": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Queries.Contacts(ctx, "ada")
		return answers, err
	},
	"Cache.Get": func(ctx context.Context, s *subject) (string, error) {
		failed := s.core.Stats().Caches["failures:"].StoreErrors
		_, err := s.cache.Get(ctx, "kept")
		if s.core.Stats().Caches["failures:"].StoreErrors > failed {
			return loads, err
		}
		return answers, err
	},
	"Cache.Invalidate": func(ctx context.Context, s *subject) (string, error) {
		return answers, s.cache.Invalidate(ctx, "other")
	},
	"Core.Health": func(ctx context.Context, s *subject) (string, error) {
		return answers, s.core.Health(ctx).NotReady
	},
	"Helpers.Lenient().Get": func(ctx context.Context, s *subject) (string, error) {
		swallowed, value := s.core.Stats().HelperFailures, 0
		s.core.Helpers.Lenient().Get(ctx, "value", &value)
		if s.core.Stats().HelperFailures > swallowed {
			return misses, nil
		}
		return answers, nil
	},
	"Once": func(ctx context.Context, s *subject) (string, error) {
		id := chatcore.DeliveryID{Log: s.core.LogID(), Chat: "room", Seq: 1, Event: domain.EventID(s.next())}
		_, err := s.core.Once(ctx, "badge", id, chatcore.Effect{Commands: []chatcore.Command{{"INCR", "badge"}}})
		return answers, err
	},
	"Sessions.Open": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Sessions.Open(ctx, domain.OpenSession{User: "ben"})
		return answers, err
	},
	"Sessions.Get": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Sessions.Get(ctx, s.token)
		return answers, err
	},
	"Sessions.CloseAll": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Sessions.CloseAll(ctx, "ben")
		return answers, err
	},
	"Helpers.Get": func(ctx context.Context, s *subject) (string, error) {
		_, _, err := helpers.Get[int](ctx, s.core.Helpers, "value")
		return answers, err
	},
	"Helpers.GetOrSet": func(ctx context.Context, s *subject) (string, error) {
		swallowed := s.core.Stats().HelperFailures
		_, err := helpers.GetOrSet(ctx, s.core.Helpers, "value", time.Minute, func(context.Context) (int, error) { return 5, nil })
		if s.core.Stats().HelperFailures > swallowed {
			return loads, err
		}
		return answers, err
	},
	"Helpers.IncrWithExpiry": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Helpers.IncrWithExpiry(ctx, "counter", time.Minute)
		return answers, err
	},
	"Helpers.DelPattern": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Helpers.DelPattern(ctx, "session:ada:*")
		return answers, err
	},
	"Helpers.Publish": func(ctx context.Context, s *subject) (string, error) {
		return answers, s.core.Helpers.Publish(ctx, "news", 1)
	},
	"Groups.List": func(ctx context.Context, s *subject) (string, error) {
		_, err := s.core.Groups().List(ctx)
		return answers, err
	},
}
