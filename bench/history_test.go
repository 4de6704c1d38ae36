package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/view"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// openLog opens an event log with one partition.
func openLog(b *testing.B, client goredis.UniversalClient) (*eventlog.Log, keyspace.Keys) {
	b.Helper()
	keys, err := keyspace.New("", 1, false)
	if err != nil {
		b.Fatal(err)
	}
	log, err := eventlog.Open(b.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, StreamBound: 1000})
	if err != nil {
		b.Fatal(err)
	}
	return log, keys
}

// record appends events to one chat, 500 at a time.
func record(b *testing.B, log *eventlog.Log, chat domain.ChatID, events []domain.Durable) {
	b.Helper()
	for len(events) > 0 {
		n := min(500, len(events))
		a := ports.Append{Chat: chat}
		for _, e := range events[:n] {
			a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4b-%012d", len(a.Events))), Event: e, Moves: domain.Moves(e)})
		}
		if _, err := log.Append(b.Context(), a); err != nil {
			b.Fatal(err)
		}
		events = events[n:]
	}
}

func created(chat domain.ChatID) domain.Durable {
	return domain.ChatUpdate{Chat: chat, Actor: "ada", Change: domain.Created, Title: "Garden", At: time.Now()}
}

func sentTo(chat domain.ChatID, i int) domain.Durable {
	id := domain.MessageID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4b-%012d", i))
	return domain.MessageNew{Chat: chat, Message: id, Sender: "ada", Content: content, At: time.Now()}
}

