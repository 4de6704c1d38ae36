// Package chatcore is the messaging domain service of a chat backend: it takes commands (send, edit, react, read, …), decides them by the rules of
// package domain, records the events in each chat's event log, and carries the events to handlers.
//
//	core, err := chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://localhost:6379"}})
//	err = core.Subscribe("push", chatcore.On(push)) // durable: at least once, a chat's events in order
//	err = core.Listen(chatcore.OnLive(showTyping))  // live: at most once, in every process
//	err = core.Start(ctx)                           // in the background, until ctx ends
//	sent, err := core.Chats.Send(ctx, domain.Send{Chat: "general", Actor: "ada", Content: "hello"})
//	err = core.Wait()                               // how it ended
//
// This package wires the layers and is the only one that knows them all.
package chatcore
