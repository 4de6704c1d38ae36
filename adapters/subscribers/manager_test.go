package subscribers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"chatcore/adapters/subscribers"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

func pull(name string) groups.Definition {
	return groups.Definition{Group: name, Kind: groups.KindPull}
}

// states returns the states of the groups of a process, by name.
func (p *process) states() string {
	text := ""
	for _, s := range p.manager.Statuses() {
		text += fmt.Sprintf("%s:%s ", s.Definition.Group, s.State)
	}
	return text
}

func (p *process) expect(members, states string) {
	p.w.t.Helper()
	if got := p.members(); got != members {
		p.w.t.Errorf("process %s is a member of %s, want %s", p.name, got, members)
	}
	if got := p.states(); got != states {
		p.w.t.Errorf("process %s has %s, want %s", p.name, got, states)
	}
}

// TestManager_FollowsDefinitions has two processes run the groups that a third one defines, pauses, resumes and deletes, while events flow.
func TestManager_FollowsDefinitions(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		defer a.stop()
		defer b.stop()
		w.send("c1")
		w.create(pull("g"))
		w.send("c1") // it reaches the group although no process runs it yet
		w.pass(2 * time.Second)
		a.expect("[g]", "g:running ")
		b.expect("[g]", "g:running ")
		w.pass(10 * time.Second)
		w.complete("g", "c1", 2)

		must[groups.Definition](t)(w.admin.Pause(t.Context(), "g", "why"))
		w.pass(2 * time.Second)
		a.expect("[]", "g:paused ")
		w.send("c1")
		w.pass(time.Minute)
		if got := len(w.handled("g", "c1")); got != 1 {
			t.Errorf("a paused group has handled %d events", got)
		}
		must[groups.Definition](t)(w.admin.Resume(t.Context(), "g"))
		w.pass(10 * time.Second)
		w.complete("g", "c1", 2)
		a.expect("[g]", "g:running ")

		if err := w.admin.Delete(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		w.pass(5 * time.Second)
		a.expect("[]", "")
		b.expect("[]", "")
		if exists, err := w.groups.Exists(t.Context(), "g"); exists || err != nil {
			t.Errorf("the group exists: %t, %v", exists, err)
		}
		w.send("c1")
		w.create(pull("g"))
		w.send("c1")
		w.pass(10 * time.Second)
		if got := w.handled("g", "c1"); got[len(got)-1] != 5 || len(got) != 3 {
			t.Errorf("a group that was defined anew has handled %v", got)
		}
	})
}

// TestManager_OwnChangesAtOnce changes a definition through the process that runs it: it does not wait for the next read.
func TestManager_OwnChangesAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		defer a.stop()
		w.pass(time.Millisecond)
		must[groups.Definition](t)(a.admin.Create(t.Context(), pull("g")))
		w.pass(time.Millisecond)
		a.expect("[g]", "g:running ")
		must[groups.Definition](t)(a.admin.Pause(t.Context(), "g", ""))
		w.pass(100 * time.Millisecond) // the member ends
		a.expect("[]", "g:paused ")
		if err := a.admin.Delete(t.Context(), "g"); err != nil {
			t.Error(err)
		}
		w.pass(time.Millisecond)
		a.expect("[]", "")
	})
}

// TestManager_RestartedProcess runs the groups that were defined before it began.
func TestManager_RestartedProcess(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		w.create(pull("g"))
		w.create(groups.Definition{Group: "h", Kind: groups.KindPull, Paused: true})
		w.send("c1")
		w.pass(10 * time.Second)
		a.stop()
		a.expect("[]", "g:running h:paused ")
		w.send("c1")
		b := w.start("b")
		defer b.stop()
		w.pass(10 * time.Second)
		b.expect("[g]", "g:running h:paused ")
		w.complete("g", "c1", 1)
	})
}

