package bench

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/view"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// BenchmarkChatList measures the first page of 50 of a user in 1,000 chats, with previews and with last messages in full, by a process whose caches are warm.
func BenchmarkChatList(b *testing.B) {
	const chats, n = 1000, 20
	_, client := start(b)
	log, keys := openLog(b, client)
	views := projection.Views{
		Log: log.ID(), Chats: view.NewUserChats(client, keys.Views()), Favourites: view.NewUserFavourites(client, keys.Views()),
		Hidden: view.NewUserHidden(client, keys.Views()), Preview: 200,
	}
	builtins := projection.NewBuiltins(projection.NewModels(log, entity.NewLoader(log, nil, 0), views), nil, true)
	together(b, 16, chats, func(ctx context.Context, i int) error {
		chat := domain.ChatID(fmt.Sprint("chat-", i))
		recorded := []domain.Durable{created(chat), domain.MessageNew{Chat: chat, Message: "m", Sender: "ada", Content: domain.Content(strings.Repeat("hello ", 50)), At: time.Now()}}
		batch := &ports.ChatBatch{}
		a := ports.Append{Chat: chat}
		for k, e := range recorded {
			id := domain.EventID(fmt.Sprint("event-", i, "-", k))
			a.Events = append(a.Events, ports.NewEvent{ID: id, Event: e, Moves: domain.Moves(e)})
			batch.Deliveries = append(batch.Deliveries, ports.Delivery{ID: ports.DeliveryID{Log: log.ID(), Chat: chat, Seq: domain.Seq(k + 1), Event: id}, Event: e}) //nolint:gosec // an index
		}
		if _, err := log.Append(ctx, a); err != nil {
			return err
		}
		builtins.HandleBatch(ctx, []*ports.ChatBatch{batch})
		return batch.Err
	})
	queries := app.NewQueries(log, entity.NewLoader(log, nil, 16<<20), views)
	list := func(messages bool) func() error {
		return func() error {
			page, err := queries.FilteredChatList(b.Context(), "ada", app.ChatFilter{Messages: messages}, domain.Page{Limit: 50})
			if err == nil && len(page.Items) != 50 {
				err = fmt.Errorf("%d chats", len(page.Items))
			}
			return err
		}
	}
	var trips trips
	client.AddHook(&trips)
	took, micros, calls := map[string][]float64{}, map[string][]float64{}, map[string]int64{}
	for b.Loop() {
		for range rounds {
			for name, do := range map[string]func() error{"previews": list(false), "messages": list(true)} {
				before := trips.n.Load()
				micros[name] = append(micros[name], perCall(b, client, func() {
					for range n {
						began := time.Now()
						if err := do(); err != nil {
							b.Fatal(err)
						}
						took[name] = append(took[name], float64(time.Since(began).Microseconds())/1000)
					}
				}, n))
				calls[name] = (trips.n.Load() - before) / n
			}
		}
	}
	for _, name := range []string{"previews", "messages"} {
		b.Logf("%s: %.2f ms, of which Redis %.2f, in %d round trips", name, median(took[name]), median(micros[name])/1000, calls[name])
		b.ReportMetric(median(took[name]), "ms/"+name)
		b.ReportMetric(float64(calls[name]), "trips/"+name)
	}
}

// trips counts the commands and the pipelines of a client.
type trips struct{ n atomic.Int64 }

func (t *trips) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (t *trips) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		t.n.Add(1)
		return next(ctx, cmd)
	}
}

func (t *trips) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		t.n.Add(1)
		return next(ctx, cmds)
	}
}
