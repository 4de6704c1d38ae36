package feeds

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	v1connect "chatcore/gen/chatcore/v1/chatcorev1connect"
	"chatcore/tests/feedreader"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) {
	if encoded := os.Getenv(instanceVariable); encoded != "" {
		os.Exit(serveInstance(encoded))
	}
	goredis.SetLogger(silent{})
	redistest.Main(m)
}

// silent discards go-redis's log about connections that were broken on purpose.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

var ( //nolint:gochecknoglobals // never change
	users = []domain.UserID{"ada", "ben", "cem", "dia"}
	chats = []domain.ChatID{"attic", "barn", "cellar", "den", "entry"}
	lasts = []domain.ChatID{"farewell.0", "farewell.1", "farewell.2", "farewell.3"} // chats that are created at the end, in each partition
)

// world is a log with instances, writers and readers.
type world struct {
	t       *testing.T
	server  *redistest.Server
	token   string // of a service
	places  []*place
	writers *writers
	logins  *logins
	ctx     context.Context // of readers
	reading sync.WaitGroup

	mu       sync.Mutex
	runs     []*run // mu guards runs
	happened []string
}

// run is a reader that runs.
type run struct {
	*feedreader.Reader
	over chan struct{} // closed when it has ended by itself
}

// TestFeeds_EqualTheLogUnderAttack has readers read feeds of two instances while faults happen.
func TestFeeds_EqualTheLogUnderAttack(t *testing.T) {
	seed, duration := settings(t)
	w := newWorld(t)
	var written []*chat
	for i, id := range chats {
		written = append(written, w.writers.open(id, seed+uint64(i), users...)) //nolint:gosec // small
	}
	dice := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // dice
	for _, c := range w.firstConfigs() {
		w.read(c)
	}
	for range 4 {
		w.read(w.randomConfig(dice))
	}
	for _, c := range written {
		w.writers.done.Go(func() { c.write(users) })
	}
	for _, p := range w.places {
		p.lost.Store(5)
	}
	w.attack(seed, duration)
	for _, p := range w.places {
		p.lost.Store(100) // the last events of the chats are announced to nobody; a later announcement shows that
	}
	pause(t.Context(), 100*time.Millisecond)
	w.writers.finish()
	w.calm()
	w.judge(seed)
}

// settings reads the settings: those of the short form, or those of the long one.
func settings(t *testing.T) (seed uint64, duration time.Duration) {
	t.Helper()
	seed, duration = rand.Uint64N(1_000_000), 12*time.Second //nolint:gosec // dice
	var err error
	if text := os.Getenv("CHATCORE_CHAOS_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHATCORE_CHAOS_SEED: %v", err)
		}
	}
	if text := os.Getenv("CHATCORE_CHAOS"); text != "" {
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CHATCORE_CHAOS: %v", err)
		}
	}
	t.Logf("seed %d, %v of faults", seed, duration)
	return seed, duration
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")}
	token, entry, err := auth.NewServiceToken("tests", auth.AllScopes())
	if err != nil {
		t.Fatal(err)
	}
	w.token = string(token)
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis: chatcore.RedisConfig{URL: w.server.URL()}, Log: chatcore.LogConfig{Partitions: partitions}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	w.writers, w.logins = newWriters(t, core), newLogins(core)
	for i := range 2 {
		p := &place{way: redistest.StartProxy(t, w.server)}
		p.lose()
		p.instance = startInstance(t, fmt.Sprint("instance ", i), instanceConfig{RedisURL: credentials(p.way.URL()), Service: entry.ID, Token: entry.SHA256[:]})
		w.places = append(w.places, p)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.ctx = ctx
	t.Cleanup(func() {
		cancel()
		w.reading.Wait()
	})
	return w
}

// credentials returns a URL with the credentials of the tests.
func credentials(url string) string {
	user, password := redistest.Credentials()
	if user == "" {
		return url
	}
	return strings.Replace(url, "redis://", fmt.Sprintf("redis://%s:%s@", user, password), 1)
}