// TestManager_ChangesWhileEventsFlow pauses, resumes and changes a group at random, and stops and starts processes, while events flow and handlers fail at
// times: no event is lost, and the first starts of each chat are in order.
func TestManager_ChangesWhileEventsFlow(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				random := rand.New(rand.NewPCG(seed, 7))   //nolint:gosec // a test
				failures := rand.New(rand.NewPCG(seed, 8)) //nolint:gosec // a test
				fail := func(string, ports.Delivery) error {
					w.mu.Lock()
					defer w.mu.Unlock()
					if failures.IntN(9) == 0 {
						return errors.New("no luck")
					}
					return nil
				}
				begin := func(name string) *process {
					p := w.start(name)
					p.mu.Lock()
					p.fail = fail
					p.mu.Unlock()
					return p
				}
				w.create(groups.Definition{Group: "g", Kind: groups.KindPull, Retry: groups.Retry{Attempts: 1000, First: 10 * time.Millisecond, Max: time.Second}})
				processes := []*process{begin("p0"), begin("p1")}
				sending, sent := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(sent)
					for i := 0; ; i++ {
						select {
						case <-sending:
							return
						case <-time.After(20 * time.Millisecond):
							w.send(domain.ChatID(fmt.Sprint("c", i%5)))
						}
					}
				}()
				for i := range 40 {
					w.pass(time.Duration(random.IntN(3000)) * time.Millisecond)
					admin := w.admin
					if p := processes[random.IntN(2)]; random.IntN(2) == 0 {
						admin = p.admin
					}
					var err error
					switch random.IntN(5) {
					case 0:
						_, err = admin.Pause(t.Context(), "g", "")
					case 1:
						_, err = admin.Resume(t.Context(), "g")
					case 2:
						_, err = admin.Update(t.Context(), "g", 0, func(d *groups.Definition) error {
							d.Concurrency = 1 + random.IntN(50)
							return nil
						})
					case 3:
						_, err = admin.Update(t.Context(), "g", 0, func(d *groups.Definition) error {
							d.Park, d.Retry.Max = !d.Park, time.Duration(1+random.IntN(3))*time.Second
							return nil
						})
					case 4:
						n := random.IntN(2)
						processes[n].stop()
						processes[n] = begin(fmt.Sprint("q", i))
					}
					if err != nil {
						t.Error(err)
					}
				}
				close(sending)
				<-sent
				must[groups.Definition](t)(w.admin.Resume(t.Context(), "g"))
				w.pass(5 * time.Minute)
				for i := range 5 {
					w.complete("g", domain.ChatID(fmt.Sprint("c", i)), 1)
				}
				for _, p := range processes {
					p.expect("[g]", "g:running ")
					p.stop()
				}
			})
		})
	}
}

// TestManager_GroupThatCannotRun has one group that its runner refuses, one of an unknown kind, and more than the process may run: each is a failure of its
// own, and is tried again.
func TestManager_GroupThatCannotRun(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		defer a.stop()
		w.pass(time.Millisecond)
		a.mu.Lock()
		a.most = 1
		a.mu.Unlock()
		w.create(pull("g1"))
		w.pass(2 * time.Second)
		w.create(pull("g2"))
		w.pass(5 * time.Second)
		a.expect("[g1]", "g1:running g2:failed ")
		if s := a.manager.Statuses()[1]; !errors.Is(s.Err, errTooMany) || s.Since.IsZero() || time.Since(s.Since) < 3*time.Second {
			t.Errorf("%+v", s)
		}
		w.send("c1")
		w.pass(5 * time.Second)
		w.complete("g1", "c1", 1)
		if err := w.admin.Delete(t.Context(), "g1"); err != nil {
			t.Error(err)
		}
		w.pass(time.Minute)
		a.expect("[g2]", "g2:running ")
		w.complete("g2", "c1", 1)

		w.create(pull("g3"))
		a.mu.Lock()
		a.refuse, a.most = errors.New("refused"), 0
		a.mu.Unlock()
		w.pass(2 * time.Second)
		a.expect("[g2]", "g2:running g3:failed ")
		a.mu.Lock()
		a.refuse = nil
		a.mu.Unlock()
		must[groups.Definition](t)(w.admin.Update(t.Context(), "g3", 0, func(d *groups.Definition) error {
			d.Concurrency = 3
			return nil
		}))
		w.pass(2 * time.Second) // a change is tried at once
		a.expect("[g2 g3]", "g2:running g3:running ")
	})
}

