package rig

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/tests/redistest"
)

// ClusterDump returns all keys and values of a Cluster.
func ClusterDump(t *testing.T, cluster *redistest.Cluster) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for i := range cluster.Masters {
		maps.Copy(all, Dump(t, cluster.Client(t, i)))
	}
	return all
}

// State returns all keys and values of a server, without the times in them.
func State(t *testing.T, admin goredis.UniversalClient) string {
	t.Helper()
	ctx := t.Context()
	names := admin.Keys(ctx, "*").Val()
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		expires := ""
		if admin.PTTL(ctx, name).Val() > 0 {
			expires = " expires"
		}
		var value any
		switch kind := admin.Type(ctx, name).Val(); kind {
		case "string":
			value = admin.Get(ctx, name).Val()
		case "hash":
			value = admin.HGetAll(ctx, name).Val()
		case "set":
			members := admin.SMembers(ctx, name).Val()
			slices.Sort(members)
			value = members
		case "zset":
			value = admin.ZRange(ctx, name, 0, -1).Val()
		case "list":
			value = admin.LRange(ctx, name, 0, -1).Val()
		case "stream":
			value = admin.XRange(ctx, name, "-", "+").Val()
		}
		fmt.Fprintf(&b, "  %s%s = %v\n", name, expires, value)
	}
	masked := regexp.MustCompile(`\d{12,}(-\d+)?|\d{9}\.\d+|\d{4}-\d\d-\d\dT[\d:.]+Z|(epoch|revision):\d+`).ReplaceAllString(b.String(), "TIME")
	return regexp.MustCompile(`map\[ +`).ReplaceAllString(masked, "map[")
}

// Dump returns all keys and values of a server.
func Dump(t *testing.T, client goredis.UniversalClient) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, key := range client.Keys(t.Context(), "*").Val() {
		value, err := client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[key] = value
	}
	return all
}

// Kinds returns the type of each key of a server.
func Kinds(t *testing.T, client goredis.UniversalClient) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for key := range Dump(t, client) {
		all[key] = client.Type(t.Context(), key).Val()
	}
	return all
}
