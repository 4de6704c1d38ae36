package cache_test

import (
	"testing"

	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/internal/rig"
)

const noDigest = "da39a3ee5e6b4b0d3255bfef95601890afd80709" // SHA-1 of nothing

func TestScript_CacheInvalidate(t *testing.T) {
	rig.RunScript(t, cache.InvalidateSource, []rig.ScriptCase{
		{
			Name: "the version that was invalidated last", Setup: "SET f 7 PX 1000000", Keys: "v l f", Args: "7 7200000 ''", Reply: "1",
			After: "GET f = 7; PEXPIRETIME f = @2",
		},
		{
			Name: "an earlier version", Setup: "SET f 8 PXAT @1", Keys: "v l f", Args: "7 7200000 ''", Reply: "1",
		},
		{
			Name: "a value with metadata", Setup: "SET v [1]; SET b 1·2·9·" + noDigest, Keys: "v l f b", Args: "7 7200000 ''", Reply: "1",
			After: "EXISTS v b = 0; GET f = 7",
		},
		{
			Name: "metadata without a value", Setup: "SET b 1·9·9·" + noDigest, Keys: "v l f b", Args: "7 7200000 ''", Reply: "1", After: "EXISTS v b = 0; GET f = 7",
		},
		{Name: "any version", Setup: "SET v [1]; SET b 1·9·9·x; SET l t; SET f 7", Keys: "v l f b", Args: "0 7200000 ''", Reply: "1", After: "EXISTS v b l = 0; GET f = 7"},
	})
}

func TestScript_CachePut(t *testing.T) {
	rig.RunScript(t, cache.PutSource, []rig.ScriptCase{
		{
			Name: "a full memory does not end the lease", Setup: "SET l t· PX 9000; CONFIG SET maxmemory 1", Keys: "v l f b",
			Args: "t 0 3 9000 [1] about ''", Reply: "error OOM",
		},
		{
			Name: "the end of a lease", Setup: "SET l t· PX 9000", Keys: "v l f b", Args: "t 1 3 9000 [1] about ''", Reply: "[0 '' '']", After: "EXISTS v l b = 0",
		},
		{
			Name: "the removal of a value", Setup: "SET v [1]; SET b 1·2·9·x", Keys: "v l f b", Args: "'' 0 3 9000 '' '' ''", Reply: "[1]", After: "EXISTS v b = 0",
		},
	})
}
