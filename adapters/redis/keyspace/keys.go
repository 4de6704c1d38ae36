package keyspace

import (
	"strconv"
	"strings"

	"chatcore/domain"
)

// Keys builds the names of all keys that chatcore has in Redis. The keys of each concern have a type of their own.
//
// The log's own keys, where {p} is the tag of the chat's partition:
//
//	cc:{p}:id          STRING  the log's identity: LOGID;LEVEL;PARTITIONS;HASH;NAMES, at level 1 only the log id. Scripts compare the whole value
//	cc:log             HASH    a copy of it, to create and find the log: log_id, level, partitions, hash, names; ready is 1 once every
//	                           partition has the identity; ancestors has the logs that it continues, as JSON; restoring the token of a restore that
//	                           is not finished. Then level is one that no program knows, and the id keys have ;restoring;TOKEN
//	cc:{p}:chats       SET     the ids of the partition's chats
//	cc:{p}:count       STRING  the number of these chats
//	cc:{p}:last        HASH    chat → seq:time of its last message, in Unix milliseconds. It is a cache: chats may be missing or outdated
//	cc:{p}:previews    HASH    chat as in keys → its last message as chat lists show it, see script/previews.lua. It is a cache, as the last one
//	cc:{p}:vault       HASH    chat → its segments that are sealed in the vault; "" → the history that was compared with the vault last
//	cc:{p}:holds       HASH    "" and those of the log, c and a chat, u and a user → its legal holds, JSON
//	cc:{p}:retention   HASH    "" and that of the log, c and a chat → its retention policy, JSON
//	cc:{p}:expired     HASH    r and a chat → seq : time : ordinal of the first message that retention has left, and : the seq up to which it has
//	                           passed; v and a chat → the same of the first segment of the vault that may have content of erased events. It is a cache: chats may be missing
//	cc:{p}:CHAT:0 …    LIST    the chat's events, 1,024 per segment: links to earlier events, then the event's JSON or, from level 3 on, its
//	                           compact form
//	cc:{p}:CHAT:x      HASH    " " → last seq : ordinal, and from level 3 on : tombstones : seq of the last message; a message's id, or " ", kind and id of another entity → its version, after more
//	                           than one event : events : first seq; " k" and a digest of actor and command id → version : events :
//	                           fingerprint; " r" and a user → version, and from level 3 on : base : ordinal at the base, or :-; " #u" and,
//	                           below level 3, " #d" → number of elements of :u and :d
//	cc:{p}:CHAT:u      HASH    present or former member → ""
//	cc:{p}:CHAT:d      ZSET    first seqs of deleted messages
//	cc:{p}:CHAT:t      ZSET    the typing marks of the chat by expiry; expires with the last one
//	cc:{p}:CHAT:s      HASH    field of an entity in :x → version of its snapshot; "=" and the field → the snapshot
//	cc:{p}:fence:TOKEN STRING  marks a batch that was sent again; 10 min
//	cc:{p}:rewrite:ID  LIST    new entries of a segment, before they replace it; 10 min
//	cc:{p}:witness:ID  STRING  a counter that a process raises as it reads newer data; a lower value reveals older data; 1 day
//	cc:{p}:confirm     STRING  written before replicas are asked to confirm all earlier writes; 1 min
//
// Deliveries and read models, where {KEY} is the hash tag of the key whose slot they share:
//
//	cc:once:{KEY}:NAME:IDENTITY  STRING  an effect on KEY; a week, or Config.Delivery.EffectTTL
//	cc:user-chats:USER           HASH    chat of the user → seq of the user's join
//	cc:user-blocks:USER          HASH    direct chat in which the user blocks the other one → 1
//	cc:user-favourites:USER      HASH    chat that is a favourite of the user → 1
//	cc:user-hidden:USER          HASH    chat that the user has hidden → the chat's last seq at that time, or the largest number: until the user shows it
//	cc:sessions:USER             HASH    id of an open session → end of its key, its number, and in milliseconds the times at which it was opened,
//	                                     ends and was last used, and its idle time; expires after the longest lifetime
//	cc:{KEY}:v                   HASH    beside chat:unread:USER and the keys cc:user-…:USER: chat → seq of the field's value, after a rebuild
//	                                     : epoch of the rebuild, and a minus at the end if there is no field; " " → log id; " #" → number
//	                                     of fields
//
// Definitions of consumer groups whose handlers are in other programs:
//
//	cc:definitions               HASH    group → its definition as JSON (see package definitions); "" → the revision of all of them, a number that grows
//	                                     with each change
//	cc:webhook-failed:GROUP      LIST    attempts of a webhook that failed, JSON, the latest first: at most 100; for 7 days after the last one
//	cc:webhook-ok:GROUP          LIST    those that succeeded
//
// Presence, beside user:status:USER, presence:USER and user:online: (see script/presence.lua). On a Cluster, {p}: precedes each USER, where p is the
// tag of a partition:
//
//	cc:presence:USER             HASH    connection → end of its heartbeat, and further fields; expires after a day, or longer depending on
//	                                     DevicesTTL, and after the end of the last heartbeat DevicesTTL later
//	cc:presence-due              ZSET    user → end of the last heartbeat, or earlier; removed then; on a Cluster cc:presence-due:{p}
//	cc:presence-sweeper          STRING  token of the sweeping process; a few seconds
//	cc:{user:online:}:added      SET     on a Cluster, the members of user:online: that a core has added
//
// Beside a cached value:
//
//	cc:{KEY}:l  STRING  the lease of its loader: token, and digest of the value at that time; CacheConfig.Lease
//	cc:{KEY}:f  STRING  the last invalidated version, and its origin; CacheConfig.Remember
//	cc:{KEY}:m  STRING  metadata of a value that is no object: schema, version, end of freshness, digest of the value, origin; as long as the value
//
// Rate limits:
//
//	cc:gcra:NAME                 STRING  the time at which the limit is full again; until then
//
// Channels beside those of event types, where the first one is sharded on a Cluster:
//
//	cc:{p}:live                  events of the partition, as they are appended; see [wireformat.Announcement]
//	cc:memberships               ids of users that gain or lose a chat
//	cc:relay:INSTANCE            requests to a process, and answers to its own; see package relay
//
// The other names are [Names].
type Keys struct{ base }

