// Package snippets has the names that the Go blocks of the README and the docs use and do not declare: values that a reader already has, and
// functions of the reader's program.
package snippets

import (
	"context"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/app"
	"chatcore/domain"
)

var (
	ctx    context.Context
	core   *chatcore.Core
	config chatcore.Config
	err    error

	poll  Poll
	token app.SessionToken
	name  string
	id    string
	user  domain.UserID
	d     chatcore.Delivery[domain.MessageNew]

	mine      *memory.Log // a custom log
	stores    *memgroup.Groups
	transport *live.Local
)

// Poll is the data of a custom event.
type Poll struct{ Question string }

// Profile is a cached value.
type Profile struct{ Name string }

// Notice is a message on a channel of other programs.
type Notice struct{ Text string }

func checkPoll(Poll) error { return nil }

func countPoll(context.Context, chatcore.CustomDelivery[Poll]) error { return nil }

func push(context.Context, chatcore.Delivery[domain.MessageNew]) error { return nil }

func export(context.Context, chatcore.Delivery[domain.MessageNew]) error { return nil }

func index(context.Context, chatcore.Delivery[domain.MessageNew]) error { return nil }

func reindex(context.Context, chatcore.Delivery[domain.MessageEdit]) error { return nil }

func muted(domain.UserID) bool { return false }

func loadProfile(context.Context, string) (Profile, error) { return Profile{}, nil }

func loadProfileOf(string) func(context.Context) (Profile, error) { return nil }

func show(Notice) {}

func forward(domain.TypingStart) {}