// TestManager_UnknownKind has a definition that this process does not run.
func TestManager_UnknownKind(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		m := subscribers.NewManager(subscribers.Config{Definitions: w.definitions, Groups: w.groups, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Run(ctx, ctx)
		}()
		w.create(pull("g"))
		w.pass(5 * time.Second)
		if s := m.Statuses(); len(s) != 1 || s[0].State != subscribers.StateFailed || !errors.Is(s[0].Err, subscribers.ErrKind) {
			t.Errorf("%+v", s)
		}
		if d, found := m.Lookup("g"); !found || d.Concurrency != 1024 || d.Retry.Attempts != 10 {
			t.Errorf("%+v, %t", d, found)
		}
		cancel()
		<-done
	})
}

// TestManager_DeletedGroup deletes the state of a group and leaves its definition: every process joins it again, as a new one.
func TestManager_DeletedGroup(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a"), w.start("b")
		defer a.stop()
		defer b.stop()
		w.create(groups.Definition{Group: "g", Kind: groups.KindPull, Start: groups.Start{Beginning: true}})
		w.send("c1")
		w.pass(10 * time.Second)
		if err := w.groups.Delete(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		w.send("c1")
		w.pass(30 * time.Second)
		a.expect("[g]", "g:running ")
		b.expect("[g]", "g:running ")
		w.complete("g", "c1", 1)
	})
}

// TestManager_StoreAway has the definitions unavailable: groups go on, one that has ended is not created again before its definition was read, and changes
// are made up for.
func TestManager_StoreAway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		defer a.stop()
		w.create(pull("g"))
		w.create(pull("h"))
		w.pass(10 * time.Second)
		w.definitions.set(ports.ErrUnavailable)
		w.send("c1")
		if err := errors.Join(w.definitions.Undefine(t.Context(), "h"), w.groups.Delete(t.Context(), "h")); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
		w.complete("g", "c1", 1)
		a.expect("[g]", "g:running h:failed ")
		if exists, _ := w.groups.Exists(t.Context(), "h"); exists {
			t.Error("a deleted group was created again")
		}
		w.definitions.set(nil)
		w.pass(2 * time.Second)
		a.expect("[g]", "g:running ")
	})
}

// TestManager_DeletedWhileJoining deletes a group while a process joins it: the group does not come back.
func TestManager_DeletedWhileJoining(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		defer a.stop()
		w.pass(time.Millisecond)
		a.mu.Lock()
		a.before = func() {
			if err := w.admin.Delete(t.Context(), "g"); err != nil && !errors.Is(err, groups.ErrGroupNotFound) {
				t.Error(err)
			}
		}
		a.mu.Unlock()
		w.create(pull("g"))
		w.pass(10 * time.Second)
		a.expect("[]", "")
		if exists, _ := w.groups.Exists(t.Context(), "g"); exists {
			t.Error("the group exists")
		}
	})
}

// TestManager_DefinedAnew deletes a group and defines it again between two reads of the definitions: what ran before ends first, and the new group has none of
// the earlier one's options.
func TestManager_DefinedAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a")
		defer a.stop()
		w.create(pull("g"))
		w.send("c1")
		w.pass(10 * time.Second)
		if err := w.admin.Delete(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		w.create(groups.Definition{Group: "g", Kind: groups.KindPull, Filter: groups.Filter{Chats: []domain.ChatID{"c2"}}})
		w.send("c2")
		w.pass(30 * time.Second)
		w.send("c1")
		w.send("c2")
		w.pass(30 * time.Second)
		a.expect("[g]", "g:running ")
		w.complete("g", "c2", 1)
		if got := w.handled("g", "c1"); len(got) != 1 {
			t.Errorf("handled %v", got)
		}
	})
}
