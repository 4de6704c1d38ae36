package app_test

import (
	"context"
	"errors"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// losing is a log whose next searches also find a message that the log has lost since.
type losing struct {
	*memory.Log
	lost     ports.Record
	searches int
}

func (a *losing) Search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	page, err := a.Log.Search(ctx, chat, f, r)
	if a.searches > 0 {
		a.searches--
		page.Records = append(page.Records, a.lost)
	}
	return page, err
}

// TestHistory_LogThatLosesEvents reads a page while the log loses its last message. Only a message that is missing twice makes the chat corrupt.
func TestHistory_LogThatLosesEvents(t *testing.T) {
	l, ctx := newListing(t), t.Context()
	l.did(l.chats.Create(ctx, domain.Create{Chat: "c", Actor: "ann"}))
	l.did(l.chats.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "m", Content: "x"}))
	lost := domain.MessageNew{Chat: "c", Message: "lost", Sender: "ann", Content: "y"}
	log := &losing{Log: l.log, lost: ports.Record{Seq: 3, Event: lost}}
	q := app.NewQueries(log, app.NewEntities(log, nil, 0), app.Views{})

	log.searches = 1
	views, err := q.History(ctx, "c", domain.Span{Limit: 10})
	if err != nil || len(views) != 1 || views[0].ID != "m" {
		t.Errorf("history is %+v, error %v", views, err)
	}
	log.searches = 2
	if _, err := q.History(ctx, "c", domain.Span{Limit: 10}); !errors.Is(err, ports.ErrCorrupt) {
		t.Errorf("missing twice: %v", err)
	}
}
