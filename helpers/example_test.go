package helpers_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"time"

	"chatcore"
	"chatcore/helpers"
)

func inMemory() *chatcore.Core {
	core, err := chatcore.NewInMemory(chatcore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	return core
}

// Sessions of a user, each a value that ends by itself, and all of them by one pattern.
func ExampleClient() {
	type session struct {
		User string `json:"user"`
	}
	core := inMemory()
	defer func() { _ = core.Close() }()
	h, ctx := core.Helpers, context.Background()
	user := chatcore.EscapeKey("ada:*") // an id may hold anything

	_ = h.Set(ctx, "session:"+user+":phone", session{"ada:*"}, time.Hour)
	_ = h.Set(ctx, "session:"+user+":laptop", session{"ada:*"}, time.Hour)
	phone, found, _ := helpers.Get[session](ctx, h, "session:"+user+":phone")
	fmt.Println(phone.User, found)

	n, _ := h.DelPattern(ctx, "session:"+user+":*")
	fmt.Println(n, "logged out")
	// Output:
	// ada:* true
	// 2 logged out
}

// A profile is loaded once, and then comes from the cache.
func ExampleGetOrSet() {
	type profile struct{ Name string }
	core := inMemory()
	defer func() { _ = core.Close() }()
	load := func(context.Context) (profile, error) {
		fmt.Println("from the database")
		return profile{"Ada"}, nil
	}
	for range 2 {
		p, err := helpers.GetOrSet(context.Background(), core.Helpers, "profile:ada", 10*time.Minute, load)
		fmt.Println(p.Name, err)
	}
	// Output:
	// from the database
	// Ada <nil>
	// Ada <nil>
}

// At most two attempts within a quarter of an hour from the first one.
func ExampleClient_IncrWithExpiry() {
	core := inMemory()
	defer func() { _ = core.Close() }()
	for range 3 {
		attempts, err := core.Helpers.IncrWithExpiry(context.Background(), "ratelimit:login:"+chatcore.EscapeKey("ada"), 15*time.Minute)
		fmt.Println(attempts, attempts <= 2, err)
	}
	// Output:
	// 1 true <nil>
	// 2 true <nil>
	// 3 false <nil>
}

// The online users, in the guide's set.
func ExampleClient_SAdd() {
	core := inMemory()
	defer func() { _ = core.Close() }()
	h, ctx := core.Helpers, context.Background()
	_, _ = h.SAdd(ctx, "user:online:", "ada", "ben")
	_, _ = h.SRem(ctx, "user:online:", "ben")
	_, _ = h.SAdd(ctx, "user:online:", "eve")
	online, _ := h.SMembers(ctx, "user:online:")
	slices.Sort(online)
	ben, _ := h.SIsMember(ctx, "user:online:", "ben")
	fmt.Println(online, ben)
	// Output: [ada eve] false
}

// A message to every process, in any language.
func ExampleSubscribeTo() {
	type notice struct {
		Text string `json:"text"`
	}
	core := inMemory()
	defer func() { _ = core.Close() }()
	heard := make(chan notice)
	subscription, err := helpers.SubscribeTo(context.Background(), core.Helpers, "notices", func(_ context.Context, n notice) { heard <- n })
	if err != nil {
		log.Fatal(err)
	}
	_ = core.Helpers.Publish(context.Background(), "notices", notice{"Maintenance at noon"})
	fmt.Println((<-heard).Text)
	subscription.Unsubscribe()
	// Output: Maintenance at noon
}

// A view for code that goes on without Redis.
func ExampleClient_Lenient() {
	core := inMemory()
	cache := core.Helpers.Lenient()
	ctx := context.Background()
	fmt.Println(cache.Set(ctx, "greeting", "hello", time.Minute))
	var greeting string
	fmt.Println(cache.Get(ctx, "greeting", &greeting), greeting)
	fmt.Println(cache.Incr(ctx, "greeting"), core.Stats().HelperFailures) // no counter: 0, counted and logged
	_ = core.Close()
	// Output:
	// true
	// true hello
	// 0 1
}