// read starts a reader.
func (w *world) read(c feedreader.Config) *run {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := fmt.Sprint(len(c.Chats), " chats")
	if c.AllChats {
		kind = "all chats"
	}
	user := c.Actor
	c.Name = fmt.Sprintf("%d %s %q %s", len(w.runs), c.Protocol, user, kind)
	c.Quiet = readerQuiet
	first := len(w.runs)
	c.Instances = func() (urls []string) {
		for i := range w.places {
			urls = append(urls, w.places[(first+i)%len(w.places)].address())
		}
		return urls
	}
	c.Token = func(ctx context.Context, refused string) (string, error) {
		if user == "" {
			return w.token, nil
		}
		return w.logins.token(ctx, user, refused)
	}
	r := &run{feedreader.New(c), make(chan struct{})}
	w.runs = append(w.runs, r)
	w.reading.Go(func() {
		defer close(r.over)
		r.Run(w.ctx)
	})
	return r
}

// running returns the readers.
func (w *world) running() []*run {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.runs)
}

var protocols = []feedreader.Protocol{feedreader.Connect, feedreader.GRPC, feedreader.ServerEvents} //nolint:gochecknoglobals // never changes

// firstConfigs are readers of each kind over each protocol.
func (w *world) firstConfigs() (all []feedreader.Config) {
	for _, p := range protocols {
		all = append(all,
			feedreader.Config{Protocol: p, Chats: from(0, chats...)},
			feedreader.Config{Protocol: p, Actor: "ada", AllChats: true},
			feedreader.Config{Protocol: p, Actor: "ben", Chats: from(0, chats...)},
		)
	}
	return all
}

// from returns a position in each of some chats.
func from(seq domain.Seq, chats ...domain.ChatID) map[domain.ChatID]feedreader.Position {
	positions := make(map[domain.ChatID]feedreader.Position)
	for _, c := range chats {
		positions[c] = feedreader.Position{Seq: seq, Known: true}
	}
	return positions
}

// randomConfig returns a reader of any kind.
func (w *world) randomConfig(d *rand.Rand) feedreader.Config {
	c := feedreader.Config{Protocol: protocols[d.IntN(len(protocols))], MaxCatchUp: []uint32{0, 0, 5, 70}[d.IntN(4)]}
	named := chats[:1+d.IntN(len(chats))]
	switch d.IntN(3) {
	case 0:
		c.Actor, c.AllChats = users[d.IntN(len(users))], true
		if d.IntN(2) == 0 {
			c.Chats = from(0, named...)
		}
		return c
	case 1:
		c.Actor = users[d.IntN(len(users))]
	}
	c.Chats = from(0, named...)
	if d.IntN(3) == 0 {
		for chat := range c.Chats {
			c.Chats[chat] = feedreader.Position{}
		}
	}
	return c
}

// calm waits, without faults, until each reader has everything, and then starts readers that get everything from the log. The last events make every user a
// member of other chats: that makes good for notices of memberships that were lost, which instances find within a minute otherwise.
func (w *world) calm() {
	for _, p := range w.places {
		p.lost.Store(0)
	}
	for _, id := range lasts {
		w.writers.open(id, 0, users...)
	}
	log := w.log()
	defer w.explain(log)
	w.await(log)
	for _, user := range users {
		for _, p := range protocols {
			w.read(feedreader.Config{Protocol: p, Actor: user, AllChats: true, Chats: from(0, chats...)})
		}
	}
	w.await(log)
	for _, user := range users {
		if !w.logins.close(w.t.Context(), user) {
			w.t.Errorf("the session of %s cannot be closed", user)
		}
	}
	for _, r := range w.running() {
		wait.Until(w.t, r.Name()+" has another session than a closed one", func() bool {
			select {
			case <-r.over:
				return true
			default:
				return !w.logins.isClosed(r.Token())
			}
		})
	}
	w.await(log)
}

// await waits until each reader has everything.
func (w *world) await(log Log) {
	for _, r := range w.running() {
		wait.Until(w.t, r.Name()+" has everything", func() bool {
			return len(Missing(only(log, r.Config()), r.Config(), r.Positions())) == 0
		})
	}
}

