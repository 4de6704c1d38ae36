package domain_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// plain is a chat in the simplest form, as the model that the folded state is compared with.
type plain struct {
	title    domain.Title
	archived bool
	roles    map[domain.UserID]domain.Role
	messages map[domain.MessageID]*note
	read     map[domain.UserID]domain.Seq
}

type note struct {
	seq       domain.Seq
	by        domain.UserID
	text      domain.Content
	revisions int
	deleted   bool
	liked     map[domain.UserID]bool
}

func (p *plain) owners() (n int) {
	for _, role := range p.roles {
		if role == domain.RoleOwner {
			n++
		}
	}
	return n
}

// TestRandomCommandsAgreeWithAPlainModel gives random commands to the rules and to the model, and compares their results.
func TestRandomCommandsAgreeWithAPlainModel(t *testing.T) {
	users := []domain.UserID{"own", "adm", "ann", "bob", "eve"}
	ids := []domain.MessageID{"m1", "m2", "m3"}
	rapid.Check(t, func(t *rapid.T) {
		w := given(usual()...)
		p := &plain{
			title: "Garden", messages: map[domain.MessageID]*note{}, read: map[domain.UserID]domain.Seq{},
			roles: map[domain.UserID]domain.Role{"own": domain.RoleOwner, "adm": domain.RoleAdmin, "ann": domain.RoleMember, "bob": domain.RoleMember},
		}
		user, message := rapid.SampledFrom(users), rapid.SampledFrom(ids)
		// decided applies the decided events and compares their acceptance with the model's.
		decided := func(what string, events []domain.Durable, err error, changes bool, refusal error) bool {
			if !errors.Is(err, refusal) || (err == nil) != (refusal == nil) {
				t.Fatalf("%s: %v, the model says %v", what, err, refusal)
			}
			if (len(events) > 0) != (changes && refusal == nil) {
				t.Fatalf("%s: %d events, the model says %v", what, len(events), changes)
			}
			for _, e := range events {
				w.apply(e)
			}
			return len(events) > 0
		}
		needs := func(by domain.UserID, role domain.Role) error {
			switch {
			case p.roles[by] == domain.NoRole:
				return domain.ErrNotMember
			case p.roles[by] < role:
				return domain.ErrForbidden
			}
			return nil
		}
		first := func(errs ...error) error {
			for _, err := range errs {
				if err != nil {
					return err
				}
			}
			return nil
		}
		when := func(no bool, err error) error {
			if no {
				return err
			}
			return nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"rename": func(*rapid.T) {
				by, title := user.Draw(t, "by"), rapid.SampledFrom([]domain.Title{"Garden", "Allotment"}).Draw(t, "title")
				events, err := w.chat.Rename(w.member(by), title, noon)
				if decided("rename", events, err, title != p.title, first(needs(by, domain.RoleAdmin), when(p.archived, domain.ErrArchived))) {
					p.title = title
				}
			},
			"archive or not": func(*rapid.T) {
				by, on := user.Draw(t, "by"), rapid.Bool().Draw(t, "archive")
				decide := w.chat.Unarchive
				if on {
					decide = w.chat.Archive
				}
				events, err := decide(w.member(by), noon)
				if decided("archive", events, err, on != p.archived, needs(by, domain.RoleOwner)) {
					p.archived = on
				}
			},
			"add": func(*rapid.T) {
				by, who := user.Draw(t, "by"), user.Draw(t, "who")
				events, err := w.chat.Add(w.member(by), w.member(who), who, noon)
				refusal := first(needs(by, domain.RoleAdmin), when(p.archived, domain.ErrArchived))
				if decided("add", events, err, p.roles[who] == domain.NoRole, refusal) {
					p.roles[who] = domain.RoleMember
				}
			},
			"remove": func(*rapid.T) {
				by, who := user.Draw(t, "by"), user.Draw(t, "who")
				needed := domain.RoleAdmin
				if p.roles[who] >= domain.RoleAdmin {
					needed = domain.RoleOwner
				}
				if by == who {
					needed = domain.RoleMember
				}
				last := p.roles[who] == domain.RoleOwner && p.owners() == 1
				events, err := w.chat.Remove(w.member(by), w.member(who), noon)
				if decided("remove", events, err, p.roles[who] != domain.NoRole, first(needs(by, needed), when(last, domain.ErrLastOwner))) {
					delete(p.roles, who)
				}
			},
			"promote": func(*rapid.T) {
				by, who := user.Draw(t, "by"), user.Draw(t, "who")
				role := rapid.SampledFrom([]domain.Role{domain.RoleAdmin, domain.RoleOwner}).Draw(t, "role")
				events, err := w.chat.Promote(w.member(by), w.member(who), role, noon)
				refusal := first(needs(by, domain.RoleOwner), when(p.roles[who] == domain.NoRole, domain.ErrNotMember), when(role < p.roles[who], domain.ErrInvalid))
				if decided("promote", events, err, role != p.roles[who], refusal) {
					p.roles[who] = role
				}
			},
			"demote": func(*rapid.T) {
				by, who := user.Draw(t, "by"), user.Draw(t, "who")
				role := rapid.SampledFrom([]domain.Role{domain.RoleMember, domain.RoleAdmin}).Draw(t, "role")
				last := p.roles[who] == domain.RoleOwner && p.owners() == 1
				refusal := first(needs(by, domain.RoleOwner), when(p.roles[who] == domain.NoRole, domain.ErrNotMember),
					when(role > p.roles[who], domain.ErrInvalid), when(last, domain.ErrLastOwner))
				events, err := w.chat.Demote(w.member(by), w.member(who), role, noon)
				if decided("demote", events, err, role != p.roles[who], refusal) {
					p.roles[who] = role
				}
			},
			"send": func(*rapid.T) {
				by, id := user.Draw(t, "by"), message.Draw(t, "message")
				there := p.messages[id]
				events, err := w.chat.Post(w.member(by), w.message(id), domain.Draft{ID: id, Content: "hi"}, domain.Referred{}, noon)
				var refusal error
				if there == nil || there.by != by {
					refusal = first(needs(by, domain.RoleMember), when(there != nil, domain.ErrMessageExists), when(p.archived, domain.ErrArchived))
				}
				if decided("send", events, err, there == nil, refusal) {
					p.messages[id] = &note{seq: w.head, by: by, text: "hi", liked: map[domain.UserID]bool{}}
					p.read[by] = w.head
				}
			},
			"edit": func(*rapid.T) {
				by, id := user.Draw(t, "by"), message.Draw(t, "message")
				text := rapid.SampledFrom([]domain.Content{"hi", "ho"}).Draw(t, "text")
				n := p.messages[id]
				refusal := first(needs(by, domain.RoleMember), when(n == nil, domain.ErrMessageNotFound))
				if refusal == nil {
					refusal = first(when(n.by != by, domain.ErrNotAuthor), when(n.deleted, domain.ErrMessageDeleted))
				}
				events, err := w.message(id).Edit(w.member(by), domain.Revision{Content: text}, domain.Referred{}, 0, noon)
				if decided("edit", events, err, n != nil && n.text != text, refusal) {
					n.text = text
					n.revisions++
				}
			},
			"delete": func(*rapid.T) {
				by, id := user.Draw(t, "by"), message.Draw(t, "message")
				n := p.messages[id]
				refusal := first(needs(by, domain.RoleMember), when(n == nil, domain.ErrMessageNotFound))
				if refusal == nil {
					refusal = when(n.by != by && p.roles[by] < domain.RoleAdmin, domain.ErrForbidden)
				}
				events, err := w.message(id).Delete(w.member(by), "", noon)
				if decided("delete", events, err, n != nil && !n.deleted, refusal) {
					n.deleted, n.text = true, ""
				}
			},
			"react or not": func(*rapid.T) {
				by, id, on := user.Draw(t, "by"), message.Draw(t, "message"), rapid.Bool().Draw(t, "add")
				n := p.messages[id]
				refusal := first(needs(by, domain.RoleMember), when(n == nil, domain.ErrMessageNotFound))
				decide, changes := w.chat.Unreact, n != nil && !n.deleted && n.liked[by]
				if on {
					decide, changes = w.chat.React, n != nil && !n.liked[by]
					if refusal == nil {
						refusal = first(when(p.archived, domain.ErrArchived), when(n.deleted, domain.ErrMessageDeleted))
					}
				}
				events, err := decide(w.member(by), w.message(id), w.reacted(id), "👍", noon)
				if decided("react", events, err, changes, refusal) {
					n.liked[by] = on
				}
			},
			"read": func(*rapid.T) {
				by, id := user.Draw(t, "by"), message.Draw(t, "message")
				n := p.messages[id]
				refusal := first(needs(by, domain.RoleMember), when(n == nil, domain.ErrMessageNotFound))
				mark := w.mark(by)
				mark.ReceiptAt = noon.AddDate(-1, 0, 0) // coalescing has tests of its own
				events, err := mark.Advance(w.member(by), w.message(id), w.head, 0, noon)
				if decided("read", events, err, n != nil && n.seq > p.read[by], refusal) {
					p.read[by] = n.seq
				}
			},
			"": func(*rapid.T) {
				if p.owners() == 0 || len(w.chat.Owners) != p.owners() {
					t.Fatalf("owners %v, in the model %d", w.chat.Owners, p.owners())
				}
				if w.chat.Title != p.title || w.chat.Archived != p.archived {
					t.Fatalf("chat %+v, in the model %+v", w.chat, p)
				}
				for _, u := range users {
					if w.member(u).Role != p.roles[u] || w.mark(u).Seq != p.read[u] {
						t.Fatalf("%s is %s and has read %d, in the model %s and %d", u, w.member(u).Role, w.mark(u).Seq, p.roles[u], p.read[u])
					}
				}
				for id, n := range p.messages {
					m := w.message(id)
					if m.Seq != n.seq || m.Sender != n.by || m.Content != n.text || m.Revision != n.revisions || m.Deleted() != n.deleted {
						t.Fatalf("message %+v, in the model %+v", m, n)
					}
					for _, u := range users {
						if w.reacted(id).Has(u, "👍") != n.liked[u] {
							t.Fatalf("reaction of %s to %s: in the model %v", u, id, n.liked[u])
						}
					}
				}
			},
		})
	})
}
