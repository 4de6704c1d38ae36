package health

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
)

// ErrTooOld is returned when a Redis server is older than the core's scripts need.
var ErrTooOld = errors.New("redis is too old")

// minVersion is the first version with SET with GET, EXPIRE with GT and effects replication of scripts.
func minVersion() version { return version{7, 0} }

// CheckVersion returns [ErrTooOld] if a server is older than minVersion.
func CheckVersion(ctx context.Context, client goredis.UniversalClient) error {
	found, err := inspect(ctx, client)
	if err != nil {
		return err
	}
	return found.newEnough(minVersion())
}

type version [2]int

func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// server is the relevant state of the servers behind a client.
type server struct {
	version version // the oldest; zero if no server reports its version
}

func (s server) newEnough(least version) error {
	if s.version == (version{}) || s.version[0] > least[0] || s.version[0] == least[0] && s.version[1] >= least[1] {
		return nil
	}
	return fmt.Errorf("%w: it is %s; needed: %s or newer", ErrTooOld, s.version, least)
}

func inspect(ctx context.Context, client goredis.UniversalClient) (server, error) {
	var found server
	look := func(ctx context.Context, node goredis.Cmdable) error {
		// Some servers do not support INFO: a missing version counts as new enough.
		text, err := node.Info(ctx).Result()
		if err != nil {
			if rediscmd.Answered(err) {
				return nil
			}
			return rediscmd.Unavailable(ctx, err)
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch name {
			case "redis_version":
				var v version
				if _, err := fmt.Sscanf(value, "%d.%d", &v[0], &v[1]); err == nil && (found.version == version{} || v[0] < found.version[0] || v[0] == found.version[0] && v[1] < found.version[1]) {
					found.version = v
				}
			}
		}
		return nil
	}
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		// ForEachMaster calls the function concurrently.
		results := make(chan server, 1)
		results <- found
		err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
			found = <-results
			defer func() { results <- found }()
			return look(ctx, node)
		})
		return <-results, err
	}
	return found, look(ctx, client)
}
