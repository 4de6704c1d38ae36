package chatcore

import (
	"chatcore/adapters/redis"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/health"
)

// ACL holds the least rights of the Redis users of a core, as rules of ACL SETUSER. Add the patterns of keys and channels that the core's helpers,
// effects and custom caches use.
type ACL struct {
	Log   []string // on the server of Config.Redis.URL
	Cache []string // on the server of Config.Redis.CacheURL; nil without one
}

// ACLOf returns the least rights of a configuration. With doctor they also allow the commands that only `core doctor` sends; CONFIG GET is among
// them, which also shows passwords of the server. It returns [ErrURL] or a [domain.InvalidError] if the configuration is not valid.
func ACLOf(config Config, doctor bool) (ACL, error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return ACL{}, err
	}
	keys, err := redis.NewKeys(redisConfig(config).Keyspace)
	if err != nil {
		return ACL{}, err
	}
	options, err := conn.ParseURL(config.Redis.URL)
	if err != nil {
		return ACL{}, err
	}
	acl := ACL{Log: health.LogRights(keys).Database(options.DB).Rules(doctor)}
	if config.Redis.CacheURL == "" {
		return acl, nil
	}
	cluster, err := conn.IsCluster(config.Redis.CacheURL)
	if err != nil {
		return ACL{}, err
	}
	acl.Cache = health.CacheRights(keys, cluster).Rules(doctor)
	return acl, nil
}
