package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/subscribers/webhook"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// clock is the time of the bubble.
type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func (clock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// post is a request as the endpoint received it.
type post struct {
	at      time.Time
	event   string
	chat    string
	seq     int
	attempt int
	epoch   int
	member  int
}

// respond answers a request. An error is that of the connection: if connected is true, after the request was written.
type respond func(ctx context.Context, p post) (status int, header http.Header, connected bool, err error)

func status(code int) (int, http.Header, bool, error) { return code, nil, true, nil }

var errRefused = errors.New("connection refused")

func refused() (int, http.Header, bool, error) { return 0, nil, false, errRefused }

// world is a log in memory with a webhook that several processes run.
type world struct {
	t          testing.TB
	log        *memory.Log
	codec      *wireformat.Codec
	groups     *memgroup.Groups
	attempts   *memory.WebhookAttempts
	definition groups.Definition
	keys       webhook.Keyring
	secret     webhook.Secret
	paused     chan string
	runners    []*webhook.Runner
	endpoints  []*webhook.Endpoint

	mu      sync.Mutex
	respond respond
	posts   []post           // all requests
	taken   map[string][]int // seqs by chat, as the endpoint took them
	sent    int
	heads   map[string]int
}

func newWorld(t testing.TB, change func(d *groups.Definition)) *world {
	t.Helper()
	w := &world{t: t, codec: wireformat.New(), taken: make(map[string][]int), heads: make(map[string]int), paused: make(chan string, 10)}
	w.respond = func(context.Context, post) (int, http.Header, bool, error) { return status(200) }
	w.log = memory.New(w.codec, clock{}, nil)
	w.groups = memgroup.New(memgroup.Config{Log: w.log, Codec: w.codec, Clock: clock{}, Partitions: 4})
	w.attempts = memory.NewWebhookAttempts(clock{})
	keys, err := webhook.NewKeyring(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	w.keys, w.secret = keys, webhook.NewSecret()
	sealed, err := keys.Seal("hook", w.secret)
	if err != nil {
		t.Fatal(err)
	}
	w.definition = groups.Definition{
		Group: "hook", Kind: groups.KindWebhook, Start: groups.Start{Beginning: true}, Webhook: &groups.Webhook{URL: "https://hooks.test/in", Secrets: []groups.SealedSecret{sealed}},
		Retry: groups.Retry{Attempts: 22, First: 5 * time.Second, Max: 2 * time.Hour}, Concurrency: 8,
	}
	if change != nil {
		change(&w.definition)
	}
	return w
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, change func(d *groups.Definition), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change)
		test(w)
		w.stop()
	})
}

// run starts a process that runs the webhook.
func (w *world) run() *webhook.Endpoint {
	w.t.Helper()
	member := len(w.runners)
	guard, err := webhook.NewGuard(nil, false)
	if err != nil {
		w.t.Fatal(err)
	}
	r := webhook.NewRunner(webhook.Config{
		Guard: guard, Keys: w.keys, Codec: w.codec, Attempts: w.attempts, Logger: slog.New(slog.DiscardHandler),
		Pause: func(_ context.Context, _ groups.Definition, reason string) error {
			w.paused <- reason
			return nil
		},
		Transport: func(int) http.RoundTripper { return &transport{w, member} },
	})
	running, err := r.Run(w.t.Context(), w.definition, w.join)
	if err != nil {
		w.t.Fatal(err)
	}
	e := running.(*webhook.Endpoint)
	w.runners, w.endpoints = append(w.runners, r), append(w.endpoints, e)
	return e
}

