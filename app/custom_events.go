package app

import (
	"context"
	"fmt"
	"strconv"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// Record records a custom event, by a member of a chat that is not archived. A condition that does not hold is [ports.ErrConflict]. The seq it gives
// is the entity's version from then on.
func (c *Chats) Record(ctx context.Context, cmd domain.Record) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), checkConditions(cmd.Conditions)); err != nil {
		return Done{}, err
	}
	if cmd.Entity != "" {
		if _, err := domain.ParseCustomID(string(cmd.Entity)); err != nil {
			return Done{}, err
		}
	}
	if cmd.Event == nil {
		return Done{}, &domain.InvalidError{Field: "event", Problem: "is nil", Allowed: "an event of a definition"}
	}
	event, err := cmd.Event.Custom()
	if err != nil {
		return Done{}, err
	}
	event.Entity = cmd.Entity
	if cmd.Command == "" && cmd.Entity == "" {
		// Every event moves something: by that it is found again after a lost reply.
		cmd.Command = domain.CommandID(c.ids.NewID())
	}
	return c.run(ctx, command{
		name: "record", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants:      want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		conditions: cmd.Conditions,
		limits:     c.limitsOf(cmd.Actor, cmd.Chat, LimitRecord),
		gate:       GateQuestion{Kind: GateRecord, Actor: cmd.Actor, Chat: cmd.Chat},
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Record(s.member(cmd.Actor), event, c.now())
		},
		args: arguments{string(event.Type), strconv.Itoa(event.Version), string(event.Entity), event.Data},
	})
}

func checkConditions(conditions []domain.Condition) error {
	for _, c := range conditions {
		_, err := domain.ParseCustomID(c.Entity.ID)
		if known := c.Entity.Kind >= domain.KindChat && c.Entity.Kind <= domain.Kinds; !known || err != nil && c.Entity != domain.ChatEntity() {
			return &domain.InvalidError{Field: "conditions", Problem: fmt.Sprintf("names %q", c.Entity.String()), Allowed: "entities with a valid id"}
		}
	}
	return nil
}

// CustomView is a custom entity: its version, and its events.
type CustomView struct {
	Version domain.Seq     // for a condition; 0 if there is nothing of that id
	Events  []ports.Record // oldest first
}

// Custom gives all events of a custom entity, which may have none.
func (q *Queries) Custom(ctx context.Context, chat domain.ChatID, id domain.CustomID) (CustomView, error) {
	if _, err := domain.ParseCustomID(string(id)); err != nil {
		return CustomView{}, err
	}
	if err := checkChat(chat); err != nil {
		return CustomView{}, err
	}
	entities := []entity.Versioned{{Entity: domain.CustomEntity(id)}}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return CustomView{}, err
	}
	return CustomView{Version: entities[0].Version, Events: entities[0].Records}, nil
}

// CustomPage returns a page of the events of a custom entity, newest first. Its cost follows the page.
func (q *Queries) CustomPage(ctx context.Context, chat domain.ChatID, id domain.CustomID, page domain.Page) (List[ports.Record], error) {
	page, err := checkPage(page)
	if _, invalid := domain.ParseCustomID(string(id)); invalid != nil {
		return List[ports.Record]{}, invalid
	}
	if err := firstError(checkChat(chat), err); err != nil {
		return List[ports.Record]{}, err
	}
	want := ports.LoadRequest{Entity: domain.CustomEntity(id), Until: q.until, Last: page.Limit}
	if page.Cursor != "" {
		n, err := strconv.ParseUint(page.Cursor, 10, 64)
		if err != nil || n == 0 {
			return List[ports.Record]{}, badCursor(page.Cursor)
		}
		want.From = domain.Seq(n)
		if err := q.checkCustomCursor(ctx, chat, id, want.From); err != nil {
			return List[ports.Record]{}, err
		}
	}
	loaded, err := q.log.Load(ctx, chat, want)
	if err == nil {
		err = entity.Found(chat, loaded.Head)
	}
	if err != nil {
		return List[ports.Record]{}, err
	}
	h := loaded.Entities[0]
	list := List[ports.Record]{}
	for i := len(h.Events) - 1; i >= 0; i-- {
		list.Items = append(list.Items, h.Events[i])
	}
	if h.Older > 0 {
		list.Next = strconv.FormatUint(uint64(h.Older), 10)
	}
	return list, nil
}

// checkCustomCursor returns an error unless the event of a seq is about the custom entity: a cursor may come from outside.
func (q *Queries) checkCustomCursor(ctx context.Context, chat domain.ChatID, id domain.CustomID, seq domain.Seq) error {
	page, err := q.read(ctx, chat, ports.Range{From: seq, Limit: 1})
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		if e, ok := r.Event.(domain.Custom); ok && e.Entity == id {
			return nil
		}
	}
	return badCursor(strconv.FormatUint(uint64(seq), 10))
}
