package eventlog_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/view"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// longList is the list of ada, who is in 1,000 chats with one message each; every tenth is a favourite.
type longList struct {
	t        *testing.T
	log      *eventlog.Log
	views    projection.Views
	builtins *projection.Builtins
	chats    []domain.ChatID // the latest first
	handled  map[domain.ChatID]domain.Seq
}

const longListChats = 1000

func newLongList(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *longList {
	t.Helper()
	l := &longList{t: t, log: rig.Open(t, client, keys), handled: make(map[domain.ChatID]domain.Seq)}
	l.views = viewsOf(client, keys, l.log)
	l.builtins = projection.NewBuiltins(projection.NewModels(l.log, entity.NewLoader(l.log, nil, 0), l.views), nil, true)
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range longListChats {
		c, at := domain.ChatID(fmt.Sprint("c", i)), start.Add(time.Duration(i)*time.Second)
		events := []domain.Durable{
			domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Created, Title: "t", At: at},
			domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.MemberAdded, User: "ben", Role: domain.RoleMember, At: at},
			domain.MessageNew{Chat: c, Message: "m", Sender: "ben", Content: domain.Content(strings.Repeat(fmt.Sprint("text ", i, " "), 100)), At: at},
		}
		if i%10 == 0 {
			events = append(events, domain.ChatSettings{Chat: c, User: "ada", Favourite: new(true), At: at})
		}
		l.append(c, events...)
		l.chats = append(l.chats, c)
	}
	slices.Reverse(l.chats)
	l.deliver(l.chats...)
	return l
}

func viewsOf(client goredis.UniversalClient, keys keyspace.Keys, log *eventlog.Log) projection.Views {
	return projection.Views{
		Log: log.ID(), Chats: view.NewUserChats(client, keys.Views()), Favourites: view.NewUserFavourites(client, keys.Views()),
		Hidden: view.NewUserHidden(client, keys.Views()), Preview: 200,
	}
}

func (l *longList) append(c domain.ChatID, events ...domain.Durable) {
	l.t.Helper()
	a := ports.Append{Chat: c}
	for _, e := range events {
		a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprintf("e-%p-%d", &a, len(a.Events))), Event: e, Moves: domain.Moves(e)})
	}
	rig.Appended(l.t, l.log, a)
}

// deliver has the built-in group handle the new events of chats.
func (l *longList) deliver(chats ...domain.ChatID) {
	l.t.Helper()
	var batches []*ports.ChatBatch
	for _, c := range chats {
		page, err := l.log.Read(l.t.Context(), c, ports.Range{From: l.handled[c] + 1, Limit: 10})
		if err != nil {
			l.t.Fatal(err)
		}
		b := &ports.ChatBatch{}
		for _, r := range page.Records {
			b.Deliveries = append(b.Deliveries, ports.Delivery{ID: ports.DeliveryID{Log: l.log.ID(), Chat: c, Seq: r.Seq, Event: r.ID}, Event: r.Event})
			l.handled[c] = r.Seq
		}
		batches = append(batches, b)
	}
	l.builtins.HandleBatch(l.t.Context(), batches)
	for _, b := range batches {
		if b.Err != nil || b.Done != len(b.Deliveries) {
			l.t.Fatalf("%d of %d events handled, error %v", b.Done, len(b.Deliveries), b.Err)
		}
	}
}

// nodeTrips counts the round trips to each server.
type nodeTrips struct {
	mu sync.Mutex // mu guards: of
	of map[string]int
}

// countTrips counts the round trips of a client from now on.
func countTrips(t *testing.T, client goredis.UniversalClient) *nodeTrips {
	t.Helper()
	n := &nodeTrips{of: make(map[string]int)}
	add := func(_ context.Context, node *goredis.Client) error {
		node.AddHook(tripHook{n, node.Options().Addr})
		return nil
	}
	if cluster, is := client.(*goredis.ClusterClient); is {
		if err := cluster.ForEachShard(t.Context(), add); err != nil {
			t.Fatal(err)
		}
		return n
	}
	node, _ := client.(*goredis.Client)
	_ = add(t.Context(), node)
	return n
}

