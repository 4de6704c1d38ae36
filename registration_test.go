package chatcore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore"
	"chatcore/domain"
)

// refused is an error of a registration: of a sentinel, and with a text that names what to call instead.
type refused struct {
	err     error
	is      error
	instead []string
}

func (r refused) check(t *testing.T, what string) {
	t.Helper()
	if !errors.Is(r.err, r.is) {
		t.Errorf("%s: %v, want %v", what, r.err, r.is)
		return
	}
	for _, word := range r.instead {
		if !strings.Contains(r.err.Error(), word) {
			t.Errorf("%s: %q does not name %q", what, r.err, word)
		}
	}
}

// idleHandler does nothing.
func idleHandler(context.Context, chatcore.Delivery[domain.MessageNew]) error { return nil }

// TestRegistration_Duplicates registers groups, handlers and caches twice: the error names the thing, and what to call instead.
func TestRegistration_Duplicates(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	load := func(context.Context, string) (int, error) { return 0, nil }
	_, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "profile:", Schema: 1, TTL: time.Minute}, load)
	if err := errors.Join(err, core.Subscribe("push"), core.SubscribeBuiltins()); err != nil {
		t.Fatal(err)
	}
	_, again := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "profile:", Schema: 1, TTL: time.Minute}, load)
	poll := chatcore.Define[struct{}]("poll:created", 1)
	onPoll := poll.On(func(context.Context, chatcore.CustomDelivery[struct{}]) error { return nil })
	on := chatcore.On(idleHandler)
	for what, c := range map[string]struct {
		err  error
		want chatcore.DuplicateError
		text string
	}{
		"a group":          {core.Subscribe("push", on), chatcore.DuplicateError{Kind: chatcore.DuplicateGroup, Name: "push"}, "one call of Subscribe"},
		"a plain group":    {core.SubscribeMessages("push", func(*message.Message) error { return nil }), chatcore.DuplicateError{Kind: chatcore.DuplicateGroup, Name: "push"}, "one call of Subscribe"},
		"the built-ins":    {core.SubscribeBuiltins(), chatcore.DuplicateError{Kind: chatcore.DuplicateGroup, Name: chatcore.BuiltinGroup}, "SubscribeBuiltins once"},
		"a handler":        {core.Subscribe("other", on, on), chatcore.DuplicateError{Kind: chatcore.DuplicateHandler, Name: "message:new", Group: "other"}, "one On"},
		"a custom handler": {core.Subscribe("other", onPoll, onPoll), chatcore.DuplicateError{Kind: chatcore.DuplicateHandler, Name: "poll:created", Group: "other"}, "one On"},
		"a cache":          {again, chatcore.DuplicateError{Kind: chatcore.DuplicateCache, Name: "profile:"}, "first NewCache"},
	} {
		refused{c.err, chatcore.ErrDuplicateName, []string{c.want.Name, c.text}}.check(t, what)
		var duplicate *chatcore.DuplicateError
		if !errors.As(c.err, &duplicate) || duplicate.Kind != c.want.Kind || duplicate.Name != c.want.Name || duplicate.Group != c.want.Group || duplicate.Instead == "" {
			t.Errorf("%s: %+v", what, duplicate)
		}
	}
}

