package eventlog_test

import (
	"context"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// reads are the calls that read a log's partition by a script.
func reads(log *eventlog.Log) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"load": func(ctx context.Context) error {
			_, err := log.Load(ctx, "c", ports.LoadRequest{Entity: domain.ChatEntity()})
			return err
		},
		"read": func(ctx context.Context) error {
			_, err := log.Read(ctx, "c", ports.Range{From: 1, Limit: 10})
			return err
		},
		"search": func(ctx context.Context) error {
			_, err := log.Search(ctx, "c", ports.Filter{Messages: true}, ports.Range{From: 1, Limit: 10})
			return err
		},
		"unread": func(ctx context.Context) error {
			_, err := log.CountUnread(ctx, "ada", "c")
			return err
		},
		"unread of members": func(ctx context.Context) error {
			_, err := log.CountMembers(ctx, ports.CountRequest{Chat: "c", Most: 1})
			return err
		},
		"last messages": func(ctx context.Context) error {
			_, err := log.LastMessages(ctx, "c")
			return err
		},
		"index": func(ctx context.Context) error {
			return log.IndexLastMessages(ctx, ports.ActivityEntry{Chat: "c", LastMessage: ports.LastMessage{Seq: 2}})
		},
		"encoded": func(ctx context.Context) error {
			_, _, err := log.ReadRaw(ctx, 0, "", []ports.EventRange{{Chat: "c", From: 1, Limit: 10}})
			return err
		},
		"compared heads": func(ctx context.Context) error {
			_, err := log.CompareHeads(ctx, 0, "checkpoints", 0, 10)
			return err
		},
	}
}

// TestReads_RefuseAnotherLog has another log under a log's keys, whose chat has the same id: none of its events are given as this one's.
func TestReads_RefuseAnotherLog(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	keys := rig.NewKeys(t, 1)
	fill := func() *eventlog.Log {
		log := rig.Open(t, client, keys)
		rig.Appended(t, log, rig.Created("c"))
		rig.Appended(t, log, rig.Sent("c", "m"))
		return log
	}
	log := fill()
	for name, read := range reads(log) {
		if err := read(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	client.FlushAll(t.Context())
	fill()
	for name, read := range reads(log) {
		if err := read(t.Context()); err == nil {
			t.Errorf("%s: the other log answers", name)
		}
	}
}
