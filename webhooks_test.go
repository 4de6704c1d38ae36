package chatcore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// hookServer is an endpoint that keeps what it took.
type hookServer struct {
	*httptest.Server

	mu     sync.Mutex
	status func(message string) int
	took   map[string][]int // seqs by chat
	tried  int
}

func newHookServer(t *testing.T) *hookServer {
	t.Helper()
	h := &hookServer{took: make(map[string][]int), status: func(string) int { return http.StatusNoContent }}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		Type string
		Data struct {
			ChatID, MessageID string
			Seq               int
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &e) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried++
	status := h.status(e.Data.MessageID)
	if status/100 == 2 {
		h.took[e.Data.ChatID] = append(h.took[e.Data.ChatID], e.Data.Seq)
	}
	w.WriteHeader(status)
}

func (h *hookServer) answer(status func(message string) int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hookServer) has(chat string, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.took[chat]) >= n
}

func hookConfig(c chatcore.Config) chatcore.Config {
	c.Webhooks = chatcore.WebhooksConfig{Keys: []chatcore.WebhookKey{bytes.Repeat([]byte{1}, 32)}, Allow: []string{"127.0.0.1"}, AllowHTTP: true}
	return c
}

// TestWebhooks_EndToEnd has two processes on Redis send the events of several chats to an endpoint. One event is refused and becomes a dead letter, which a
// retry delivers. An answer 410 pauses the webhook, and a resume continues. Then the processes are replaced by another one.
func TestWebhooks_EndToEnd(t *testing.T) {
	config := hookConfig(chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Start(t).URL()}, Log: chatcore.LogConfig{Partitions: 4}})
	start := func() *chatcore.Core {
		core, err := chatcore.New(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(core.SubscribeDefined(), core.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = core.Close() })
		return core
	}
	endpoint := newHookServer(t)
	one, two := start(), start()
	if _, _, err := one.Webhooks().Create(t.Context(), groups.Definition{Group: "hook", Webhook: &groups.Webhook{URL: endpoint.URL}, Filter: groups.Filter{Types: []string{"message:new"}}}); err != nil {
		t.Fatal(err)
	}
	const chats = 6
	for c := range chats {
		if _, err := one.Chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(fmt.Sprint("c", c)), Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	send := func(core *chatcore.Core, n int, name string) {
		t.Helper()
		for i := range n {
			for c := range chats {
				m := domain.Send{Chat: domain.ChatID(fmt.Sprint("c", c)), Actor: "ada", MessageID: domain.MessageID(fmt.Sprint(name, i, "-", c)), Content: "x"}
				if _, err := core.Chats.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	arrived := func(n int) {
		t.Helper()
		for c := range chats {
			wait.Until(t, fmt.Sprintf("%d events of chat %d", n, c), func() bool { return endpoint.has(fmt.Sprint("c", c), n) })
		}
	}
	send(two, 5, "a")
	arrived(5)
	if s, err := one.Webhooks().Get(t.Context(), "hook"); err != nil || s.Paused {
		t.Errorf("%+v, %v", s, err)
	}

	endpoint.answer(func(message string) int {
		if message == "b0-0" {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	send(one, 1, "b")
	var letter chatcore.DeadLetter
	wait.Until(t, "a dead letter", func() bool {
		for d, err := range one.Groups().DeadLetters(t.Context(), "hook") {
			letter = d
			return err == nil
		}
		return false
	})
	if letter.Chat != "c0" || letter.Attempts != 1 || !strings.Contains(letter.Reason, "400") {
		t.Errorf("dead letter %+v", letter)
	}
	endpoint.answer(func(string) int { return http.StatusOK })
	if err := one.Groups().Retry(t.Context(), "hook", letter.ID); err != nil {
		t.Fatal(err)
	}
	arrived(6)

	endpoint.answer(func(string) int { return http.StatusGone })
	send(one, 1, "d")
	wait.Until(t, "the pause", func() bool {
		w, err := two.Webhooks().Get(t.Context(), "hook")
		return err == nil && w.Paused && strings.Contains(w.PauseReason, "410")
	})
	endpoint.answer(func(string) int { return http.StatusOK })
	if _, err := two.Webhooks().Resume(t.Context(), "hook"); err != nil {
		t.Fatal(err)
	}
	arrived(7)
	if err := errors.Join(one.Close(), two.Close()); err != nil {
		t.Fatal(err)
	}

	three := start()
	send(three, 3, "e")
	arrived(10)
	for c := range chats {
		seqs := endpoint.took[fmt.Sprint("c", c)]
		if c == 0 { // the retried dead letter comes out of order
			slices.Sort(seqs)
		}
		if !slices.IsSorted(seqs) || len(seqs) != 10 || len(slices.Compact(slices.Clone(seqs))) != 10 {
			t.Errorf("chat %d: took %v", c, seqs)
		}
	}
	wait.Until(t, "the attempts", func() bool {
		attempts, err := three.Webhooks().Attempts(t.Context(), "hook", false)
		failed, err2 := three.Webhooks().Attempts(t.Context(), "hook", true)
		return errors.Join(err, err2) == nil && len(attempts) >= 20 && len(failed) >= 2
	})
	if err := three.Webhooks().Delete(t.Context(), "hook"); err != nil {
		t.Fatal(err)
	}
	if _, err := three.Webhooks().Attempts(t.Context(), "hook", false); !errors.Is(err, chatcore.ErrWebhookNotFound) {
		t.Error(err)
	}
}

// TestWebhooks_RefusedAddress has an endpoint whose name resolves to an address that the configuration refuses: no request is made, no attempt is counted, and
// a finding says so. A process that has not the key of the secret does not run the webhook, and a finding says that.
func TestWebhooks_RefusedAddress(t *testing.T) {
	url := redistest.Start(t).URL()
	config := hookConfig(chatcore.Config{Redis: chatcore.RedisConfig{URL: url}, Log: chatcore.LogConfig{Partitions: 2}})
	finding := func(core *chatcore.Core, words string) {
		t.Helper()
		wait.Until(t, "a finding with "+words, func() bool {
			return slices.ContainsFunc(core.Health(t.Context()).Defined, func(d chatcore.DefinedGroup) bool { return d.Err != nil && strings.Contains(d.Err.Error(), words) })
		})
	}
	start := func(c chatcore.Config) *chatcore.Core {
		core, err := chatcore.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(core.SubscribeDefined(), core.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = core.Close() })
		return core
	}
	endpoint := newHookServer(t)
	lax := config
	lax.Webhooks.Allow = []string{"10.255.255.1", "127.0.0.0/8"}
	admin, err := chatcore.New(t.Context(), lax)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	local := strings.Replace(endpoint.URL, "127.0.0.1", "localhost", 1)
	if _, _, err := admin.Webhooks().Create(t.Context(), groups.Definition{Group: "hook", Webhook: &groups.Webhook{URL: local}}); err != nil {
		t.Fatal(err)
	}
	strict := config
	strict.Webhooks.Allow = nil
	core := start(strict)
	finding(core, "url")
	if err := core.Close(); err != nil {
		t.Fatal(err)
	}
	other := config
	other.Webhooks.Keys = []chatcore.WebhookKey{bytes.Repeat([]byte{2}, 32)}
	finding(start(other), "webhooks.keys")
	if endpoint.tried != 0 {
		t.Errorf("%d requests", endpoint.tried)
	}
}

// TestWebhookKey_IsHidden prints a configuration: no key is shown.
func TestWebhookKey_IsHidden(t *testing.T) {
	config := hookConfig(chatcore.Config{})
	if shown := fmt.Sprintf("%v %+v %#v", config, config.Webhooks, config.Webhooks.Keys[0]); strings.Contains(shown, "1 1 1 1") || strings.Contains(shown, "0x1, 0x1") {
		t.Errorf("it is shown: %s", shown)
	}
	config.Webhooks.Keys = append(config.Webhooks.Keys, make([]byte, 5))
	config.Webhooks.Allow = []string{"x y"}
	if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "Webhooks.Keys") || !strings.Contains(err.Error(), "Webhooks.Allow") {
		t.Error(err)
	}
}
