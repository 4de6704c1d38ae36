package chatcore_test

import (
	"errors"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestARepetitionIsAsConfirmedAsTheFirst gives commands again that no replica has confirmed: while none has, neither are those.
func TestARepetitionIsAsConfirmedAsTheFirst(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	patient, impatient := time.Minute, 100*time.Millisecond
	open := func(timeout time.Duration) *chatcore.Core {
		return opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: cluster.URL(), Durability: chatcore.Durability{Replicas: 1, Timeout: timeout}}}))
	}
	core, ctx := open(patient), t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}}))
	before := must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "before", Content: "x"}))
	commands := map[string]func() (domain.Seq, error){
		"send": func() (domain.Seq, error) {
			sent, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"})
			return sent.Seq, err
		},
		"edit": func() (domain.Seq, error) { // nothing to record the second time
			done, err := core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "before", Content: "y"})
			return done.Seq, err
		},
		"rename": func() (domain.Seq, error) {
			done, err := core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "t", Command: "k"})
			return done.Seq, err
		},
		"read": func() (domain.Seq, error) {
			done, err := core.Chats.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "bob", Seq: before.Seq, AwaitRecorded: true})
			return done.Seq, err
		},
	}
	for _, replicas := range cluster.Replicas {
		replicas[0].Freeze()
	}
	waits := core
	core = open(impatient) // no replica will confirm anything
	appended := make(map[string]domain.Seq)
	for name, give := range commands {
		for range 2 {
			_, err := give()
			var unconfirmed *ports.UnconfirmedError
			if !errors.As(err, &unconfirmed) {
				t.Errorf("%s without a replica: %v", name, err)
				continue
			}
			if at := unconfirmed.Appended.Last; at > 0 {
				appended[name] = at
			}
		}
	}
	for _, replicas := range cluster.Replicas {
		replicas[0].Thaw()
	}
	cluster.Settle(t)
	core = waits
	for name, give := range commands {
		if seq, err := give(); err != nil || seq != 0 && seq != appended[name] {
			t.Errorf("%s with a replica: seq %d, was %d; error %v", name, seq, appended[name], err)
		}
	}
}
