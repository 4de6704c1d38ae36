package webhook_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/subscribers/webhook"
	"chatcore/ports/groups"
)

// TestEndpoint_DownForTenMinutes takes an endpoint down for 10 minutes, in several ways, while events of several chats arrive and several processes run the
// webhook: no event becomes a dead letter, and all arrive afterwards in order.
func TestEndpoint_DownForTenMinutes(t *testing.T) {
	for name, down := range map[string]respond{
		"no connection": func(context.Context, post) (int, http.Header, bool, error) { return refused() },
		"500":           func(context.Context, post) (int, http.Header, bool, error) { return status(500) },
		"429":           func(context.Context, post) (int, http.Header, bool, error) { return status(429) },
		"503 for 20 s": func(context.Context, post) (int, http.Header, bool, error) {
			return 503, http.Header{"Retry-After": {"20"}}, true, nil
		},
		"no answer": func(ctx context.Context, _ post) (int, http.Header, bool, error) {
			<-ctx.Done()
			return 0, nil, true, ctx.Err()
		},
		"broken connections": func(context.Context, post) (int, http.Header, bool, error) {
			return 0, nil, true, errRefused
		},
	} {
		for _, processes := range []int{1, 3} {
			t.Run(fmt.Sprint(name, "/", processes), func(t *testing.T) {
				few := func(d *groups.Definition) {
					d.Retry = groups.Retry{Attempts: 6, First: time.Second, Max: 4 * time.Second}
				}
				bubble(t, few, func(w *world) {
					for range processes {
						w.run()
					}
					w.send("c0")
					w.within(time.Minute, "up", w.all)
					w.answer(down)
					for i := range 200 {
						w.send(fmt.Sprint("c", i%20))
						time.Sleep(time.Second)
					}
					time.Sleep(400 * time.Second)
					posts := w.count()
					if n := len(w.letters()); n != 0 {
						t.Errorf("there are %d dead letters", n)
					}
					if most := 80 * processes; posts > most {
						t.Errorf("the endpoint got %d requests while it was down, more than %d", posts, most)
					}
					w.answer(func(context.Context, post) (int, http.Header, bool, error) { return status(200) })
					w.within(10*time.Minute, "everything arrived", w.all)
					w.checkOrder()
					if n := len(w.letters()); n != 0 {
						t.Errorf("there are %d dead letters", n)
					}
				})
			})
		}
	}
}

// TestEndpoint_SingleChat takes an endpoint down for 10 minutes that has events of one chat alone: its attempts, within the default policy, do not end.
func TestEndpoint_SingleChat(t *testing.T) {
	for name, down := range map[string]respond{
		"no connection": func(context.Context, post) (int, http.Header, bool, error) { return refused() },
		"500":           func(context.Context, post) (int, http.Header, bool, error) { return status(500) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				w.run()
				w.answer(down)
				for range 10 {
					w.send("c")
				}
				time.Sleep(10 * time.Minute)
				w.answer(func(context.Context, post) (int, http.Header, bool, error) { return status(200) })
				w.within(20*time.Minute, "everything arrived", w.all)
				w.checkOrder()
				if n := len(w.letters()); n != 0 {
					t.Errorf("there are %d dead letters", n)
				}
			})
		})
	}
}

// TestEndpoint_HalfFails has every second request fail at random: nothing is lost, and no event becomes a dead letter.
func TestEndpoint_HalfFails(t *testing.T) {
	bubble(t, nil, func(w *world) {
		random := rand.New(rand.NewPCG(1, 2))
		w.run()
		w.answer(func(context.Context, post) (int, http.Header, bool, error) {
			if random.IntN(2) == 0 {
				return status(500)
			}
			return status(200)
		})
		for i := range 100 {
			w.send(fmt.Sprint("c", i%10))
		}
		w.within(6*time.Hour, "everything arrived", w.all)
		w.checkOrder()
		if n := len(w.letters()); n != 0 {
			t.Errorf("there are %d dead letters", n)
		}
	})
}

// TestEndpoint_Slow has an endpoint that answers after 10 seconds: no request is made twice.
func TestEndpoint_Slow(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.run()
		w.answer(func(context.Context, post) (int, http.Header, bool, error) {
			time.Sleep(10 * time.Second)
			return status(200)
		})
		for i := range 40 {
			w.send(fmt.Sprint("c", i%10))
		}
		w.within(10*time.Minute, "everything arrived", w.all)
		w.checkOrder()
		if n := w.count(); n != 40 {
			t.Errorf("there were %d requests, want 40", n)
		}
	})
}

