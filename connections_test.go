package chatcore_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestACoreOverTLS sends, delivers and hears live over encrypted connections: every client of the core has the certificate.
func TestACoreOverTLS(t *testing.T) {
	_, url, files := redistest.StartTLS(t)
	testEverythingConnects(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: url, TLS: trusting(t, files)}})
}

// TestACoreByTheNameThatSentinelsKnow finds its master by three Sentinels, which have other credentials than it.
func TestACoreByTheNameThatSentinelsKnow(t *testing.T) {
	testEverythingConnects(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.StartSentinels(t, "data-secret").URL()}})
}

func trusting(t *testing.T, files redistest.Certificates) *tls.Config {
	t.Helper()
	pem := must[[]byte](t)(os.ReadFile(files.CA))
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		t.Fatal("the authority is no PEM")
	}
	config.Certificates = []tls.Certificate{must[tls.Certificate](t)(tls.LoadX509KeyPair(files.Cert, files.Key))}
	return config
}

// testEverythingConnects has each of a core's clients do something: commands, blocking reads, pub/sub, and the cache's.
func testEverythingConnects(t *testing.T, config chatcore.Config) {
	ctx := t.Context()
	core := opened(t)(chatcore.New(ctx, quick(config)))
	delivered, heard := make(chan domain.Content, 16), make(chan domain.UserID, 16)
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	if err := core.Subscribe("push", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		delivered <- d.Event.Content
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.UserStatus]) { heard <- l.Event.User })); err != nil {
		t.Fatal(err)
	}
	defer run(core)()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	sent := must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "hello"}))
	if err := core.Presence.Heartbeat(ctx, "ada", "phone", ""); err != nil {
		t.Error(err)
	}
	for range 2 {
		select {
		case content := <-delivered:
			if content != "hello" {
				t.Errorf("delivered %q", content)
			}
		case user := <-heard:
			if user != "ada" {
				t.Errorf("heard of %q", user)
			}
		case <-time.After(wait.Limit):
			t.Fatal("it is not delivered, or not heard of")
		}
	}
	if m := must[app.MessageView](t)(core.Queries.Message(ctx, "c", sent.MessageID)); m.Content != "hello" {
		t.Errorf("read %+v", m)
	}
	session := must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	must[domain.Session](t)(core.Sessions.Get(ctx, session.Token))
}
