package redis

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatcore/domain"
	"chatcore/ports"
)

// Keys builds the names of all keys that chatcore has in Redis.
//
// The log's own keys, where {p} is the tag of the chat's partition:
//
//	cc:{p}:id          STRING  the log's identity: LOGID;LEVEL;PARTITIONS;HASH;NAMES, at level 1 only the log id. Scripts compare the whole value
//	cc:log             HASH    a copy of it, to create and find the log: log_id, level, partitions, hash, names; ready is 1 once every
//	                           partition has the identity
//	cc:{p}:chats       SET     the ids of the partition's chats
//	cc:{p}:count       STRING  the number of these chats
//	cc:{p}:last        HASH    chat → seq:time of its last message, in Unix milliseconds. It is a cache: chats may be missing or outdated
//	cc:{p}:CHAT:0 …    LIST    the chat's events, 1,024 per segment: links to earlier events, then the event's JSON
//	cc:{p}:CHAT:x      HASH    " " → last seq : ordinal; a message's id, or " ", kind and id of another entity → its version, after more
//	                           than one event : events : first seq; " k" and a digest of actor and command id → version : events :
//	                           fingerprint; " #u" and " #d" → number of elements of :u and :d
//	cc:{p}:CHAT:u      HASH    present or former member → ""
//	cc:{p}:CHAT:d      ZSET    first seqs of deleted messages
//	cc:{p}:CHAT:t      ZSET    the typing marks of the chat by expiry; expires with the last one
//	cc:{p}:CHAT:s      HASH    field of an entity in :x → version of its snapshot; "=" and the field → the snapshot
//	cc:{p}:fence:TOKEN STRING  marks a batch that was sent again; 10 min
//	cc:{p}:witness:ID  STRING  a counter that a process raises as it reads newer data; a lower value reveals older data; 1 day
//	cc:{p}:confirm     STRING  written before replicas are asked to confirm all earlier writes; 1 min
//
// Deliveries and read models, where {KEY} is the hash tag of the key whose slot they share:
//
//	cc:once:{KEY}:NAME:IDENTITY  STRING  an effect on KEY; a week, or Config.EffectTTL
//	cc:user-chats:USER           HASH    chat of the user → seq of the user's join
//	cc:sessions:USER             HASH    id of an open session → end of its key, its number, and in milliseconds the times at which it was opened,
//	                                     ends and was last used, and its idle time; expires after the longest lifetime
//	cc:{KEY}:v                   HASH    beside chat:unread:USER and cc:user-chats:USER: chat → seq of the field's value, after a rebuild
//	                                     : epoch of the rebuild, and a minus at the end if there is no field; " " → log id; " #" → number
//	                                     of fields
//
// Presence, beside user:status:USER, presence:USER and user:online: (see script/presence.lua). On a Cluster, {p}: precedes each USER, where p is the
// tag of a partition:
//
//	cc:presence:USER             HASH    connection → end of its heartbeat, and further fields; expires after a day, or longer depending on
//	                                     TTL.Presence, and after the end of the last heartbeat TTL.Presence later
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
// The other names are [Names].
type Keys struct {
	prefix  string
	names   *Names
	tags    []string
	cluster bool
}

// NewKeys returns the keys of the wire contract.
func NewKeys(namespace string, partitions int, cluster bool) (Keys, error) {
	return Names{}.Keys(namespace, partitions, cluster)
}

// Keys returns the keys under a namespace, which may be empty, for a number of partitions. In cluster mode a typing mark shares its chat's hash tag,
// because a send removes it, and the presence of a user shares the tag of a partition.
func (n Names) Keys(namespace string, partitions int, cluster bool) (Keys, error) {
	if namespace != "" && !plain(namespace) {
		return Keys{}, &domain.InvalidError{Field: "Namespace", Problem: "is " + strconv.Quote(namespace), Allowed: "nothing, or " + allowedName}
	}
	if strings.Contains(":"+namespace+":", ":"+ownPrefix) { // its keys would be those of a log without this namespace
		return Keys{}, &domain.InvalidError{Field: "Namespace", Problem: "is " + strconv.Quote(namespace), Allowed: "one without the part " + strconv.Quote(strings.TrimSuffix(ownPrefix, ":"))}
	}
	n = n.WithDefaults()
	if err := n.check(); err != nil {
		return Keys{}, err
	}
	if partitions < 1 || partitions > MaxPartitions {
		return Keys{}, &domain.InvalidError{
			Field: "Partitions", Problem: "is " + strconv.Itoa(partitions), Allowed: "1 to " + strconv.Itoa(MaxPartitions),
		}
	}
	prefix := ""
	if namespace != "" {
		prefix = namespace + ":"
	}
	return n.keys(prefix, partitions, cluster), nil
}

