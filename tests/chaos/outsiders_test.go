package chaos

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/adapters/wireformat"
	"chatcore/consume"
	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/wait"
)

// Groups whose handlers are in other programs. The workers run them and serve the API.
const (
	pulling = "pull" // its consumers are connected to workers
	posting = "hook" // workers post its events to a receiver
)

// role is the part of a process.
type role string

const (
	instance role = ""         // runs the groups and serves the API
	consumer role = "consumer" // of the group pull
	receiver role = "receiver" // of the requests of the webhook hook
)

// initial begins the names of the processes of a role.
func (r role) initial() string { return cmp.Or(string(r), "worker")[:1] }

const (
	outsiderLease = 2 * time.Second // of a delivery to a consumer, and the timeout of a request
	credit        = 16
)

// freeAddress returns an address of this machine that nothing uses.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// webhooks allows the receivers of this machine, and has one key in all processes.
func webhooks() chatcore.WebhooksConfig {
	return chatcore.WebhooksConfig{Keys: []chatcore.WebhookKey{make([]byte, 32)}, Allow: []string{"127.0.0.1"}, AllowHTTP: true}
}

// outsiders defines the groups, and returns the configurations of two consumers and a receiver.
func (r *run) outsiders(common workerConfig, instances []workerConfig) []workerConfig {
	r.t.Helper()
	common.Listen = freeAddress(r.t)
	for _, i := range instances {
		common.Instances = append(common.Instances, "http://"+i.Listen)
	}
	// The default pauses of a webhook begin with 5 seconds: its chats, which all have failures, would catch up for longer than the run took.
	d := groups.Definition{
		Group: pulling, Kind: groups.KindPull, Start: groups.Start{Beginning: true}, Retry: groups.Retry{First: 20 * time.Millisecond, Max: 500 * time.Millisecond},
	}
	r.operator.untilDone("define a pull group", func(ctx context.Context) error {
		_, err := r.operator.core.Definitions().Create(ctx, d)
		return err
	})
	d.Group, d.Kind, d.Webhook = posting, groups.KindWebhook, &groups.Webhook{URL: "http://" + common.Listen + "/events", Timeout: outsiderLease}
	r.operator.untilDone("define a webhook", func(ctx context.Context) error {
		_, secret, err := r.operator.core.Webhooks().Create(ctx, d)
		if err == nil {
			common.Secret = secret.Text()
		}
		return err
	})
	as := func(part role) workerConfig {
		c := common
		c.Role = part
		return c
	}
	return []workerConfig{as(consumer), as(consumer), as(receiver)}
}

// answer serves the API of a worker until ctx ends.
func (w *worker) answer(ctx context.Context, core *chatcore.Core, logger *slog.Logger) error {
	api, err := connect.New(core, connect.Config{Logger: logger})
	if err != nil {
		return err
	}
	authenticator, err := auth.New(auth.Config{Local: true, Sessions: core.Sessions, OnError: connect.OnAuthError(logger)})
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Handler: authenticator.Middleware(api), Probes: server.NewProbes(core.Ready, logger), Logger: logger, StopTimeout: 10 * time.Second, BeginsStream: connect.BeginsStream,
	})
	if err != nil {
		return err
	}
	var l net.Listener
	for { // the one before on this post may not be gone yet
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", w.config.Listen); err == nil || ctx.Err() != nil {
			break
		}
		_ = pause(ctx, 50*time.Millisecond)
	}
	if err != nil {
		return nil //nolint:nilerr // it was told to stop before it could begin
	}
	if err := s.Serve(ctx, l); !errors.Is(err, server.ErrCut) {
		return err
	}
	return nil
}

// consume handles the events of the group pull until ctx ends.
func (w *worker) consume(ctx context.Context, logger *slog.Logger) error {
	fmt.Println(running)
	for ctx.Err() == nil {
		err := consume.Run(ctx, consume.Config{
			URLs: w.config.Instances, Group: pulling, Credit: credit, Lease: outsiderLease, Name: w.config.Name, Logger: logger, Drain: 10 * time.Second,
		}, w.pulled)
		if err != nil { // the definition is away while older data is restored
			logger.Warn("consumer ended, beginning again", "error", err)
			_ = pause(ctx, 200*time.Millisecond)
		}
	}
	return nil
}

