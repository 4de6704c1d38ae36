package rediscmd

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// lookLimit is the timeout of one reload of a Cluster's topology.
const lookLimit = 3 * time.Second

// Routes is the maximum number of nodes that a call is sent to.
const Routes = 4

// MasterFor returns the client of the node that has a key. It returns [ports.ErrClosed] after the client was closed.
func MasterFor(ctx context.Context, cluster *goredis.ClusterClient, key string) (*goredis.Client, error) {
	node, err := cluster.MasterForKey(ctx, key)
	if errors.Is(err, goredis.ErrClosed) {
		err = Closed(err)
	}
	return node, err
}

// Moved reports whether the call must be sent to another node, because the slot has moved or the node could not be reached. It reloads the Cluster's
// topology. It returns false if the command may have been executed.
func Moved(ctx context.Context, client goredis.UniversalClient, err error) bool {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok || err == nil {
		return false
	}
	away := goredis.HasErrorPrefix(err, "MOVED") || goredis.HasErrorPrefix(err, "READONLY")
	if Answered(err) && !away {
		return false
	}
	if ports.Ended(ctx, err) != nil { // no caller waits any more
		cluster.ReloadState(ctx)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	// ForEachMaster reloads the topology now; ReloadState would only start that.
	_ = cluster.ForEachMaster(ctx, func(context.Context, *goredis.Client) error { return nil })
	return away || NeverSent(err)
}

// Unrepeated executes a command on a key at most once: on a Cluster it is sent directly to the key's node.
func Unrepeated[C goredis.Cmder](ctx context.Context, client goredis.UniversalClient, key string, do func(goredis.UniversalClient) C) (reply C, err error) {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok {
		reply = do(client)
		return reply, reply.Err()
	}
	for range Routes {
		var node *goredis.Client
		if node, err = MasterFor(ctx, cluster, key); err != nil {
			return reply, err
		}
		reply = do(node)
		if err = reply.Err(); !Moved(ctx, client, err) {
			break
		}
	}
	return reply, err
}

// Masters returns the clients of all master servers.
func Masters(ctx context.Context, client goredis.UniversalClient) ([]goredis.Cmdable, error) {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok {
		return []goredis.Cmdable{client}, nil
	}
	found := make(chan []goredis.Cmdable, 1)
	found <- nil
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *goredis.Client) error {
		found <- append(<-found, node)
		return nil
	})
	return <-found, err
}