// TestRegistration_WrongOptions gives every kind of wrong option: the error names the field, and the allowed values or the function to call.
func TestRegistration_WrongOptions(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	plain := func(*message.Message) error { return nil }
	poll := chatcore.Define[struct{}]("poll:created", 1)
	byMessage := chatcore.OrderBy(func(domain.Durable) string { return "" })
	_, inMemory := chatcore.NewInMemory(chatcore.Config{}, chatcore.WithEventLog(chatcore.EventLog{}))
	_, custom := chatcore.New(t.Context(), chatcore.Config{}, chatcore.WithEventLog(chatcore.EventLog{}))
	_, nilOption := chatcore.New(t.Context(), chatcore.Config{}, nil)
	_, nilInMemory := chatcore.NewInMemory(chatcore.Config{}, chatcore.WithClock(nil), nil)
	for what, r := range map[string]refused{
		"the built-in group":         {core.Subscribe(chatcore.BuiltinGroup), domain.ErrInvalid, []string{"SubscribeBuiltins"}},
		"a group without a name":     {core.Subscribe(""), domain.ErrInvalid, []string{"1 to 128 bytes"}},
		"a nil option":               {core.Subscribe("g", nil), domain.ErrInvalid, []string{"option 1", "On"}},
		"On without a function":      {core.Subscribe("g", chatcore.On[domain.MessageNew](nil)), domain.ErrInvalid, []string{"On", "nil"}},
		"custom On without one":      {core.Subscribe("g", poll.On(nil)), domain.ErrInvalid, []string{"poll:created", "nil"}},
		"no plain handler":           {core.SubscribeMessages("g", nil), domain.ErrInvalid, []string{"SubscribeMessages", "nil"}},
		"On beside a plain handler":  {core.SubscribeMessages("g", plain, chatcore.On(idleHandler)), domain.ErrInvalid, []string{"Subscribe with On", "SubscribeMessages"}},
		"On of no type":              {core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.Unknown]) error { return nil })), domain.ErrInvalid, []string{"domain.Unknown", "domain.Durable", "Definition.On"}},
		"On of another interface":    {core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[nameable]) error { return nil })), domain.ErrInvalid, []string{"nameable", "domain.Durable"}},
		"ChatConcurrency":            {core.Subscribe("g", chatcore.Unordered(), chatcore.ChatConcurrency(0)), domain.ErrInvalid, []string{"ChatConcurrency", "from 1"}},
		"ChatConcurrency in order":   {core.Subscribe("g", chatcore.ChatConcurrency(2)), domain.ErrInvalid, []string{"ChatConcurrency", "Unordered or OrderBy"}},
		"OrderBy without a function": {core.Subscribe("g", chatcore.OrderBy(nil)), domain.ErrInvalid, []string{"OrderBy", "a function that returns a key"}},
		"two orders":                 {core.Subscribe("g", chatcore.Unordered(), byMessage), domain.ErrInvalid, []string{"Unordered", "OrderBy", "one of them"}},
		"Unordered that parks":       {core.Subscribe("g", chatcore.OnPoison(chatcore.Park), chatcore.Unordered()), domain.ErrInvalid, []string{"OnPoison", "Park", "Skip"}},
		"OrderBy that parks":         {core.Subscribe("g", byMessage, chatcore.OnPoison(chatcore.Park)), domain.ErrInvalid, []string{"OnPoison", "Park", "Skip"}},
		"StartAt":                    {core.Subscribe("g", chatcore.StartAt(time.Time{})), domain.ErrInvalid, []string{"StartAt", "zero", "FromBeginning"}},
		"two starts":                 {core.Subscribe("g", chatcore.StartAt(time.Now()), chatcore.FromBeginning()), domain.ErrInvalid, []string{"StartAt", "FromBeginning", "one of them"}},
		"Concurrency":                {core.Subscribe("g", chatcore.Concurrency(0)), domain.ErrInvalid, []string{"Concurrency", "from 1"}},
		"HandlerTimeout":             {core.Subscribe("g", chatcore.HandlerTimeout(0)), domain.ErrInvalid, []string{"HandlerTimeout", "above 0"}},
		"OnPoison":                   {core.Subscribe("g", chatcore.OnPoison(7)), domain.ErrInvalid, []string{"OnPoison", "Skip or Park"}},
		"a nil middleware":           {core.Subscribe("g", chatcore.WithMiddleware(nil)), domain.ErrInvalid, []string{"WithMiddleware", "middleware 1"}},
		"a nil middleware of all":    {core.Use(nil), domain.ErrInvalid, []string{"Use", "middleware 1"}},
		"an empty live handler":      {core.Listen(chatcore.LiveHandler{}), domain.ErrInvalid, []string{"handler 1", "OnLive"}},
		"OnLive without a function":  {core.Listen(chatcore.OnLive[domain.MessageNew](nil)), domain.ErrInvalid, []string{"OnLive", "nil"}},
		"custom OnLive without one":  {core.Listen(poll.OnLive(nil)), domain.ErrInvalid, []string{"poll:created", "nil"}},
		"an event log in memory":     {inMemory, domain.ErrInvalid, []string{"WithEventLog", "New"}},
		"an incomplete event log":    {custom, domain.ErrInvalid, []string{"EventLog.ID", "NewInMemory"}},
		"a nil option of a core":     {nilOption, domain.ErrInvalid, []string{"option 1"}},
		"a nil option of one in RAM": {nilInMemory, domain.ErrInvalid, []string{"option 2"}},
	} {
		r.check(t, what)
		var invalid *domain.InvalidError
		if !errors.As(r.err, &invalid) || invalid.Field == "" || invalid.Allowed == "" {
			t.Errorf("%s: %+v", what, invalid)
		}
	}
	if err := core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error { return nil })); err != nil {
		t.Errorf("a good subscription after refused ones: %v", err)
	}
}

// nameable is an interface of events that no On handles.
type nameable interface {
	domain.Durable
	Name() string
}

// TestRegistration_TooLate registers with a core that runs, and with one that has ended.
func TestRegistration_TooLate(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	stop := start(t, core)
	calls := func() map[string]error {
		return map[string]error{
			"Subscribe": core.Subscribe("late"), "SubscribeBuiltins": core.SubscribeBuiltins(), "Listen": core.Listen(), "Use": core.Use(),
			"SubscribeMessages": core.SubscribeMessages("late", func(*message.Message) error { return nil }),
		}
	}
	for call, err := range calls() {
		refused{err, chatcore.ErrRunning, []string{"before Start or Run"}}.check(t, call)
	}
	for call, err := range map[string]error{"Start": core.Start(t.Context()), "Run": core.Run(t.Context())} {
		refused{err, chatcore.ErrRunning, []string{"once", "Wait"}}.check(t, call)
	}
	stop()
	for call, err := range calls() {
		refused{err, chatcore.ErrClosed, []string{"New"}}.check(t, call)
	}
}

// TestRegistration_MissingParts uses parts that a core on a custom log, or in Redis, does not have.
func TestRegistration_MissingParts(t *testing.T) {
	refused{chatcore.ErrNoCacheStore, chatcore.ErrNoCacheStore, []string{"WithCacheStore"}}.check(t, "caches")
	refused{chatcore.ErrNotInMemory, chatcore.ErrNotInMemory, []string{"NewInMemory", "chatcoretest.New"}}.check(t, "WaitIdle")
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	ctx := t.Context()
	refused{failure(core.Queries.ChatsOf(ctx, "ada")), chatcore.ErrNoViews, []string{"SubscribeBuiltins"}}.check(t, "without built-ins")
	then := core.Queries.At(1)
	for call, err := range map[string]error{
		"ChatsOf": failure(then.ChatsOf(ctx, "ada")), "UnreadOf": failure(then.UnreadOf(ctx, "ada")), "ChatList": failure(then.ChatList(ctx, "ada")),
		"Contacts": failure(then.Contacts(ctx, "ada")), "Typing": failure(then.Typing(ctx, "c")), "KeptUnread": failure(then.KeptUnread(ctx, "ada")),
	} {
		refused{err, chatcore.ErrNoViews, []string{"as of a seq"}}.check(t, call+" of At")
	}
}
