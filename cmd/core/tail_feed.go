package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"chatcore"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

const (
	// maxInt is a bound that no chat reaches in practice.
	maxInt = math.MaxInt32
	// noID stands for the id of a typing or status event of a feed, which has none.
	noID = "none"
)

// request returns the feed that the options ask for.
func (o tailOptions) request(fromGiven bool) (feed.Request, error) {
	switch {
	case fromGiven && o.chat == "":
		return feed.Request{}, usageErrorf("--from needs --chat")
	case fromGiven && (o.from == 0 || o.from > math.MaxUint32):
		return feed.Request{}, &domain.InvalidError{Field: "from", Problem: fmt.Sprintf("is %d", o.from), Allowed: "a seq from 1"}
	case o.user != "":
		return feed.Request{User: domain.UserID(o.user), AllChats: true}, nil
	case fromGiven:
		return feed.Request{Chats: []feed.Position{{Chat: domain.ChatID(o.chat), Seq: domain.Seq(o.from) - 1}}}, nil
	}
	return feed.Request{Chats: []feed.Position{{Chat: domain.ChatID(o.chat), Head: true}}}, nil
}

// tailFeed shows a feed until ctx ends. A feed that ends because the output is not read fast enough is resumed.
func (c *cli) tailFeed(ctx context.Context, core *chatcore.Core, r feed.Request) error {
	for {
		f, err := openFeed(ctx, core, r)
		if err != nil {
			return err
		}
		err = c.printFeed(ctx, f)
		f.Close()
		if !errors.Is(err, feed.ErrSlow) {
			return err
		}
		r = resumed(f, r)
	}
}

// resumed returns the request of a feed that goes on where f has ended.
func resumed(f *feed.Feed, r feed.Request) feed.Request {
	r.LogID, r.Resume, r.Chats = f.LogID(), r.AllChats, nil
	for chat, seq := range f.Positions() {
		r.Chats = append(r.Chats, feed.Position{Chat: chat, Seq: seq})
	}
	return r
}

// openFeed opens a feed as soon as Redis answers.
func openFeed(ctx context.Context, core *chatcore.Core, r feed.Request) (*feed.Feed, error) {
	pauses := backoff.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second, Jitter: true}
	for attempt := 1; ; attempt++ {
		f, err := core.Feeds.Open(ctx, r)
		if !errors.Is(err, ports.ErrUnavailable) {
			return f, err
		}
		if err := pauses.Wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// printFeed prints the events of a feed, and on standard error what else the reader has to know.
func (c *cli) printFeed(ctx context.Context, f *feed.Feed) error {
	for {
		m, err := f.Next(ctx)
		if err == nil {
			err = c.printMessage(m)
		}
		if err != nil {
			return err
		}
	}
}

func (c *cli) printMessage(m feed.Message) error {
	switch m.Kind {
	case feed.KindEvent:
		r := m.Event.Record
		return c.printLive(r.ID, r.Seq, r.Ordinal, r.Event, r.Meta)
	case feed.KindEphemeral:
		return c.printLive(noID, 0, 0, m.Ephemeral.Event, m.Ephemeral.Meta)
	case feed.KindSkipped:
		if !m.Private {
			c.note("events %d to %d of chat %s are skipped", m.From, m.To, m.Chat)
		}
	case feed.KindChatJoined:
		c.note("following chat %s from seq %d on", m.Chat, m.To+1)
	case feed.KindChatLeft:
		c.note("the user is no member of chat %s any more, since seq %d", m.Chat, m.To)
	case feed.KindResync:
		if m.Chat == "" {
			c.note("the log is another one now")
			break
		}
		c.note("the log has lost events of chat %s; going on after seq %d", m.Chat, m.To)
	case feed.KindCaughtUp:
		if m.To == 0 {
			c.note("chat %s has no events yet", m.Chat)
		}
	case feed.KindHeartbeat:
	}
	return nil
}

func (c *cli) note(format string, args ...any) {
	fmt.Fprintf(c.errs, "core: "+format+"\n", args...)
}
