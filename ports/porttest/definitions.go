package porttest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// Definitions tests a store of definitions of groups. open returns a store without definitions.
func Definitions(t *testing.T, open func(t *testing.T) groups.Definitions) {
	t.Run("nothing is defined", func(t *testing.T) {
		s := open(t)
		all, revision, err := s.Definitions(t.Context())
		if len(all) != 0 || revision != 0 || err != nil {
			t.Errorf("%v, revision %d, %v", all, revision, err)
		}
		if revision, err := s.Revision(t.Context()); revision != 0 || err != nil {
			t.Errorf("revision %d, %v", revision, err)
		}
		if _, err := s.Definition(t.Context(), "g"); !errors.Is(err, groups.ErrNotDefined) {
			t.Error(err)
		}
		if _, err := s.Redefine(t.Context(), groups.Definition{Group: "g", Kind: groups.KindPull, Version: 1}); !errors.Is(err, groups.ErrNotDefined) {
			t.Error(err)
		}
		if err := s.Undefine(t.Context(), "g"); !errors.Is(err, groups.ErrNotDefined) {
			t.Error(err)
		}
	})
	t.Run("a definition is kept as it is", func(t *testing.T) {
		s := open(t)
		for _, d := range wholeDefinitions() {
			defined := mustDefine(t, s, d)
			want := d.Clone()
			want.Version, want.CreatedAt, want.UpdatedAt = 1, defined.CreatedAt, defined.CreatedAt
			if !reflect.DeepEqual(defined, want) {
				t.Errorf("defined\n%+v\nwant\n%+v", defined, want)
			}
			if off := time.Since(defined.CreatedAt).Abs(); off > time.Hour || !defined.CreatedAt.Equal(defined.CreatedAt.Truncate(time.Millisecond)) {
				t.Errorf("created at %v", defined.CreatedAt)
			}
			if got, err := s.Definition(t.Context(), d.Group); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("stored\n%+v, %v\nwant\n%+v", got, err, want)
			}
			if _, err := s.Define(t.Context(), d); !errors.Is(err, groups.ErrDefined) {
				t.Errorf("defined twice: %v", err)
			}
		}
		all, _, err := s.Definitions(t.Context())
		if err != nil || len(all) != len(wholeDefinitions()) || !slices.IsSortedFunc(all, func(a, b groups.Definition) int { return strings.Compare(a.Group, b.Group) }) {
			t.Errorf("all: %v, %v", all, err)
		}
	})
	t.Run("a change is of one version", func(t *testing.T) { redefine(t, open(t)) })
	t.Run("results share no memory", func(t *testing.T) {
		s := open(t)
		d := wholeDefinitions()[1]
		defined := mustDefine(t, s, d)
		d.Filter.Types[0], d.Webhook.URL, d.Webhook.Secrets[0].Sealed[0] = "x:y", "http://other", 9
		defined.Filter.Chats[0], defined.Webhook.Secrets[0].Key = "other", "other"
		all, _, _ := s.Definitions(t.Context())
		if got := all[0]; got.Filter.Types[0] == "x:y" || got.Filter.Chats[0] == "other" || got.Webhook.URL == "http://other" || got.Webhook.Secrets[0].Key == "other" || got.Webhook.Secrets[0].Sealed[0] == 9 {
			t.Errorf("%+v, %+v", got, got.Webhook)
		}
	})
	t.Run("of concurrent changes of a version one is made", func(t *testing.T) { concurrentDefinitions(t, open(t)) })
	t.Run("arguments are checked", func(t *testing.T) {
		s := open(t)
		ended, end := context.WithCancel(t.Context())
		end()
		valid := groups.Definition{Group: "g", Kind: groups.KindPull}
		_, get := s.Definition(t.Context(), "")
		_, define := s.Define(t.Context(), groups.Definition{Group: "g"})
		_, redefine := s.Redefine(t.Context(), groups.Definition{Group: "g h", Kind: groups.KindPull})
		for i, err := range []error{get, define, redefine, s.Undefine(t.Context(), "")} {
			if !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("call %d: %v", i+1, err)
			}
		}
		_, get = s.Definition(ended, "g")
		_, define = s.Define(ended, valid)
		_, redefine = s.Redefine(ended, valid)
		_, _, list := s.Definitions(ended)
		_, revision := s.Revision(ended)
		for i, err := range []error{get, define, redefine, list, revision, s.Undefine(ended, "g")} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended call %d: %v", i+1, err)
			}
		}
	})
	t.Run("any history is that of a map", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) { definitionHistory(t.Context(), r, open(t)) })
	})
}

