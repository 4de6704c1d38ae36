package redis

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatcore/domain"
	"chatcore/ports"
)

// Keys names everything that chatcore keeps in Redis.
//
// The log's own keys, where {p} is the tag of the chat's partition:
//
//	cc:{p}:id          STRING  the log's identity: LOGID;LEVEL;PARTITIONS;HASH;NAMES, at level 1 the log id alone. Scripts compare all of it
//	cc:log             HASH    a copy of it, by which a log is made and found: log_id, level, partitions, hash, names; ready is 1 once every
//	                           partition has the identity
//	cc:{p}:chats       SET     the ids of the partition's chats
//	cc:{p}:count       STRING  how many there are
//	cc:{p}:last        HASH    chat → seq:time of its last message, in Unix milliseconds. It is a cache: chats may be missing or behind
//	cc:{p}:CHAT:0 …    LIST    the chat's events, 1,024 a segment: links to the events before, then the event's JSON
//	cc:{p}:CHAT:x      HASH    " " → last seq : ordinal; a message's id, or " ", kind and id of another entity → its version, after more
//	                           than one event : events : first seq; " k" and a digest of actor and command id → version : events :
//	                           fingerprint; " #u" and " #d" → how many elements :u and :d have
//	cc:{p}:CHAT:u      HASH    who is or was a member → nothing
//	cc:{p}:CHAT:d      ZSET    first seqs of deleted messages
//	cc:{p}:CHAT:t      ZSET    the typing marks of the chat, by when they expire; as long as the last one
//	cc:{p}:CHAT:s      HASH    field of an entity in :x → version of its snapshot; "=" and the field → the snapshot
//	cc:{p}:fence:TOKEN STRING  a batch that was sent again; 10 min
//	cc:{p}:witness:ID  STRING  what one process has seen of the partition is at least as new as this counter; 1 day
//	cc:{p}:confirm     STRING  written so that replicas can be asked for what came before it; 1 min
//
// What is kept of deliveries, where {KEY} is the tag of the key in whose slot it is:
//
//	cc:once:{KEY}:NAME:IDENTITY  STRING  an effect that was made on KEY; a week, or Config.EffectTTL
//	cc:user-chats:USER           HASH    a chat that the user is in → the seq of the user's join
//	cc:sessions:USER             HASH    id of a session that is not closed → what its key ends with, its number, and in milliseconds when it was
//	                                     opened, when it ends, when it was last used, and its idle time; for as long as one may live
//	cc:{KEY}:v                   HASH    beside chat:unread:USER and cc:user-chats:USER: chat → the seq as of which the field is there, after a
//	                                     rebuild : the epoch of that, and with a minus behind it if the field is not there; " " → log id;
//	                                     " #" → how many fields are there
//
// What is kept of presence, beside user:status:USER, presence:USER and user:online: (see script/presence.lua); on a Cluster, {p}: goes before
// each USER, where p is the tag of a partition:
//
//	cc:presence:USER             HASH    connection → when its heartbeat ends, and more; a day (or longer, as TTL.Presence), and from the end
//	                                     of the last heartbeat on for TTL.Presence
//	cc:presence-due              ZSET    user → when the last heartbeat ends, or before it; removed then; on a Cluster cc:presence-due:{p}
//	cc:presence-sweeper          STRING  token of the process that sweeps; a few seconds
//	cc:{user:online:}:added      SET     on a Cluster, whom of user:online: a core has put there
//
// What lies beside a cached value:
//
//	cc:{KEY}:l  STRING  who loads it: token, and digest of what was there then; Kind.Lease
//	cc:{KEY}:f  STRING  the version that was invalidated last, and its origin; Kind.Remember
//	cc:{KEY}:m  STRING  of a value that is no object: schema, version, until when it is fresh, digest of the value, and its origin; as long as the value
//
// Of limits:
//
//	cc:gcra:NAME                 STRING  when a limit has what was taken of it back; until then
//
// The other names are [Names].
type Keys struct {
	prefix  string
	names   *Names
	tags    []string
	cluster bool
}

// NewKeys gives the names of the wire contract.
func NewKeys(namespace string, partitions int, cluster bool) (Keys, error) {
	return Names{}.Keys(namespace, partitions, cluster)
}