// keys returns the keys under a prefix, without validation.
func (n Names) keys(prefix string, partitions int, cluster bool) Keys {
	n = n.WithDefaults()
	k := Keys{prefix: prefix, cluster: cluster, names: &n, tags: tags(partitions)}
	if partitions == 1 {
		// The bare stream's name, as a tag, hashes to the slot of the bare stream.
		k.tags = []string{k.prefix + k.names.Stream}
	}
	return k
}

// Channel names the plain pub/sub channel of an event type.
func (k Keys) Channel(typ string) string { return k.prefix + k.names.channel(typ) }

// of returns the name of a custom key or channel.
func (k Keys) of(key string) string { return k.prefix + key }

// checkKey returns an error if a caller may not use a key because it is reserved for chatcore. It must be called for every key that a caller
// provides, for example to helpers and effects.
func (k Keys) checkKey(field, key string) error {
	if k.reserved(key) {
		return &domain.InvalidError{Field: field, Problem: "is of an event log or of chatcore's own records", Allowed: "keys of other names"}
	}
	return nil
}

// reserved reports whether a key, including its namespace, belongs to an event log or to chatcore's own records: in this namespace, in none, or in
// another one. The end of another namespace is unknown, but ids are escaped, so that no key with a user's id looks like a reserved one.
func (k Keys) reserved(key string) bool {
	if rest, ours := strings.CutPrefix(key, k.prefix); ours && k.ofLog(rest) {
		return true
	}
	for rest, found := key, true; found; _, rest, found = strings.Cut(rest, ":") {
		switch {
		case rest == ownPrefix+"log", strings.HasPrefix(rest, ownPrefix+"{"), strings.HasPrefix(rest, ownPrefix+"once:{"),
			strings.HasPrefix(rest, ownPrefix+"user-chats:"), strings.HasPrefix(rest, ownPrefix+"sessions:"), strings.HasPrefix(rest, ownPrefix+"presence"),
			strings.HasPrefix(rest, ownPrefix+"gcra:"):
			return true
		case rest == k.names.Stream, strings.HasPrefix(rest, k.names.Stream+":{"):
			return true
		}
	}
	return false
}

// ofLog reports whether a name without the namespace is reserved in this namespace.
func (k Keys) ofLog(rest string) bool {
	return strings.HasPrefix(rest, ownPrefix) || rest == k.names.Stream || strings.HasPrefix(rest, k.names.Stream+":")
}

// firstIDs returns the id keys that partition 0 of a log in the namespace can have, whatever its number of partitions.
func (k Keys) firstIDs() []string {
	var keys []string
	for _, tag := range append(firstTags(), k.prefix+k.names.Stream, k.prefix+Names{}.WithDefaults().Stream) {
		keys = append(keys, k.prefix+ownPrefix+"{"+tag+"}:id")
	}
	return keys
}

// sameTags reports whether other has the same partitions with the same hash tags.
func (k Keys) sameTags(other Keys) bool { return slices.Equal(k.tags, other.tags) }

// Prefix returns the prefix of every key and channel.
func (k Keys) Prefix() string { return k.prefix }

// Names returns the configured names, with the default of each that was empty.
func (k Keys) Names() Names { return *k.names }

// IsZero reports whether k is the zero Keys, which has no names.
func (k Keys) IsZero() bool { return k.names == nil }

// tag returns the hash tag of a partition.
func (k Keys) tag(p int) string { return k.tags[p] }

// Cluster reports whether the keys are those of a Cluster.
func (k Keys) Cluster() bool { return k.cluster }

// PartitionCount returns the number of partitions.
func (k Keys) PartitionCount() int { return len(k.tags) }

// Partition names a delivery stream, and the prefix of its groups' keys. Package pubsub defines the rest of their names.
type Partition struct {
	Stream    string
	Base      string
	Partition int // below 0 for the bare stream, which other programs write
}

