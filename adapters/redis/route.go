package redis

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// routes is the maximum number of nodes that a call is sent to.
const routes = 4

// node returns the client of the partition's server. Commands for one partition are sent to it directly: go-redis's routing in a Cluster repeats
// unanswered commands and keeps asking a failed node.
func (l *Log) node(ctx context.Context, partition int) (*goredis.Client, error) {
	switch client := l.client.(type) {
	case *goredis.ClusterClient:
		return masterFor(ctx, client, l.keys.id(partition))
	case *goredis.Client:
		return client, nil
	}
	return nil, fmt.Errorf("a log cannot be on a %T", l.client)
}

// masterFor returns the client of the node that has a key. It returns [ports.ErrClosed] after the client was closed.
func masterFor(ctx context.Context, cluster *goredis.ClusterClient, key string) (*goredis.Client, error) {
	node, err := cluster.MasterForKey(ctx, key)
	if errors.Is(err, goredis.ErrClosed) {
		err = closed(err)
	}
	return node, err
}

// moved reports whether the call must be sent to another node, because the slot has moved or the node could not be reached. It reloads the Cluster's
// topology. It returns false if the command may have been executed.
func (l *Log) moved(ctx context.Context, err error) bool { return moved(ctx, l.client, err) }

func moved(ctx context.Context, client goredis.UniversalClient, err error) bool {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok || err == nil {
		return false
	}
	away := goredis.HasErrorPrefix(err, "MOVED") || goredis.HasErrorPrefix(err, "READONLY")
	if answered(err) && !away {
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
	return away || neverSent(err)
}

// run runs a script on one partition. The script may be executed twice. more are further keys after the partition's id key.
func (l *Log) run(ctx context.Context, script *goredis.Script, partition int, more []string, args ...any) (reply *goredis.Cmd) {
	keys := append([]string{l.keys.id(partition)}, more...)
	for range routes {
		node, err := l.node(ctx, partition)
		if err != nil {
			reply = goredis.NewCmd(ctx)
			reply.SetErr(err)
			return reply
		}
		if reply = script.Run(ctx, node, keys, args...); !l.moved(ctx, reply.Err()) {
			break
		}
	}
	return reply
}

// unrepeated executes a command on a key at most once: on a Cluster it is sent directly to the key's node.
func unrepeated[C goredis.Cmder](ctx context.Context, client goredis.UniversalClient, key string, do func(goredis.UniversalClient) C) (reply C, err error) {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok {
		reply = do(client)
		return reply, reply.Err()
	}
	for range routes {
		var node *goredis.Client
		if node, err = masterFor(ctx, cluster, key); err != nil {
			return reply, err
		}
		reply = do(node)
		if err = reply.Err(); !moved(ctx, client, err) {
			break
		}
	}
	return reply, err
}