// Keys gives the names under a namespace, which may be empty, for a number of partitions. In cluster mode a typing mark shares
// its chat's hash tag, because a send ends it, and what is kept of a user's presence one of the log's.
func (n Names) Keys(namespace string, partitions int, cluster bool) (Keys, error) {
	if namespace != "" && !plain(namespace) {
		return Keys{}, &domain.InvalidError{Field: "Namespace", Problem: "is " + strconv.Quote(namespace), Allowed: "nothing, or " + allowedName}
	}
	if strings.Contains(":"+namespace+":", ":"+ownPrefix) { // its keys would be those of a log without it
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

// keys gives the names under a prefix, without checking anything.
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

// of names a key, or a channel, of the caller's own.
func (k Keys) of(key string) string { return k.prefix + key }

// checkKey returns the error about a whole key of a caller's own that only chatcore may use. Helpers, effects and whatever else takes keys from callers
// ask it.
func (k Keys) checkKey(field, key string) error {
	if k.reserved(key) {
		return &domain.InvalidError{Field: field, Problem: "is of an event log or of chatcore's own records", Allowed: "keys of other names"}
	}
	return nil
}

// reserved reports whether a key, with its namespace, is of an event log or of chatcore's own records: of this namespace, of none, or of another one.
// The end of a namespace is not known, but ids are escaped, so that no key of a user's looks like that.
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

// ofLog reports the same of what follows the namespace.
func (k Keys) ofLog(rest string) bool {
	return strings.HasPrefix(rest, ownPrefix) || rest == k.names.Stream || strings.HasPrefix(rest, k.names.Stream+":")
}

// Prefix is what every key and channel begins with.
func (k Keys) Prefix() string { return k.prefix }

// Lane names a delivery stream, and what the keys of its groups begin with; package pubsub has the rest of their names.
type Lane struct {
	Stream    string
	Base      string
	Partition int // below 0 for the bare stream, to which other programs add
}

// Lanes are the streams that a group reads: each partition's, and the bare one if that is none of them.
func (k Keys) Lanes() []Lane {
	lanes := make([]Lane, 0, len(k.tags)+1)
	for p := range k.tags {
		lanes = append(lanes, Lane{Stream: k.stream(p), Base: k.partitionKey(p, ""), Partition: p})
	}
	if len(k.tags) > 1 {
		bare := k.prefix + k.names.Stream
		lanes = append(lanes, Lane{Stream: bare, Base: k.prefix + "cc:{" + bare + "}:", Partition: -1})
	}
	return lanes
}

func (k Keys) stream(p int) string {
	if len(k.tags) == 1 {
		return k.prefix + k.names.Stream
	}
	return k.prefix + k.names.Stream + ":{" + k.tags[p] + "}"
}

// Partition is the place of the partition that a chat is in, from 0.
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

// typist is the user of a chat's typing mark.
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

// record names what is known of a user's presence.
func (k Keys) record(user domain.UserID) string { return k.presenceKey("cc:presence:", user) }

// presenceKey puts users on a Cluster under the tags of the log's partitions, which are spread evenly: so they share a slot with their due index.
func (k Keys) presenceKey(name string, user domain.UserID) string {
	if k.cluster {
		name += "{" + k.tags[k.shard(user)] + "}:"
	}
	return k.prefix + name + escape(string(user))
}

// shards is how many due indexes there are.
func (k Keys) shards() int {
	if k.cluster {
		return len(k.tags)
	}
	return 1
}

func (k Keys) shard(user domain.UserID) int { return partitionOf(domain.ChatID(user), k.shards()) }

// due names an index of users by when their last heartbeat ends.
func (k Keys) due(shard int) string {
	if k.cluster {
		return k.prefix + "cc:presence-due:{" + k.tags[shard] + "}"
	}
	return k.prefix + "cc:presence-due"
}

func (k Keys) sweeper() string { return k.prefix + "cc:presence-sweeper" }

// online names who is online, added who of them was added by a core. They share a slot.
func (k Keys) online() string { return k.prefix + k.names.UserOnline }
func (k Keys) added() string  { return k.prefix + "cc:{" + k.online() + "}:added" }

func (k Keys) rateLimit(name []string) string {
	return k.prefix + k.names.RateLimit + joined(name)
}

func (k Keys) gcra(name []string) string { return k.prefix + "cc:gcra:" + joined(name) }

// joined keeps the parts of a name apart.
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

// versions names what lies beside a user's numbers.
func (k Keys) versions(numbers string) string { return k.prefix + "cc:{" + numbers + "}:v" }

// cached are the keys of a cached value: itself, its lease, what was invalidated and, unless it is an object, what is known of it.
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

// session names a session's record by the hash of its secret. On a Cluster the user is a hash tag.
func (k Keys) session(user domain.UserID, key string) string { return k.sessionPrefix(user) + key }

func (k Keys) sessionPrefix(user domain.UserID) string {
	return k.prefix + k.names.Session + k.tagged(user) + ":"
}

// guideSession names a session's record by its token, as the guide does.
func (k Keys) guideSession(token string) string { return k.prefix + k.names.Session + token }

func (k Keys) sessions(user domain.UserID) string { return k.prefix + "cc:sessions:" + k.tagged(user) }

// tagged is a user's id as a part of keys that lie in one slot of a Cluster.
func (k Keys) tagged(user domain.UserID) string {
	if k.cluster {
		return "{" + escape(string(user)) + "}"
	}
	return escape(string(user))
}

// marker names what remembers that an effect was made on a key: {KEY} lies where the key does. It reports false for a key of which that
// cannot be said. An effect on no key lies anywhere.
func (k Keys) marker(on, name, identity string) (string, bool) {
	tag, ok := tagOf(on)
	if on == "" {
		tag, ok = identity, true
	}
	return k.prefix + "cc:once:{" + tag + "}:" + escape(name) + ":" + identity, ok
}

// tagOf is the part of a key that tells its slot: the first braces' content or, without braces, all of it. It reports false for a key whose
// braces make no tag: then there is no other key of which it is known that it lies in the same slot.
func tagOf(key string) (string, bool) {
	if _, after, open := strings.Cut(key, "{"); open {
		if tag, _, closed := strings.Cut(after, "}"); closed {
			return tag, tag != ""
		}
	}
	return key, key != "" && !strings.Contains(key, "}")
}

// Escape makes a part of a key of any text: it percent-encodes what has a meaning in keys and patterns. Plain ids stand unchanged.
func Escape(part string) string { return escape(part) }

// escape percent-encodes what has a meaning in keys and patterns; plain ids stand unchanged.
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
