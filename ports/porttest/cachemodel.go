package porttest

import (
	"testing"

	"pgregory.net/rapid"

	"chatcore/ports"
)

// testCacheRandom compares a store with a model of one value, one lease and one version.
func testCacheRandom(t *testing.T, c cacheRig) {
	rapid.Check(t, func(rt *rapid.T) {
		c.t = rt
		key := c.key()
		type kept struct {
			n       int // number of the write; 0 for no value
			version uint64
		}
		var now kept
		var floor uint64
		leases := make(map[string]kept) // values that the holders have seen; at most one counts
		holder, writes, seen := "", 0, c.get(key)
		seenN := 0 // number of the write that seen is of
		for range rapid.IntRange(1, 30).Draw(rt, "calls") {
			token := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "token")
			version := rapid.Uint64Range(0, 5).Draw(rt, "version")
			switch rapid.SampledFrom([]string{"put", "fill", "fill", "lease", "lease", "get", "drop", "below", "release"}).Draw(rt, "call") {
			case "put":
				writes++
				if version >= floor && version >= now.version {
					now, holder = kept{writes, version}, ""
					c.put(key, c.write(writes, version), true)
				} else {
					c.put(key, c.write(writes, version), false)
				}
			case "fill":
				writes++
				w := c.write(writes, version)
				w.Token = token
				later := now.version > 0 && now.version < version
				want := (holder == token && leases[token] == now || later) && version >= floor
				c.put(key, w, want)
				if want {
					now, holder = kept{writes, version}, ""
				}
				if holder == token {
					holder = ""
				}
			case "release":
				c.put(key, ports.CacheWrite{Token: token, Release: true}, false)
				if holder == token {
					holder = ""
				}
			case "lease":
				switch {
				case seenN != now.n:
					seen, seenN = c.take(key, seen, token, ports.LeaseChanged), now.n
				case holder == "", holder == token && leases[token] == now:
					c.take(key, seen, token, ports.LeaseTaken)
					holder, leases[token] = token, now
				default:
					c.take(key, seen, token, ports.LeaseHeld)
				}
			case "get":
				seen, seenN = c.get(key), now.n
			case "drop":
				c.drop(0, key)
				now, holder = kept{}, ""
			case "below":
				if version == 0 {
					continue
				}
				c.drop(version, key)
				floor = max(floor, version)
				if now.version < version {
					now = kept{}
				}
			}
			want := ""
			if now.n > 0 {
				want = c.value(now.n)
			}
			c.expect(key, want, now.version)
		}
	})
}
