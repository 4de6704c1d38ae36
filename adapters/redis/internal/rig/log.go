package rig

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Created returns an append that creates a chat.
func Created(c domain.ChatID) ports.Append {
	e := domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Created, Title: "t", At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("e-" + string(c)), Event: e, Moves: domain.Moves(e)}}}
}

// Sent returns an append of one message, and deleted one of its deletion.
func Sent(c domain.ChatID, m domain.MessageID) ports.Append {
	e := domain.MessageNew{Chat: c, Message: m, Sender: "ada", Content: "hi", At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("e-" + string(m)), Event: e, Moves: domain.Moves(e)}}}
}

// Deleted is the deletion of a message.
func Deleted(c domain.ChatID, m domain.MessageID) ports.Append {
	e := domain.MessageDelete{Chat: c, Message: m, By: "ada", At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("d-" + string(m)), Event: e, Moves: domain.Moves(e)}}}
}

// Appended appends, or ends the test.
func Appended(t *testing.T, log *eventlog.Log, a ports.Append) {
	t.Helper()
	if _, err := log.Append(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// Open opens a log that announces its events on all channels.
func Open(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, Announce: true, AnnouncePartitions: true})
	if err != nil {
		t.Fatal(err)
	}
	return log
}
