package redis

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// routes is how often at most a call is sent elsewhere.
const routes = 4

// node is the server that has a partition. What is about one partition goes there by ourselves, because go-redis's own way through a Cluster
// repeats what had no answer, and asks a node that is gone over and over.
func (l *Log) node(ctx context.Context, partition int) (*goredis.Client, error) {
	switch client := l.client.(type) {
	case *goredis.ClusterClient:
		return masterFor(ctx, client, l.keys.id(partition))
	case *goredis.Client:
		return client, nil
	}
	return nil, fmt.Errorf("a log cannot be on a %T", l.client)
}

// masterFor is the node that has a key. A Cluster's client that was closed knows none.
func masterFor(ctx context.Context, cluster *goredis.ClusterClient, key string) (*goredis.Client, error) {
	node, err := cluster.MasterForKey(ctx, key)
	if errors.Is(err, goredis.ErrClosed) {
		err = closed(err)
	}
	return node, err
}

// moved reports whether another node is to be asked than one that gave this error, and finds out which: the slot is elsewhere, or the node is
// gone. If the error leaves open what happened, it only finds out.
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
	if ports.Ended(ctx, err) != nil { // nobody waits any more
		cluster.ReloadState(ctx)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	// Looks at the Cluster now, where ReloadState only has it looked at.
	_ = cluster.ForEachMaster(ctx, func(context.Context, *goredis.Client) error { return nil })
	return away || neverSent(err)
}

// run carries out a script for one partition that may be carried out twice. more are keys beside the partition's id key.
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

// unrepeated carries out a command on a key that must not be carried out twice: on a Cluster it goes to the node by ourselves.
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