// Partitions returns the streams that a group reads: each partition's, and the bare stream if it is none of these.
func (k Keys) Partitions() []Partition {
	partitions := make([]Partition, 0, len(k.tags)+1)
	for p := range k.tags {
		partitions = append(partitions, Partition{Stream: k.stream(p), Base: k.partitionKey(p, ""), Partition: p})
	}
	if len(k.tags) > 1 {
		bare := k.prefix + k.names.Stream
		partitions = append(partitions, Partition{Stream: bare, Base: k.prefix + "cc:{" + bare + "}:", Partition: -1})
	}
	return partitions
}

func (k Keys) stream(p int) string {
	if len(k.tags) == 1 {
		return k.prefix + k.names.Stream
	}
	return k.prefix + k.names.Stream + ":{" + k.tags[p] + "}"
}

// Partition returns the number of the chat's partition, from 0.
func (k Keys) Partition(chat domain.ChatID) int { return partitionOf(chat, len(k.tags)) }

func (k Keys) log() string { return k.prefix + "cc:log" }

func (k Keys) partitionKey(p int, name string) string {
	return k.prefix + "cc:{" + k.tags[p] + "}:" + name
}

func (k Keys) id(p int) string    { return k.partitionKey(p, "id") }
func (k Keys) chats(p int) string { return k.partitionKey(p, "chats") }

func (k Keys) count(p int) string { return k.partitionKey(p, "count") }

func (k Keys) last(p int) string { return k.partitionKey(p, "last") }

func (k Keys) confirm(p int) string { return k.partitionKey(p, "confirm") }

func (k Keys) witness(p int, process string) string {
	return k.partitionKey(p, "witness:"+process)
}

func (k Keys) chat(chat domain.ChatID, part string) string {
	return k.partitionKey(k.Partition(chat), escape(string(chat))+":"+part)
}

func (k Keys) typing(chat domain.ChatID, user domain.UserID) string {
	return string(k.appendTyping(nil, chat, user))
}

func (k Keys) typists(chat domain.ChatID) string { return k.chat(chat, "t") }

// typist returns the user of a chat's typing mark.
func (k Keys) typist(chat domain.ChatID, mark string) (domain.UserID, bool) {
	user, ours := strings.CutPrefix(mark, k.typing(chat, ""))
	if !ours {
		return "", false
	}
	plain, err := url.PathUnescape(user)
	return domain.UserID(plain), err == nil
}

func (k Keys) appendTyping(b []byte, chat domain.ChatID, user domain.UserID) []byte {
	b = append(append(b, k.prefix...), k.names.Typing...)
	if k.cluster {
		b = append(append(append(b, '{'), k.tags[k.Partition(chat)]...), "}:"...)
	}
	b = append(appendEscaped(b, string(chat)), ':')
	return appendEscaped(b, string(user))
}

func (k Keys) appendChannel(b []byte, typ string) []byte {
	return append(append(b, k.prefix...), k.names.channel(typ)...)
}

func (k Keys) status(user domain.UserID) string { return k.presenceKey(k.names.UserStatus, user) }

func (k Keys) presence(user domain.UserID) string { return k.presenceKey(k.names.Presence, user) }

// record returns the key of a user's presence record.
func (k Keys) record(user domain.UserID) string { return k.presenceKey("cc:presence:", user) }

// presenceKey returns a presence key of a user. On a Cluster it has the tag of a partition: these tags are spread evenly, and the key shares a slot
// with its due index.
func (k Keys) presenceKey(name string, user domain.UserID) string {
	if k.cluster {
		name += "{" + k.tags[k.shard(user)] + "}:"
	}
	return k.prefix + name + escape(string(user))
}

// shards returns the number of due indexes.
func (k Keys) shards() int {
	if k.cluster {
		return len(k.tags)
	}
	return 1
}

func (k Keys) shard(user domain.UserID) int { return partitionOf(domain.ChatID(user), k.shards()) }

// due returns the key of an index of users by the end of their last heartbeat.
func (k Keys) due(shard int) string {
	if k.cluster {
		return k.prefix + "cc:presence-due:{" + k.tags[shard] + "}"
	}
	return k.prefix + "cc:presence-due"
}

func (k Keys) sweeper() string { return k.prefix + "cc:presence-sweeper" }