// explain logs what readers have not got, if the test has failed.
func (w *world) explain(log Log) {
	if !w.t.Failed() {
		return
	}
	for _, r := range w.running() {
		if missing := Missing(only(log, r.Config()), r.Config(), r.Positions()); len(missing) > 0 {
			messages := r.Messages()
			w.t.Logf("%s lacks %v; at last\n%s", r.Name(), missing, excerpt(messages, fmt.Sprint(", message ", len(messages)-1, ":")))
		}
	}
	w.t.Log(strings.Join(w.happened, "\n"))
}

// only returns the log of the chats that a reader reads.
func only(log Log, c feedreader.Config) Log {
	if !c.AllChats {
		log.Chats = maps.Clone(log.Chats)
		maps.DeleteFunc(log.Chats, func(id domain.ChatID, _ []*v1.Event) bool { _, named := c.Chats[id]; return !named })
	}
	return log
}

// judge compares the messages of each reader with the log.
func (w *world) judge(seed uint64) {
	log := w.log()
	events, kinds := 0, make(map[feedreader.Kind]int)
	redacted, ends := 0, make(map[string]int)
	for _, r := range w.running() {
		messages := r.Messages()
		for _, m := range messages {
			kinds[m.Kind]++
			if m.Kind == feedreader.Ended && m.Stated {
				ends[m.Code.String()]++
			}
			if m.Event.GetRedacted() {
				redacted++
			}
		}
		found := Judge(only(log, r.Config()), r.Config(), messages)
		for _, violation := range found[:min(5, len(found))] {
			w.t.Errorf("%s\n%s", violation, excerpt(messages, violation))
		}
	}
	for _, all := range log.Chats {
		events += len(all)
	}
	w.t.Logf("seed %d: %d events, %d readers, messages %v, %d redacted, ends %v\n%s", seed, events, len(w.running()), kinds, redacted, ends, strings.Join(w.happened, "\n"))
}

// excerpt returns the messages before a violation.
func excerpt(messages []feedreader.Message, violation string) string {
	_, after, _ := strings.Cut(violation, ", message ")
	number, _, _ := strings.Cut(after, ":")
	at, err := strconv.Atoi(number)
	if err != nil {
		return ""
	}
	var lines strings.Builder
	chat := messages[at].Chat
	for i, m := range messages[:min(at+3, len(messages))] {
		if i+200 > at && (m.Chat == chat || m.Kind == feedreader.Opened || m.Kind == feedreader.Ended) {
			fmt.Fprintf(&lines, "  %d %s %s %s %d-%d %s %s%s\n", i, m.At.Format("15:04:05.000"), m.Kind, m.Chat, m.From, m.Seq, m.ID, m.Instance, m.Err)
		}
	}
	all := strings.SplitAfter(lines.String(), "\n")
	return strings.Join(all[max(0, len(all)-25):], "")
}

// log reads the log by the API of an instance.
func (w *world) log() Log {
	log := Log{Chats: make(map[domain.ChatID][]*v1.Event), Deleted: w.writers.deletions(), Closed: w.logins.closings()}
	for _, id := range slices.Concat(chats, lasts) {
		wait.Until(w.t, "the log is read", func() bool { // an instance may still begin
			for {
				page, err := w.page(id, len(log.Chats[id]))
				if err != nil || len(page) == 0 {
					return err == nil
				}
				log.Chats[id] = append(log.Chats[id], page...)
			}
		})
	}
	return log
}

func (w *world) page(id domain.ChatID, after int) ([]*v1.Event, error) {
	ctx, info := rpc.NewClientContext(w.t.Context())
	info.RequestHeader().Set("Authorization", "Bearer "+w.token)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := v1connect.NewLogServiceClient(&http.Client{Transport: transport}, w.places[0].address())
	seq := uint32(after) //nolint:gosec // small
	page, err := client.ListEvents(ctx, &v1.ListEventsRequest{ChatId: string(id), PageSize: 256, Start: &v1.ListEventsRequest_AfterSeq{AfterSeq: seq}})
	return page.GetEvents(), err
}
