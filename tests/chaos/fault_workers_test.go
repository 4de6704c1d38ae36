package chaos

import (
	"slices"
	"time"
)

const freezeWorker = "freeze worker"

// onOutsiders are the attacks on the programs of a role, which handle events over the network.
func onOutsiders(c *crew, of role) []attack {
	one := func(d dice) *post {
		there := slices.DeleteFunc(slices.Clone(c.posts), func(p *post) bool { return p.config.Role != of })
		return there[d.IntN(len(there))]
	}
	return c.alone([]attack{
		{"kill " + string(of), func(d dice) (string, func()) {
			p := one(d)
			p.kill()
			return p.name, func() {
				d.between(0, time.Second)
				p.start()
			}
		}},
		{"freeze " + string(of), func(d dice) (string, func()) {
			p := one(d)
			p.process.Freeze()
			d.between(outsiderLease/2, 2*outsiderLease)
			p.process.Thaw()
			return p.name, nil
		}},
		{"restart " + string(of), func(d dice) (string, func()) {
			p := one(d)
			p.stop()
			return p.name, p.start
		}},
	})
}

// onWorkers are the attacks on a crew. They need no test to fail, and so may come from any goroutine.
func onWorkers(c *crew) []attack {
	return c.alone([]attack{
		{"kill worker", func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			p.kill()
			return p.name, func() {
				d.between(0, time.Second)
				p.start()
			}
		}},
		{freezeWorker, func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			p.process.Freeze()
			d.between(lease+500*time.Millisecond, lease+2*time.Second)
			p.process.Thaw()
			return p.name, nil
		}},
		{"restart worker", func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			p.stop()
			return p.name, p.start
		}},
		{"new group", func(d dice) (string, func()) {
			p := c.posts[d.IntN(len(c.posts))]
			c.late = true
			p.stop()
			return p.name, p.start
		}},
	})
}

// alone has each attack command the crew alone, until it has healed.
func (c *crew) alone(attacks []attack) []attack {
	for i := range attacks {
		do := attacks[i].do
		attacks[i].do = func(d dice) (string, func()) {
			c.mu.Lock()
			on, heal := do(d)
			return on, func() {
				defer c.mu.Unlock()
				if heal != nil {
					heal()
				}
			}
		}
	}
	return attacks
}