// TestEndpoint_Poison has events that are always answered with 500 beside others: they become dead letters by their attempts, everything else arrives, and
// a retry of the dead letters succeeds once the endpoint takes them.
func TestEndpoint_Poison(t *testing.T) {
	for _, poisons := range []int{1, 3, 8} {
		t.Run(fmt.Sprint(poisons), func(t *testing.T) {
			few := func(d *groups.Definition) {
				d.Retry = groups.Retry{Attempts: 4, First: time.Second, Max: 10 * time.Second}
			}
			bubble(t, few, func(w *world) {
				w.run()
				poison := func(p post) bool {
					return p.seq == 2 && slices.Contains([]string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"}[:poisons], p.chat)
				}
				w.answer(func(_ context.Context, p post) (int, http.Header, bool, error) {
					if poison(p) {
						return status(500)
					}
					return status(200)
				})
				for range 600 {
					for c := range 10 {
						w.send(fmt.Sprint("c", c))
					}
					time.Sleep(time.Second)
				}
				w.within(time.Hour, "everything else arrived", w.all)
				letters := w.lettersAfter(poisons)
				for _, l := range letters {
					if l.Attempts != 4 || !strings.Contains(l.Reason, "500") {
						t.Errorf("dead letter %+v", l)
					}
				}
				w.answer(func(context.Context, post) (int, http.Header, bool, error) { return status(204) })
				for _, l := range letters {
					if err := w.groups.Retry(w.t.Context(), "hook", l.ID); err != nil {
						t.Error(err)
					}
				}
				w.within(time.Minute, "the dead letters delivered", func() bool { return len(w.letters()) == 0 })
			})
		})
	}
}

// TestEndpoint_PoisonAlone has a single event that is always answered with 500: it becomes a dead letter although no other event shows that the endpoint is up.
func TestEndpoint_PoisonAlone(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.run()
		w.answer(func(_ context.Context, p post) (int, http.Header, bool, error) {
			if p.seq == 1 {
				return status(500)
			}
			return status(200)
		})
		w.send("c")
		w.send("c")
		w.within(36*time.Hour, "the second event arrived", w.all)
		if l := w.lettersAfter(1); l[0].Attempts != 22 {
			t.Errorf("dead letter: %+v", l[0])
		}
	})
}

// TestEndpoint_OnlyPoison has many chats whose first events are all answered with 500: after a day without a success they use their attempts.
func TestEndpoint_OnlyPoison(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.run()
		w.answer(func(_ context.Context, p post) (int, http.Header, bool, error) {
			if p.seq == 1 {
				return status(500)
			}
			return status(200)
		})
		for c := range 5 {
			w.send(fmt.Sprint("c", c))
			w.send(fmt.Sprint("c", c))
		}
		time.Sleep(23 * time.Hour)
		if n := len(w.letters()); n != 0 {
			t.Errorf("after 23 hours there are %d dead letters", n)
		}
		w.within(72*time.Hour, "the second events arrived", w.all)
		w.lettersAfter(5)
	})
}

// TestEndpoint_Outcomes answers the first request of an event with each status.
func TestEndpoint_Outcomes(t *testing.T) {
	for code, want := range map[int]string{
		200: "done", 201: "done", 204: "done", 301: "letter", 302: "letter", 304: "letter", 307: "letter", 400: "letter", 401: "letter", 403: "letter", 404: "letter",
		409: "letter", 413: "letter", 422: "letter", 408: "retry", 425: "retry", 429: "retry", 500: "retry", 502: "retry", 503: "retry", 504: "retry", 599: "retry", 410: "paused",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			bubble(t, nil, func(w *world) {
				w.run()
				first := true
				w.answer(func(context.Context, post) (int, http.Header, bool, error) {
					if first {
						first = false
						return status(code)
					}
					return status(200)
				})
				w.send("c")
				time.Sleep(time.Minute + 10*time.Second)
				got := "done"
				switch {
				case len(w.letters()) == 1:
					got = "letter"
				case len(w.paused) > 0:
					got = "paused"
					if reason := <-w.paused; !strings.Contains(reason, "410") {
						t.Errorf("the reason is %q", reason)
					}
					if w.posts[1].attempt != 1 || w.posts[1].at.Sub(w.posts[0].at) < time.Minute {
						t.Errorf("the webhook was not paused, and the second request is %+v", w.posts[1])
					}
				case w.count() == 2 && w.posts[1].attempt == 2:
					got = "retry"
				case w.count() != 1:
					got = fmt.Sprintf("%+v", w.posts)
				}
				if got != want {
					t.Errorf("%d: %s, want %s", code, got, want)
				}
			})
		})
	}
}