// BenchmarkHistoryPage measures the cost of a page to Redis and the network: 50 messages with 255 receipts between each two of them, and two messages
// with 30,000 other events between them. It compares them with the same pages of a chat with nothing between, and with reading all events between.
func BenchmarkHistoryPage(b *testing.B) {
	const messages, receipts, toggles, n = 60, 255, 30_000, 20
	_, client := start(b)
	log, _ := openLog(b, client)
	plain, read, toggled := []domain.Durable{created("plain")}, []domain.Durable{created("read")}, []domain.Durable{created("toggled"), sentTo("toggled", 0)}
	for i := range messages {
		plain, read = append(plain, sentTo("plain", i)), append(read, sentTo("read", i))
		for user := range receipts {
			read = append(read, domain.ReadReceipt{
				Chat: "read", User: domain.UserID(fmt.Sprint("user-", user)), Message: "m", ReadSeq: domain.Seq(len(read)), At: time.Now(),
			})
		}
	}
	for i := range toggles {
		toggled = append(toggled, domain.MessageReaction{
			Chat: "toggled", Message: "another", User: "ben", Emoji: "👍", Action: []domain.ReactionAction{domain.ReactionAdd, domain.ReactionRemove}[i%2], At: time.Now(),
		})
	}
	record(b, log, "plain", plain)
	record(b, log, "read", read)
	record(b, log, "toggled", append(toggled, sentTo("toggled", 1)))
	queries := app.NewQueries(log, entity.NewLoader(log, nil, 0), projection.Views{})
	page := func(chat domain.ChatID, limit int) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			_, err := queries.History(ctx, chat, domain.Span{Limit: limit})
			return err
		}
	}
	everything := func(chat domain.ChatID, events int) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			for r, left := (ports.Range{Backward: true, Limit: 256}), events; left > 0 && r.From != 1; left -= r.Limit {
				page, err := log.Read(ctx, chat, r)
				if err != nil {
					return err
				}
				r.From = page.Records[len(page.Records)-1].Seq - 1
			}
			return nil
		}
	}
	type side struct {
		name, against string
		do            func(ctx context.Context) error
	}
	sides := []side{
		{"50", "", page("plain", 50)},
		{"receipts", "50", page("read", 50)},
		{"receipts-all", "50", everything("read", 50*(receipts+1))},
		{"2", "", page("plain", 2)},
		{"toggles", "2", page("toggled", 2)},
		{"toggles-all", "2", everything("toggled", toggles)},
	}
	micros, bytes := map[string][]float64{}, map[string]float64{}
	for b.Loop() {
		for range rounds {
			for _, s := range sides {
				sent := info(b, client, "stats", "total_net_output_bytes")
				micros[s.name] = append(micros[s.name], perCall(b, client, func() {
					for range n {
						if err := s.do(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
				}, n))
				bytes[s.name] = (info(b, client, "stats", "total_net_output_bytes") - sent) / n
			}
		}
	}
	for _, s := range sides {
		b.Logf("%s: %.0f µs of Redis, %.0f bytes", s.name, median(micros[s.name]), bytes[s.name])
		if s.against != "" {
			b.ReportMetric(median(micros[s.name])/median(micros[s.against]), "×cpu-"+s.name)
			b.ReportMetric(bytes[s.name]/bytes[s.against], "×bytes-"+s.name)
		}
	}
}

// BenchmarkLists measures first pages of 50: of a user in 20,000 chats and of a chat of 20,000 members, against a user in 100 chats and a chat of 100
// members.
func BenchmarkLists(b *testing.B) {
	const many, few, n = 20_000, 100, 5
	_, client := start(b)
	log, keys := openLog(b, client)
	chats := view.NewUserChats(client, keys.Views())
	together(b, 64, many, func(ctx context.Context, i int) error {
		chat := domain.ChatID(fmt.Sprint("chat-", i))
		recorded := []domain.Durable{created(chat), sentTo(chat, i), domain.ReadReceipt{Chat: chat, User: "ada", Message: "m", ReadSeq: 2, At: time.Now()}}
		if i < few {
			recorded = append(recorded, domain.ChatUpdate{Chat: chat, Actor: "ada", Change: domain.MemberAdded, User: "few", Role: domain.RoleMember, At: time.Now()})
		}
		var events []ports.NewEvent
		for k, e := range recorded {
			events = append(events, ports.NewEvent{ID: domain.EventID(fmt.Sprint("event-", i, "-", k)), Event: e, Moves: domain.Moves(e)})
		}
		if _, err := log.Append(ctx, ports.Append{Chat: chat, Events: events}); err != nil {
			return err
		}
		if i < few {
			if err := chats.Put(ctx, log.ID(), ports.ChatEntries{Chat: chat, Entries: []ports.UserEntry{{User: "few", Version: 1, Number: 1}}}); err != nil {
				return err
			}
		}
		return chats.Put(ctx, log.ID(), ports.ChatEntries{Chat: chat, Entries: []ports.UserEntry{{User: "ada", Version: 1, Number: 1}}})
	})
	for chat, members := range map[domain.ChatID]int{"few": few, "many": many} {
		events := []domain.Durable{created(chat)}
		for i := range members {
			events = append(events, domain.ChatUpdate{
				Chat: chat, Actor: "ada", Change: domain.MemberAdded, User: domain.UserID(fmt.Sprint("user-", i)), Role: domain.RoleMember, At: time.Now(),
			})
		}
		record(b, log, chat, events)
	}
	queries := app.NewQueries(log, entity.NewLoader(log, nil, 0), projection.Views{Log: log.ID(), Chats: chats, Unread: view.NewUnreadCounts(client, keys.Views())})
	page := domain.Page{Limit: 50}
	if _, err := queries.ChatListPage(b.Context(), "ada", page); err != nil { // indexes the last messages, as the built-in group does with each message
		b.Fatal(err)
	}
	sides := []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"chats-few", func(ctx context.Context) error { _, err := queries.ChatsOfPage(ctx, "few", page); return err }},
		{"chats", func(ctx context.Context) error { _, err := queries.ChatsOfPage(ctx, "ada", page); return err }},
		{"members-few", func(ctx context.Context) error { _, err := queries.MemberPage(ctx, "few", page); return err }},
		{"members", func(ctx context.Context) error { _, err := queries.MemberPage(ctx, "many", page); return err }},
		{"list-few", func(ctx context.Context) error { _, err := queries.ChatListPage(ctx, "few", page); return err }},
		{"list", func(ctx context.Context) error { _, err := queries.ChatListPage(ctx, "ada", page); return err }},
		{"member", func(ctx context.Context) error { _, err := queries.Member(ctx, "many", "user-777"); return err }},
	}
	took, micros := map[string][]float64{}, map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for _, s := range sides {
				micros[s.name] = append(micros[s.name], perCall(b, client, func() {
					for range n {
						began := time.Now()
						if err := s.do(b.Context()); err != nil {
							b.Fatal(err)
						}
						took[s.name] = append(took[s.name], float64(time.Since(began).Microseconds())/1000)
					}
				}, n))
			}
		}
	}
	for _, s := range sides {
		b.Logf("%s: %.2f ms, of which Redis %.2f", s.name, median(took[s.name]), median(micros[s.name])/1000)
	}
	for _, name := range []string{"chats", "members", "list"} {
		b.ReportMetric(median(took[name])/median(took[name+"-few"]), "×"+name)
		b.ReportMetric(median(took[name]), "ms/"+name)
	}
}