// most returns the round trips to the server with most of them, and forgets all.
func (n *nodeTrips) most() (most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, trips := range n.of {
		most = max(most, trips)
	}
	clear(n.of)
	return most
}

// tripHook counts the commands and the pipelines to one server.
type tripHook struct {
	trips *nodeTrips
	node  string
}

// count counts a command. Those of connections, of checks of the servers and of witnesses, which a timer raises, are none of the list.
func (h tripHook) count(cmd goredis.Cmder) {
	ofWitness := func(arg any) bool { text, _ := arg.(string); return strings.Contains(text, "witness:") }
	if slices.Contains([]string{"info", "time", "ping", "hello", "cluster"}, cmd.Name()) || slices.ContainsFunc(cmd.Args(), ofWitness) {
		return
	}
	h.trips.mu.Lock()
	defer h.trips.mu.Unlock()
	h.trips.of[h.node]++
}

func (h tripHook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h tripHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		h.count(cmd)
		return next(ctx, cmd)
	}
}

func (h tripHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		h.count(cmds[0])
		return next(ctx, cmds)
	}
}

// TestFilteredChatList_RoundTrips reads the first page of a user in 1,000 chats by a process with empty caches.
func TestFilteredChatList_RoundTrips(t *testing.T) {
	testListTrips(t, rig.Connect(t, redistest.Start(t).URL()), rig.NewKeys(t, keyspace.DefaultPartitions))
}

func TestFilteredChatList_RoundTripsOnACluster(t *testing.T) {
	testListTrips(t, rig.Connect(t, redistest.StartCluster(t, 3).URL()), rig.ClusterKeys(t))
}

func testListTrips(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	l := newLongList(t, client, keys)
	page := func(filter app.ChatFilter) []app.ListedChat {
		t.Helper()
		q := app.NewQueries(l.log, entity.NewLoader(l.log, nil, 1<<20), l.views)
		list, err := q.FilteredChatList(t.Context(), "ada", filter, domain.Page{Limit: 50})
		if err != nil || len(list.Items) != 50 || list.Next == "" {
			t.Fatalf("%d chats, cursor %q, error %v", len(list.Items), list.Next, err)
		}
		return list.Items
	}
	page(app.ChatFilter{Messages: true})
	page(app.ChatFilter{}) // Redis then has the scripts
	trips := countTrips(t, client)
	for i, c := range page(app.ChatFilter{Metadata: []string{"topic"}}) {
		want := fmt.Sprint("text ", longListChats-1-i, " ")
		if c.ID != l.chats[i] || !strings.HasPrefix(c.Preview.Preview, want) || len(c.Preview.Preview) != 200 || c.Preview.Sender != "ben" || c.Unread != 1 || c.Title != "t" {
			t.Fatalf("place %d has %+v", i, c)
		}
	}
	if n := trips.most(); n > 3 {
		t.Errorf("the first page takes %d round trips", n)
	}
	for _, c := range page(app.ChatFilter{Favourite: true}) {
		if !c.Favourite {
			t.Fatalf("%+v is no favourite", c)
		}
	}
	if n := trips.most(); n > 3 {
		t.Errorf("the first page of favourites takes %d round trips", n)
	}
	top := l.chats[0]
	l.append(top, domain.MessageNew{Chat: top, Message: "n", Sender: "ben", Content: "new", Mentions: []domain.UserID{"ada"}, Mentioned: true, At: time.Now()})
	if c := page(app.ChatFilter{})[0]; c.ID != top || c.Preview.Preview != "new" || c.Mentions != 1 {
		t.Errorf("with a message that the view has not got, the first chat is %+v", c)
	}
	if n := trips.most(); n > 6 {
		t.Errorf("with a message that the view has not got, and a mention, the first page takes %d round trips", n)
	}
	l.deliver(top)
	trips.most()
	if c := page(app.ChatFilter{})[0]; c.ID != top || c.Preview.Preview != "new" || c.Mentions != 1 {
		t.Errorf("then it is %+v", c)
	}
	if n := trips.most(); n > 4 {
		t.Errorf("with a mention, the first page takes %d round trips", n)
	}
}