// TestEndpoint_RetryAfter has an endpoint ask for a pause.
func TestEndpoint_RetryAfter(t *testing.T) {
	for _, test := range []struct {
		code   int
		header func() string
		want   time.Duration
	}{
		{503, func() string { return "120" }, 2 * time.Minute},
		{429, func() string { return time.Now().Add(3 * time.Minute).UTC().Format(http.TimeFormat) }, 3 * time.Minute},
		{429, func() string { return "1000000000000000000000000" }, time.Hour},
		{500, func() string { return "1800" }, 10 * time.Minute}, // the longest pause of the policy
		{408, func() string { return "60" }, time.Minute},
	} {
		t.Run(fmt.Sprint(test.code, test.want), func(t *testing.T) {
			bubble(t, func(d *groups.Definition) { d.Retry.Max = 10 * time.Minute }, func(w *world) {
				w.run()
				first := true
				w.answer(func(context.Context, post) (int, http.Header, bool, error) {
					if first {
						first = false
						return test.code, http.Header{"Retry-After": {test.header()}}, true, nil
					}
					return status(200)
				})
				w.send("c")
				time.Sleep(time.Second)
				opened := test.code == 429 || test.code == 503
				if got := w.endpoints[0].Status().State == webhook.Down; got != opened {
					t.Errorf("down: %t, want %t", got, opened)
				}
				w.send("other")
				w.within(2*time.Hour, "everything arrived", w.all)
				if paused := w.posts[1].at.Sub(w.posts[0].at); opened && (paused < test.want-time.Second || paused > test.want+3*time.Second) {
					t.Errorf("the endpoint got no request for %v, want %v", paused, test.want)
				}
				for _, p := range w.posts[1:] {
					if waited := p.at.Sub(w.posts[0].at); p.chat == "c" && (waited < test.want-time.Second || waited > test.want+2*time.Minute) {
						t.Errorf("the event waited for %v, want %v", waited, test.want)
					}
				}
			})
		})
	}
}

// TestEndpoint_Update gives a webhook another URL, and a change that needs another membership.
func TestEndpoint_Update(t *testing.T) {
	bubble(t, nil, func(w *world) {
		e := w.run()
		w.answer(func(context.Context, post) (int, http.Header, bool, error) { return refused() })
		for i := range 5 {
			w.send(fmt.Sprint("c", i))
		}
		w.within(time.Minute, "down", func() bool { return e.Status().State != webhook.Up })
		d := w.definition
		hook := *d.Webhook
		hook.URL = "https://other.test/"
		d.Webhook = &hook
		w.answer(func(context.Context, post) (int, http.Header, bool, error) { return status(200) })
		if !e.Update(d) || e.Status().State != webhook.Up {
			t.Errorf("after another URL: %+v", e.Status())
		}
		w.within(time.Minute, "everything arrived", w.all)
		for _, change := range []func(*groups.Definition){
			func(d *groups.Definition) { d.Concurrency = 9 },
			func(d *groups.Definition) { d.Filter.Types = []string{"message:new"} },
			func(d *groups.Definition) { d.Filter.Chats = append(d.Filter.Chats, "c") },
			func(d *groups.Definition) { d.Retry.Attempts = 3 },
			func(d *groups.Definition) { d.Park = true },
		} {
			changed := d
			change(&changed)
			if e.Update(changed) {
				t.Errorf("%+v needs no other membership", changed)
			}
		}
	})
}

// TestEndpoint_Attempts reads the attempts of a webhook that fails and succeeds.
func TestEndpoint_Attempts(t *testing.T) {
	bubble(t, nil, func(w *world) {
		e := w.run()
		w.answer(func(_ context.Context, p post) (int, http.Header, bool, error) {
			time.Sleep(20 * time.Millisecond)
			if p.chat != "" && (p.seq+int(p.chat[1]))%5 == 0 && p.attempt == 1 {
				return status(500)
			}
			return status(200)
		})
		for i := range 300 {
			w.send(fmt.Sprint("c", i%10))
		}
		w.within(time.Hour, "everything arrived", w.all)
		time.Sleep(2 * time.Second)
		all, err := w.attempts.Attempts(w.t.Context(), "hook", false)
		failed, err2 := w.attempts.Attempts(w.t.Context(), "hook", true)
		if err != nil || err2 != nil || len(failed) != 60 || len(all) == 0 {
			t.Fatalf("%d attempts, %d failed ones: %v, %v", len(all), len(failed), err, err2)
		}
		for _, a := range failed {
			if a.OK || a.Status != 500 || a.Attempt != 1 || a.Error == "" || a.Answer != "answer" || a.Took != 20*time.Millisecond || a.Type != "message:new" {
				t.Errorf("attempt %+v", a)
			}
		}
		if s := e.Status(); s.Results[webhook.Succeeded] != 300 || s.Results[webhook.Failed] != 60 || s.InFlight != 0 {
			t.Errorf("status %+v", s)
		}
		tested, err := w.runners[0].Test(w.t.Context(), w.definition)
		last, err2 := w.attempts.Attempts(w.t.Context(), "hook", false)
		if err != nil || err2 != nil || tested.Type != webhook.TestType || last[0].Type != webhook.TestType {
			t.Errorf("test: %+v, %v; attempts %+v, %v", tested, err, last[0], err2)
		}
	})
}
