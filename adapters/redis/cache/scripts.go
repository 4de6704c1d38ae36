package cache

import _ "embed"

var (
	//go:embed script/cache_lease.lua
	cacheLeaseSource string
	//go:embed script/cache_put.lua
	cachePutSource string
	//go:embed script/cache_invalidate.lua
	cacheInvalidateSource string
)
