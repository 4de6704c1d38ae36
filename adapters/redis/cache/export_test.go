package cache

// The scripts of cached values.
var (
	LeaseSource      = cacheLeaseSource
	PutSource        = cachePutSource
	InvalidateSource = cacheInvalidateSource
)