// wholeDefinitions returns definitions that use every field.
func wholeDefinitions() []groups.Definition {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890_000_001, time.FixedZone("", 3600))
	return []groups.Definition{
		{Group: "pull", Kind: groups.KindPull, Start: groups.Start{Beginning: true}, Unordered: true, Concurrency: groups.MaxConcurrency},
		{
			Group: "hook:é", Kind: groups.KindWebhook, Filter: groups.Filter{Types: []string{"message:new", "poll:created"}, Chats: []domain.ChatID{"a", `b"{}`}},
			Start: groups.Start{At: at}, Park: true, Retry: groups.Retry{Attempts: groups.MaxAttempts, First: time.Millisecond + time.Nanosecond, Max: groups.MaxPause},
			Paused: true, PauseReason: "410 <gone> & more\x00",
			Webhook: &groups.Webhook{URL: "https://example.com/?a=b&c=<d>", Timeout: 1500 * time.Millisecond, Secrets: []groups.SealedSecret{
				{Key: "k1", Sealed: []byte{0, 255, '\n'}}, {Key: "k2", Sealed: []byte("x"), ExpiresAt: at},
			}},
		},
		{Group: "plain", Kind: groups.KindPull, Filter: groups.Filter{Types: []string{}, Chats: []domain.ChatID{}}},
	}
}

