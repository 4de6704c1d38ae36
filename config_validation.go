package chatcore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// Validate returns an error that names every invalid setting, by its path such as Redis.PoolSize, and what is allowed.
func (c Config) Validate() error {
	var v validation
	v.add(c.checkKeys())
	v.add(app.CheckLimits(c.Limits.Rates))
	v.add(c.Limits.Caps.Check())
	v.add(c.Access.FormerMembers.Check())
	v.add(c.Webhooks.check())
	if c.Log.Announce > AnnounceLegacy {
		v.refuse("Log.Announce", c.Log.Announce, "AnnounceBoth, AnnouncePartition, AnnounceLegacy")
	}
	c.checkSigns(&v)
	c.checkRanges(&v)
	c.Vault.check(&v)
	c.Retention.check(&v)
	return errors.Join(v...)
}

// validation collects what is wrong with a configuration.
type validation []error

func (v *validation) add(err error) {
	if err != nil {
		*v = append(*v, err)
	}
}

func (v *validation) refuse(field string, problem any, allowed string) {
	v.add(&domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %v", problem), Allowed: allowed})
}

// checkKeys checks the namespace, the names and the number of partitions.
func (c Config) checkKeys() error {
	_, err := keyspace.Names(c.Redis.Names).Keys(c.Redis.Namespace, c.WithDefaults().Log.Partitions, false)
	return err
}

// checkSigns refuses durations and numbers below 0.
func (c Config) checkSigns(v *validation) {
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"Redis.CommandTimeout", c.Redis.CommandTimeout},
		{"Redis.Durability.Timeout", c.Redis.Durability.Timeout},
		{"Delivery.Lease", c.Delivery.Lease},
		{"Delivery.Retry.First", c.Delivery.Retry.First},
		{"Delivery.Retry.Max", c.Delivery.Retry.Max},
		{"Delivery.BuiltinPace", c.Delivery.BuiltinPace},
		{"Delivery.EffectTTL", c.Delivery.EffectTTL},
		{"Delivery.Warn.LagAge", c.Delivery.Warn.LagAge},
		{"Presence.HeartbeatTTL", c.Presence.HeartbeatTTL},
		{"Presence.DevicesTTL", c.Presence.DevicesTTL},
		{"Presence.StatusTTL", c.Presence.StatusTTL},
		{"Presence.TypingTTL", c.Presence.TypingTTL},
		{"Sessions.Idle", c.Sessions.Idle},
		{"Sessions.Lifetime", c.Sessions.Lifetime},
		{"Caches.MessageTTL", c.Caches.MessageTTL},
		{"Caches.ChatListTTL", c.Caches.ChatListTTL},
		{"Caches.ContactListTTL", c.Caches.ContactListTTL},
		{"Limits.EditWindow", c.Limits.EditWindow},
		{"Feeds.Heartbeat", c.Feeds.Heartbeat},
		{"Vault.TailEvery", c.Vault.TailEvery},
		{"Vault.FullTailEvery", c.Vault.FullTailEvery},
		{"Vault.Keep", c.Vault.Keep},
		{"Retention.MaxAge", c.Retention.MaxAge},
		{"StopTimeout", c.StopTimeout},
	} {
		if d.value < 0 {
			v.refuse(d.field, d.value, "a duration from 0")
		}
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"Redis.PoolSize", c.Redis.PoolSize},
		{"Redis.ConnectAttempts", c.Redis.ConnectAttempts},
		{"Redis.Durability.Replicas", c.Redis.Durability.Replicas},
		{"Log.Queue", c.Log.Queue},
		{"Delivery.Retry.Attempts", c.Delivery.Retry.Attempts},
		{"Delivery.DeadLetterBound", c.Delivery.DeadLetterBound},
		{"Delivery.StreamBound", c.Delivery.StreamBound},
		{"Delivery.MaxGroups", c.Delivery.MaxGroups},
		{"Delivery.LiveBuffer", c.Delivery.LiveBuffer},
		{"Delivery.Warn.Lag", c.Delivery.Warn.Lag},
		{"Delivery.Warn.Waiting", c.Delivery.Warn.Waiting},
		{"Retention.MaxMessages", c.Retention.MaxMessages},
		{"Retention.Rate", c.Retention.Rate},
		{"Feeds.MaxChats", c.Feeds.MaxChats},
		{"Feeds.MaxCatchUp", c.Feeds.MaxCatchUp},
		{"Feeds.QueueCount", c.Feeds.QueueCount},
		{"Feeds.QueueBytes", c.Feeds.QueueBytes},
		{"Feeds.Opens", c.Feeds.Opens},
		{"Feeds.Reads", c.Feeds.Reads},
		{"Feeds.CacheBytes", c.Feeds.CacheBytes},
	} {
		if n.value < 0 {
			v.refuse(n.field, n.value, "a number from 0")
		}
	}
}

const (
	// minHeartbeat is the shortest lifetime of a heartbeat; the sweeper runs once a second.
	minHeartbeat = time.Second
	// maxBuiltinPace is the longest pace of the built-in subscribers.
	maxBuiltinPace = time.Minute
)

// checkRanges refuses values that are out of their range, or do not fit together.
func (c Config) checkRanges(v *validation) {
	if p := c.Presence.withDefaults(); p.HeartbeatTTL > min(p.DevicesTTL, p.StatusTTL)/2 {
		v.refuse("Presence.HeartbeatTTL", p.HeartbeatTTL, "at most half of Presence.DevicesTTL and of Presence.StatusTTL")
	}
	if ttl := c.Presence.HeartbeatTTL; ttl > 0 && ttl < minHeartbeat {
		v.refuse("Presence.HeartbeatTTL", ttl, "at least "+minHeartbeat.String())
	}
	if lease := c.Delivery.Lease; lease > 0 && lease < group.MinLease {
		v.refuse("Delivery.Lease", lease, "at least "+group.MinLease.String())
	}
	if c.Delivery.BuiltinPace > maxBuiltinPace {
		v.refuse("Delivery.BuiltinPace", c.Delivery.BuiltinPace, "at most "+maxBuiltinPace.String())
	}
	if n := c.Limits.PreviewBytes; n > ports.MaxPreview {
		v.refuse("Limits.PreviewBytes", n, "at most "+strconv.Itoa(ports.MaxPreview))
	}
	if n := c.Sessions.PerUser; n < 0 || n > domain.MaxSessionsPerUser {
		v.refuse("Sessions.PerUser", n, "1 to "+strconv.Itoa(domain.MaxSessionsPerUser))
	}
	if cluster, err := conn.IsCluster(c.Redis.URL); c.Sessions.Compat && err == nil && cluster {
		v.refuse("Sessions.Compat", true, "false on a Cluster")
	}
}