// base is the part of Keys that every concern shares.
type base struct {
	prefix  string
	names   *Names
	tags    []string
	cluster bool
}

// New returns the keys of the wire contract.
func New(namespace string, partitions int, cluster bool) (Keys, error) {
	return Names{}.Keys(namespace, partitions, cluster)
}

// Keys returns the keys under a namespace, which may be empty, for a number of partitions. In cluster mode a typing mark shares its chat's hash tag,
// because a send removes it, and the presence of a user shares the tag of a partition.
func (n Names) Keys(namespace string, partitions int, cluster bool) (Keys, error) {
	if namespace != "" && !plain(namespace) {
		return Keys{}, &domain.InvalidError{Field: "Redis.Namespace", Problem: "is " + strconv.Quote(namespace), Allowed: "nothing, or " + allowedName}
	}
	if strings.Contains(":"+namespace+":", ":"+OwnPrefix) { // its keys would be those of a log without this namespace
		return Keys{}, &domain.InvalidError{Field: "Redis.Namespace", Problem: "is " + strconv.Quote(namespace), Allowed: "one without the part " + strconv.Quote(strings.TrimSuffix(OwnPrefix, ":"))}
	}
	n = n.WithDefaults()
	if err := n.Check(); err != nil {
		return Keys{}, err
	}
	if partitions < 1 || partitions > MaxPartitions {
		return Keys{}, &domain.InvalidError{
			Field: "Log.Partitions", Problem: "is " + strconv.Itoa(partitions), Allowed: "1 to " + strconv.Itoa(MaxPartitions),
		}
	}
	prefix := ""
	if namespace != "" {
		prefix = namespace + ":"
	}
	return n.UncheckedKeys(prefix, partitions, cluster), nil
}

// UncheckedKeys returns the keys under a prefix, without validation.
func (n Names) UncheckedKeys(prefix string, partitions int, cluster bool) Keys {
	n = n.WithDefaults()
	k := base{prefix: prefix, cluster: cluster, names: &n, tags: tags(partitions)}
	if partitions == 1 {
		// The bare stream's name, as a tag, hashes to the slot of the bare stream.
		k.tags = []string{k.prefix + k.names.Stream}
	}
	return Keys{k}
}

// Log returns the keys of the event log.
func (k Keys) Log() Log { return Log(k) }

// Typing returns the keys of typing marks.
func (k Keys) Typing() Typing { return Typing(k) }

// Presence returns the keys of presence.
func (k Keys) Presence() Presence { return Presence(k) }

// Limits returns the keys of rate limits.
func (k Keys) Limits() Limits { return Limits(k) }

// Feeds returns the keys of the state of feeds.
func (k Keys) Feeds() Feeds { return Feeds(k) }

// Relays returns the channels by which processes ask each other.
func (k Keys) Relays() Relays { return Relays(k) }

// Webhooks returns the keys of the attempts of webhooks.
func (k Keys) Webhooks() Webhooks { return Webhooks(k) }

// Definitions returns the key of the definitions of consumer groups.
func (k Keys) Definitions() Definitions { return Definitions(k) }

// Sessions returns the keys of sessions.
func (k Keys) Sessions() Sessions { return Sessions(k) }

// Views returns the keys of read models by user.
func (k Keys) Views() Views { return Views(k) }

// Caches returns the keys of cached values.
func (k Keys) Caches() Caches { return Caches(k) }

// Custom returns the keys of callers.
func (k Keys) Custom() Custom { return Custom(k) }

// Channel names the plain pub/sub channel of an event type.
func (k base) Channel(typ string) string { return k.prefix + k.names.channel(typ) }

// Prefix returns the prefix of every key and channel.
func (k base) Prefix() string { return k.prefix }

// Names returns the configured names, with the default of each that was empty.
func (k base) Names() Names { return *k.names }

// IsZero reports whether k is the zero Keys, which has no names.
func (k base) IsZero() bool { return k.names == nil }

// Cluster reports whether the keys are those of a Cluster.
func (k base) Cluster() bool { return k.cluster }

// PartitionCount returns the number of partitions.
func (k base) PartitionCount() int { return len(k.tags) }

// Partition returns the number of the chat's partition, from 0.
func (k base) Partition(chat domain.ChatID) int { return partitionOf(chat, len(k.tags)) }

func (k base) partitionKey(p int, name string) string {
	return k.prefix + OwnPrefix + "{" + k.tags[p] + "}:" + name
}

func (k base) chat(chat domain.ChatID, part string) string {
	return k.partitionKey(k.Partition(chat), Escape(string(chat))+":"+part)
}
