package chatcore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestCommandsGoOnAfterAPromotion loses each master in turn, by a crash and by silence: commands given within five seconds of the promotion succeed,
// also in chats that are not cached.
func TestCommandsGoOnAfterAPromotion(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	ctx := t.Context()
	open := opened(t)
	cores := []*chatcore.Core{
		open(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}})), open(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL()}})),
	}
	var chats []domain.ChatID
	for i := range 32 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		must[app.Done](t)(cores[0].Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
		chats = append(chats, chat)
	}
	cluster.Settle(t)
	for _, lose := range []struct {
		how   string
		shard int
		lose  func(*redistest.Server)
	}{
		{"crash", 0, (*redistest.Server).Kill},
		{"silence", 1, (*redistest.Server).Freeze},
	} {
		master := cluster.Master(t, lose.shard)
		lose.lose(master)
		cluster.AwaitPromotion(t, lose.shard, master)
		promoted := time.Now()
		bounded, cancel := context.WithTimeout(ctx, wait.Limit)
		var all sync.WaitGroup
		for _, c := range cores {
			all.Go(func() {
				for _, chat := range chats {
					_, err := c.Chats.Send(bounded, domain.Send{Chat: chat, Actor: "ada", Content: "x"})
					before := err
					for err != nil && bounded.Err() == nil {
						before = err
						_, err = c.Chats.Send(bounded, domain.Send{Chat: chat, Actor: "ada", Content: "x"})
					}
					if err != nil {
						t.Errorf("%s: %v after the promotion nothing is sent to %s: %v; before: %v", lose.how, time.Since(promoted), chat, err, before)
						return
					}
				}
			})
		}
		all.Wait()
		cancel()
		t.Logf("%s: all is well %v after the promotion", lose.how, time.Since(promoted))
		if lose.how == "crash" {
			master.Restart(t)
			cluster.Settle(t)
		}
	}
}