func (w *world) stop() {
	for _, e := range w.endpoints {
		if err := e.Stop(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	}
}

// member is a membership.
type member struct{ *group.Member }

func (m member) Leave(context.Context) error {
	m.Stop()
	<-m.Done()
	return nil
}

func (w *world) join(ctx context.Context, c group.Config, h group.Handler) (group.Membership, error) {
	c.Store, c.Partitions, c.LogID, c.Backlog, c.Codec = w.groups.Store(c.Group), w.groups.Partitions(), w.log.ID(), w.groups.Backlog(), w.codec
	c.Logger, c.Counters = slog.New(slog.DiscardHandler), &group.Counters{}
	m, err := group.Join(ctx, c, h)
	if err != nil {
		return nil, err
	}
	go m.Run(w.t.Context()) //nolint:contextcheck // ctx bounds the joining alone
	return member{m}, nil
}

// transport is the connection of a process to the endpoint.
type transport struct {
	w      *world
	member int
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	p := post{at: time.Now(), event: r.Header.Get("webhook-id"), chat: r.Header.Get("chatcore-chat"), member: t.member}
	p.seq, _ = strconv.Atoi(r.Header.Get("chatcore-seq"))
	p.attempt, _ = strconv.Atoi(r.Header.Get("chatcore-attempt"))
	p.epoch, _ = strconv.Atoi(r.Header.Get("chatcore-epoch"))
	w := t.w
	w.mu.Lock()
	w.posts = append(w.posts, p)
	respond := w.respond
	w.mu.Unlock()
	code, header, connected, err := respond(r.Context(), p)
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && connected {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if err != nil {
		return nil, err
	}
	if code/100 == 2 {
		w.take(p, body)
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(bytes.NewReader([]byte("answer"))), Request: r}, nil
}

func (w *world) take(p post, body []byte) {
	var e struct {
		Type string `json:"type"`
		Data struct {
			EventID string `json:"eventId"`
			Seq     int    `json:"seq"`
			ChatID  string `json:"chatId"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Data.EventID != p.event || e.Data.Seq != p.seq || e.Data.ChatID != p.chat || e.Type != "message:new" && e.Type != "webhook:test" {
		w.t.Errorf("the body %s is not of %+v: %v", body, p, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken[p.chat] = append(w.taken[p.chat], p.seq)
}

func (w *world) answer(r respond) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.respond = r
}

// send appends a message to a chat.
func (w *world) send(chat string) {
	w.t.Helper()
	w.sent++
	w.heads[chat]++
	e := domain.MessageNew{Chat: domain.ChatID(chat), Message: domain.MessageID(fmt.Sprint("m", w.sent)), Sender: "ada", Content: "hello", At: domain.Instant(time.Now())}
	a := ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", w.sent)), Event: e, Moves: domain.Moves(e)}}}
	if _, err := w.log.Append(w.t.Context(), a); err != nil {
		w.t.Error(err)
	}
}

// within lets time pass until holds returns true.
func (w *world) within(most time.Duration, what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(most); ; time.Sleep(time.Second) {
		synctest.Wait()
		if holds() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("after %v: not %s; state %+v", most, what, w.endpoints[0].Status())
		}
	}
}

// all reports whether the endpoint took every event.
func (w *world) all() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for chat, head := range w.heads {
		if len(w.taken[chat]) == 0 || slices.Max(w.taken[chat]) < head {
			return false
		}
	}
	return true
}

// checkOrder checks that the endpoint took every event of each chat, in order and once.
func (w *world) checkOrder() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for chat, head := range w.heads {
		seqs := w.taken[chat]
		for i := range max(head, len(seqs)) {
			if i >= len(seqs) || seqs[i] != i+1 {
				w.t.Errorf("chat %s: took %v, want 1 to %d", chat, seqs, head)
				break
			}
		}
	}
}

// letters returns the dead letters of the group.
func (w *world) letters() (all []groups.DeadLetter) {
	w.t.Helper()
	for l, err := range w.groups.DeadLettersAfter(w.t.Context(), "hook", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// lettersAfter waits until the last outcomes are committed, which may be after the next events of their chats were sent, and returns the dead letters. It fails
// unless there are n.
func (w *world) lettersAfter(n int) []groups.DeadLetter {
	w.t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	letters := w.letters()
	if len(letters) != n {
		w.t.Fatalf("there are %d dead letters, want %d", len(letters), n)
	}
	return letters
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.posts)
}
