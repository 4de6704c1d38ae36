package chaos

import (
	"fmt"
	"testing"
	"time"

	"chatcore/tests/redistest"
)

const (
	crashRedis   = "crash redis"
	restartRedis = "restart redis"
)

// onServers are the attacks that any Redis takes; servers gives those that answer clients now.
func onServers(t *testing.T, servers func() []*redistest.Server) []attack {
	return []attack{
		{"kill clients", func(dice) (string, func()) {
			for _, s := range servers() {
				s.KillClients(t)
			}
			return "", nil
		}},
		{"flush scripts", func(dice) (string, func()) {
			for _, s := range servers() {
				if err := s.Client(t).ScriptFlush(t.Context()).Err(); err != nil {
					t.Error(err)
				}
			}
			return "", nil
		}},
	}
}

// onServer are the attacks on a single Redis, which forgets nothing, and on the ways to it: one for each post, and the last for writers.
func onServer(t *testing.T, s *redistest.Server, ways []*redistest.Proxy) []attack {
	down := func(kind string, end func()) attack {
		return attack{kind, func(d dice) (string, func()) {
			end()
			d.between(0, time.Second)
			s.Restart(t)
			return "", nil
		}}
	}
	return append(onServers(t, func() []*redistest.Server { return []*redistest.Server{s} }),
		down(crashRedis, s.Kill),
		down(restartRedis, s.Stop),
		attack{"freeze redis", func(d dice) (string, func()) {
			s.Freeze()
			d.between(500*time.Millisecond, 3*time.Second)
			s.Thaw()
			return "", nil
		}},
		attack{"black hole", func(d dice) (string, func()) {
			posts := len(ways) - 1
			chosen, on := ways[:posts], "before all workers"
			if one := d.IntN(2 * posts); one < posts {
				chosen, on = ways[one:one+1], fmt.Sprintf("before w%d", one)
			}
			for _, w := range chosen {
				w.Swallow(true)
			}
			d.between(time.Second, lease+2*time.Second)
			for _, w := range chosen {
				w.Swallow(false)
			}
			return on, nil
		}},
		attack{"cut", func(dice) (string, func()) {
			for _, w := range ways {
				w.Cut()
			}
			return "all connections", nil
		}},
	)
}