func mustDefine(t *testing.T, s groups.Definitions, d groups.Definition) groups.Definition {
	t.Helper()
	defined, err := s.Define(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return defined
}

// redefine changes a definition, with the right version and with others.
func redefine(t *testing.T, s groups.Definitions) {
	first := mustDefine(t, s, wholeDefinitions()[1])
	before, err := s.Revision(t.Context())
	if err != nil || before == 0 {
		t.Fatalf("revision %d, %v", before, err)
	}
	next := first.Clone()
	next.Filter, next.Park, next.Retry, next.Concurrency, next.Paused, next.PauseReason = groups.Filter{}, false, groups.Retry{}, 7, false, ""
	next.Webhook = &groups.Webhook{URL: "https://example.org"}
	next.Start, next.Unordered, next.CreatedAt, next.UpdatedAt = groups.Start{Beginning: true}, true, time.Time{}, time.Time{} // never change
	for _, version := range []uint64{0, 2} {
		next.Version = version
		if _, err := s.Redefine(t.Context(), next); !errors.Is(err, groups.ErrDefinitionChanged) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	next.Version = 1
	second, err := s.Redefine(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	want := next
	want.Version, want.Start, want.Unordered, want.CreatedAt, want.UpdatedAt = 2, first.Start, first.Unordered, first.CreatedAt, second.UpdatedAt
	if !reflect.DeepEqual(second, want) || second.UpdatedAt.Before(first.UpdatedAt) {
		t.Errorf("redefined\n%+v\nwant\n%+v", second, want)
	}
	if got, err := s.Definition(t.Context(), first.Group); err != nil || !reflect.DeepEqual(got, second) {
		t.Errorf("stored\n%+v, %v", got, err)
	}
	if _, err := s.Redefine(t.Context(), next); !errors.Is(err, groups.ErrDefinitionChanged) {
		t.Errorf("the same version again: %v", err)
	}
	after, err := s.Revision(t.Context())
	if err != nil || after <= before {
		t.Errorf("revision %d after %d, %v", after, before, err)
	}
	if err := s.Undefine(t.Context(), first.Group); err != nil {
		t.Fatal(err)
	}
	if last, err := s.Revision(t.Context()); err != nil || last <= after {
		t.Errorf("revision %d after %d, %v", last, after, err)
	}
	if _, err := s.Redefine(t.Context(), second); !errors.Is(err, groups.ErrNotDefined) {
		t.Errorf("undefined: %v", err)
	}
	if again := mustDefine(t, s, first); again.Version != 1 {
		t.Errorf("defined anew: %+v", again)
	}
}

// concurrentDefinitions has several callers define and redefine the same groups.
func concurrentDefinitions(t *testing.T, s groups.Definitions) {
	const callers, rounds = 8, 6
	var defined, refused atomic.Int64
	race := func(call func(i int) error, lost error) {
		var running sync.WaitGroup
		for i := range callers {
			running.Go(func() {
				switch err := call(i); {
				case err == nil:
					defined.Add(1)
				case errors.Is(err, lost):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		running.Wait()
	}
	race(func(i int) error {
		return failure(s.Define(t.Context(), groups.Definition{Group: "g", Kind: groups.KindPull, Concurrency: i + 1}))
	}, groups.ErrDefined)
	for round := range rounds {
		race(func(i int) error {
			return failure(s.Redefine(t.Context(), groups.Definition{Group: "g", Kind: groups.KindPull, Version: uint64(round) + 1, Concurrency: i + 1})) //nolint:gosec // small
		}, groups.ErrDefinitionChanged)
	}
	if defined.Load() != rounds+1 || refused.Load() != (callers-1)*(rounds+1) {
		t.Errorf("%d calls succeeded, %d were refused", defined.Load(), refused.Load())
	}
	var running sync.WaitGroup // of different groups all succeed
	for i := range callers {
		running.Go(func() {
			if _, err := s.Define(t.Context(), groups.Definition{Group: fmt.Sprint("g", i), Kind: groups.KindPull}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if all, _, err := s.Definitions(t.Context()); err != nil || len(all) != callers+1 {
		t.Errorf("%d definitions, %v", len(all), err)
	}
}

// definitionHistory makes random calls, and compares each answer with that of a map.
func definitionHistory(ctx context.Context, r *rapid.T, s groups.Definitions) {
	model := make(map[string]groups.Definition)
	revision := uint64(0)
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	some := rapid.Custom(func(r *rapid.T) groups.Definition {
		d := rapid.SampledFrom(wholeDefinitions()).Draw(r, "definition")
		d.Group, d.Concurrency, d.Paused = name.Draw(r, "group"), rapid.IntRange(0, 9).Draw(r, "concurrency"), rapid.Bool().Draw(r, "paused")
		return d
	})
	check := func(got groups.Definition, err error, want groups.Definition, wantErr error) {
		if !errors.Is(err, wantErr) || wantErr == nil && err != nil {
			r.Fatalf("error %v, want %v", err, wantErr)
		}
		want.CreatedAt, want.UpdatedAt = got.CreatedAt, got.UpdatedAt
		if err == nil && !reflect.DeepEqual(got, want) {
			r.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
	}
	r.Repeat(map[string]func(*rapid.T){
		"define": func(r *rapid.T) {
			d := some.Draw(r, "d")
			got, err := s.Define(ctx, d)
			if _, defined := model[d.Group]; defined {
				check(got, err, d, groups.ErrDefined)
				return
			}
			want := d.Clone()
			want.Version = 1
			check(got, err, want, nil)
			model[d.Group] = got
		},
		"redefine": func(r *rapid.T) {
			d := some.Draw(r, "d")
			present, defined := model[d.Group]
			d.Version = uint64(max(0, int(present.Version)+rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(r, "off"))) //nolint:gosec // small
			got, err := s.Redefine(ctx, d)
			if !defined {
				check(got, err, d, groups.ErrNotDefined)
				return
			}
			want, wantErr := present.Replace(d, got.UpdatedAt)
			if errors.Is(wantErr, domain.ErrInvalid) {
				wantErr = domain.ErrInvalid
			}
			if check(got, err, want, wantErr); err == nil {
				if !got.CreatedAt.Equal(present.CreatedAt) {
					r.Fatalf("created at %v, want %v", got.CreatedAt, present.CreatedAt)
				}
				model[d.Group] = got
			}
		},
		"undefine": func(r *rapid.T) {
			group := name.Draw(r, "group")
			err := s.Undefine(ctx, group)
			if _, defined := model[group]; defined != (err == nil) || err != nil && !errors.Is(err, groups.ErrNotDefined) {
				r.Fatalf("undefined: %v", err)
			}
			delete(model, group)
		},
		"": func(r *rapid.T) {
			all, got, err := s.Definitions(ctx)
			alone, err2 := s.Revision(ctx)
			if err := errors.Join(err, err2); err != nil || got < revision || alone != got {
				r.Fatalf("revision %d and %d after %d, %v", got, alone, revision, err)
			}
			revision = got
			names := slices.Sorted(maps.Keys(model))
			if len(all) != len(names) {
				r.Fatalf("%d definitions, want %v", len(all), names)
			}
			for i, name := range names {
				one, err := s.Definition(ctx, name)
				if err != nil || !reflect.DeepEqual(all[i], model[name]) || !reflect.DeepEqual(one, model[name]) {
					r.Fatalf("%q is\n%+v\nand\n%+v, %v\nwant\n%+v", name, all[i], one, err, model[name])
				}
			}
		},
	})
}