// pulled is the handler of the group pull.
func (w *worker) pulled(ctx context.Context, d consume.Delivery) error {
	given := Delivery{
		Place: Place{Chat: domain.ChatID(d.Event.GetChatId()), Seq: domain.Seq(d.Event.GetSeq()), Event: domain.EventID(d.Event.GetId())},
		Group: pulling, Log: d.LogID, Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Worker: w.config.Name, Entered: time.Now(),
	}
	err := w.take(ctx, given)
	if chatcore.IsTransient(err) {
		return consume.NotNow(100*time.Millisecond, err)
	}
	return err
}

// receive answers the requests of the webhook hook until ctx ends.
func (w *worker) receive(ctx context.Context, logger *slog.Logger) error {
	var l net.Listener
	for { // the one before on this post may not be gone yet
		var err error
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", w.config.Listen); err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		_ = pause(ctx, 50*time.Millisecond)
	}
	s := http.Server{Handler: http.HandlerFunc(w.posted), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	fmt.Println(running)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait.Limit)
	defer cancel()
	return s.Shutdown(stop)
}

// posted is the handler of the group hook.
func (w *worker) posted(out http.ResponseWriter, in *http.Request) {
	given, err := w.deliveryOf(in)
	if err != nil { // nothing but a fault of the sender: the event becomes a dead letter, which the checker finds
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	err = w.take(in.Context(), given)
	switch {
	case chatcore.IsTransient(err):
		out.Header().Set("Retry-After", "1")
		http.Error(out, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(out, err.Error(), http.StatusInternalServerError)
	default:
		w.acknowledge(out, given)
	}
}

// acknowledge answers a request whose event has its effect, sometimes as an endpoint does that is in trouble: the event then comes again.
func (w *worker) acknowledge(out http.ResponseWriter, given Delivery) {
	const one = 1000 // trouble of each kind in so many first attempts
	trouble := one
	if given.Attempt == 1 {
		trouble = rand.IntN(one) //nolint:gosec // dice
	}
	switch {
	case trouble < 20:
		http.Error(out, "after the effect", http.StatusInternalServerError)
	case trouble < 40: // the connection closes in the middle of an answer
		out.Header().Set("Content-Length", "100")
		if trouble%2 == 0 {
			out.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(out, "half")
		}
		panic(http.ErrAbortHandler)
	case trouble < 44: // too late
		time.Sleep(outsiderLease + outsiderLease/4)
	}
	out.WriteHeader(http.StatusNoContent)
}

// deliveryOf reads and verifies a request.
func (w *worker) deliveryOf(in *http.Request) (given Delivery, err error) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return given, err
	}
	if err := w.verify(in.Header, body); err != nil {
		return given, err
	}
	var envelope struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return given, err
	}
	event, err := wireformat.New().Decode(envelope.Data)
	if err != nil {
		return given, err
	}
	number := func(name string) uint64 {
		n, wrong := strconv.ParseUint(in.Header.Get(name), 10, 64)
		err = errors.Join(err, wrong)
		return n
	}
	given = Delivery{
		Place: Place{Chat: event.Event.ChatID(), Seq: event.Seq, Event: event.ID}, Group: posting, Content: digest(event.Event), Log: in.Header.Get("chatcore-log"),
		Attempt: int(number("chatcore-attempt")), Epoch: number("chatcore-epoch"), Worker: w.config.Name, Entered: time.Now(), //nolint:gosec // a small number
	}
	if seq := number("chatcore-seq"); seq != uint64(event.Seq) || in.Header.Get("webhook-id") != string(event.ID) || envelope.Type != wireformat.Type(event.Event) {
		err = errors.Join(err, fmt.Errorf("the headers are not those of %s", given.Place))
	}
	return given, err
}

// verify checks the signature of a request as Standard Webhooks says.
func (w *worker) verify(header http.Header, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.config.Secret, "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", header.Get("webhook-id"), header.Get("webhook-timestamp"), body)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); !strings.Contains(header.Get("webhook-signature"), want) {
		return errors.New("wrong signature")
	}
	return nil
}