// online returns the key of the set of online users, added that of the users in it that a core has added. They share a slot.
func (k Keys) online() string { return k.prefix + k.names.UserOnline }
func (k Keys) added() string  { return k.prefix + "cc:{" + k.online() + "}:added" }

func (k Keys) rateLimit(name []string) string {
	return k.prefix + k.names.RateLimit + joined(name)
}

func (k Keys) gcra(name []string) string { return k.prefix + "cc:gcra:" + joined(name) }

// joined joins the parts of a name by colons, escaped so that different parts give different names.
func joined(name []string) string {
	var b []byte
	for i, part := range name {
		if i > 0 {
			b = append(b, ':')
		}
		b = appendEscaped(b, part)
	}
	return string(b)
}

func (k Keys) unread(user domain.UserID) string {
	return k.prefix + k.names.ChatUnread + escape(string(user))
}

func (k Keys) userChats(user domain.UserID) string {
	return k.prefix + "cc:user-chats:" + escape(string(user))
}

// versions returns the key of the versions of a user's numbers.
func (k Keys) versions(numbers string) string { return k.prefix + "cc:{" + numbers + "}:v" }

// cached returns the keys of a cached value: the value, its lease, its last invalidation and, unless it is an object, its metadata.
func (k Keys) cached(c ports.CacheKey) []string {
	value := k.cachedValue(c)
	beside := k.prefix + ownPrefix + "{" + value + "}:"
	keys := []string{value, beside + "l", beside + "f", beside + "m"}
	if c.Object {
		keys = keys[:3]
	}
	return keys
}

func (k Keys) cachedValue(c ports.CacheKey) string { return k.prefix + c.Prefix + escape(c.ID) }

// session returns the key of a session record, which contains the hash of the session's secret. On a Cluster the user is a hash tag.
func (k Keys) session(user domain.UserID, key string) string { return k.sessionPrefix(user) + key }

func (k Keys) sessionPrefix(user domain.UserID) string {
	return k.prefix + k.names.Session + k.tagged(user) + ":"
}

// guideSession returns the key of a session record by its token, in the form of the guide.
func (k Keys) guideSession(token string) string { return k.prefix + k.names.Session + token }

func (k Keys) sessions(user domain.UserID) string { return k.prefix + "cc:sessions:" + k.tagged(user) }

// tagged returns a user's id as a part of keys that share a slot of a Cluster.
func (k Keys) tagged(user domain.UserID) string {
	if k.cluster {
		return "{" + escape(string(user)) + "}"
	}
	return escape(string(user))
}

// marker returns the key of the marker of an effect on a key. Both have the same slot. It returns false for a key without a determinable slot. The
// marker of an effect without a key may be in any slot.
func (k Keys) marker(on, name, identity string) (string, bool) {
	tag, ok := tagOf(on)
	if on == "" {
		tag, ok = identity, true
	}
	return k.prefix + "cc:once:{" + tag + "}:" + escape(name) + ":" + identity, ok
}

// tagOf returns the part of a key that determines its slot: the content of the first braces or, without braces, the whole key. It returns false if
// the braces of a key form no tag: then no other key certainly has the same slot.
func tagOf(key string) (string, bool) {
	if _, after, open := strings.Cut(key, "{"); open {
		if tag, _, closed := strings.Cut(after, "}"); closed {
			return tag, tag != ""
		}
	}
	return key, key != "" && !strings.Contains(key, "}")
}

// Escape makes any text usable as a part of a key: it percent-encodes characters with a meaning in keys and patterns. Plain ids remain unchanged.
func Escape(part string) string { return escape(part) }

// escape percent-encodes characters with a meaning in keys and patterns. Plain ids remain unchanged.
func escape(s string) string {
	if strings.IndexFunc(s, special) < 0 && utf8.ValidString(s) {
		return s
	}
	return string(appendEscaped(nil, s))
}

func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf && !special(rune(c)) {
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if special(r) || (r == utf8.RuneError && size == 1) {
			for _, c := range []byte(s[i : i+size]) {
				b = append(b, '%', hex[c>>4], hex[c&15])
			}
		} else {
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}

func special(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7f || strings.IndexByte(`%:{}*?[]\`, byte(r)) >= 0
	}
	return unicode.IsSpace(r) || unicode.IsControl(r)
}
