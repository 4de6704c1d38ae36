package main

import (
	"time"

	"github.com/spf13/pflag"

	"chatcore"
)

// settings hold everything that can be set for the program. A flag wins over an environment variable, which wins over the file of --config.
type settings struct {
	file    string          // of --config
	config  chatcore.Config // as it is set: a zero field means its default
	tls     tlsFiles
	log     logSettings
	serve   serveSettings
	api     apiSettings
	limits  limits
	aliases channelNames
	vault   string // URL of the vault

	list   []*setting
	loaded bool
}

// setting is one value that can be set: by the flag that the key names with dashes instead of dots, by the variable CHATCORE_ and the key in capitals
// with underscores, and under the key in the file.
type setting struct {
	key       string
	target    any      // pointer to the field that it sets
	variables []string // of the environment, the first that is set counts
	flag      string   // name of its flag
	value     pflag.Value
	usage     string
	zero      string      // meaning of the zero value, if that is shown instead of it
	secret    bool        // it may hold a password
	source    string      // where its value comes from
	local     *pflag.Flag // if only one command has it
}

// sourceDefault is the source of a setting that nothing sets.
const sourceDefault = "default"

// newSettings defines all settings. Those flags that most commands need are shown in every help, the others in those of serve and config.
func newSettings(flags *pflag.FlagSet) *settings {
	s := &settings{}
	s.limits.target, s.aliases.target = &s.config.Limits.Rates, &s.config.Redis.Names.Channels
	flags.StringVar(&s.file, "config", "", "YAML `FILE` of settings, see core config --help (CHATCORE_CONFIG)")
	b := binder{settings: s, flags: flags}
	b.connection(&s.config)
	b.log()
	b.serve()
	b.api()
	b.names(&s.config)
	b.times(&s.config)
	b.bounds(&s.config)
	b.webhooks(&s.config)
	b.vault(&s.config)
	b.retention(&s.config)
	return s
}

// binder defines settings.
type binder struct {
	settings *settings
	flags    *pflag.FlagSet
}

// local defines a setting whose flag only one command has.
func (b binder) local(key string, target any, usage string) *setting {
	b.flags = pflag.NewFlagSet("", pflag.ContinueOnError)
	s := b.add(key, target, usage)
	s.local = b.flags.Lookup(s.flag)
	s.local.Hidden, s.local.Usage = false, usage+" ("+s.variables[0]+")"
	return s
}

// localFlags returns the flags of the settings that only one command has: serve.
func (s *settings) localFlags() []*pflag.Flag {
	var flags []*pflag.Flag
	for _, setting := range s.list {
		if setting.local != nil {
			flags = append(flags, setting.local)
		}
	}
	return flags
}

// add defines a setting and its flag, which is hidden unless [setting.show] is called.
func (b binder) add(key string, target any, usage string) *setting {
	s := &setting{key: key, target: target, variables: []string{variableOf(key)}, flag: flagOf(key), usage: usage, source: sourceDefault}
	switch target := target.(type) {
	case *string:
		b.flags.StringVar(target, s.flag, "", usage)
	case *int:
		b.flags.IntVar(target, s.flag, 0, usage)
	case *bool:
		b.flags.BoolVar(target, s.flag, false, usage)
	case *time.Duration:
		b.flags.DurationVar(target, s.flag, 0, usage)
	case pflag.Value:
		b.flags.Var(target, s.flag, usage)
	}
	flag := b.flags.Lookup(s.flag)
	flag.Hidden, s.value = true, flag.Value
	b.settings.list = append(b.settings.list, s)
	return s
}

// connection defines the settings of the connection to Redis.
func (b binder) connection(c *chatcore.Config) {
	b.add("redis.url", &c.Redis.URL, "Redis of the log: redis://[[user]:password@]host:port[/db], rediss:// for TLS, unix://, several with commas for a Cluster, ?master_name=NAME for Sentinels").also("REDIS_URL").hidesPassword().show(b)
	b.add("namespace", &c.Redis.Namespace, "prefix of every key and channel").show(b)
	b.add("redis.cache-url", &c.Redis.CacheURL, "Redis of the caches, which may evict").also("REDIS_CACHE_URL").hidesPassword().means("the one of redis.url")
	b.add("redis.pool-size", &c.Redis.PoolSize, "connections to each server for each of commands, pub/sub and caches")
	b.add("redis.command-timeout", &c.Redis.CommandTimeout, "limit of a dial, and of each write and read").means("5s, on a Cluster 2s")
	b.add("redis.connect-attempts", &c.Redis.ConnectAttempts, "attempts to connect and to open the log").means("10 for serve, tail and import, otherwise 1")
	b.add("redis.tls.ca", &b.settings.tls.ca, "PEM file of the certificate authorities of rediss:// servers").also("REDIS_TLS_CA").means("the system's")
	b.add("redis.tls.cert", &b.settings.tls.cert, "PEM file of this program's certificate").also("REDIS_TLS_CERT")
	b.add("redis.tls.key", &b.settings.tls.key, "PEM file of the certificate's private key").also("REDIS_TLS_KEY")
	b.add("redis.tls.server-name", &b.settings.tls.serverName, "name that servers' certificates have to be for").also("REDIS_TLS_SERVER_NAME").means("the one in the URL")
	b.add("partitions", &c.Log.Partitions, "partitions of a new log, 1 to 1024; a log that exists keeps its own")
}

// log defines how the program logs.
func (b binder) log() {
	b.add("log.level", &b.settings.log.level, "least level that is logged to standard error: debug, info, warn or error").means("info for serve, otherwise error").show(b)
	b.add("log.format", &b.settings.log.format, "text or json").means("text").show(b)
}

// names defines the names of keys and channels.
func (b binder) names(c *chatcore.Config) {
	for _, n := range []struct {
		key    string
		target *string
	}{
		{"stream", &c.Redis.Names.Stream},
		{"session", &c.Redis.Names.Session},
		{"user-status", &c.Redis.Names.UserStatus},
		{"user-online", &c.Redis.Names.UserOnline},
		{"chat-list", &c.Redis.Names.ChatList},
		{"chat-unread", &c.Redis.Names.ChatUnread},
		{"message", &c.Redis.Names.Message},
		{"contact-list", &c.Redis.Names.ContactList},
		{"typing", &c.Redis.Names.Typing},
		{"presence", &c.Redis.Names.Presence},
		{"rate-limit", &c.Redis.Names.RateLimit},
	} {
		b.add("names."+n.key, n.target, "name in Redis of the keys or the stream; a log that exists keeps its own")
	}
	b.add("names.channels", &b.settings.aliases, "channel of an event type, such as message:new=new; may be given several times")
}

// times defines how long things last.
func (b binder) times(c *chatcore.Config) {
	b.add("ttl.session", &c.Sessions.Idle, "life of a session that is not used")
	b.add("ttl.user-status", &c.Presence.StatusTTL, "life of a user's status")
	b.add("ttl.chat-list", &c.Caches.ChatListTTL, "life of a cached list of chats")
	b.add("ttl.message", &c.Caches.MessageTTL, "life of a cached message")
	b.add("ttl.contact-list", &c.Caches.ContactListTTL, "life of a cached list of contacts")
	b.add("ttl.typing", &c.Presence.TypingTTL, "life of a typing mark that no stop ends")
	b.add("ttl.presence", &c.Presence.DevicesTTL, "life of a user's list of devices and, after the last heartbeat, of a chosen status")
	b.add("ttl.heartbeat", &c.Presence.HeartbeatTTL, "life of a device after a heartbeat")
	b.add("session.lifetime", &c.Sessions.Lifetime, "life of a session however much it is used")
	b.add("edit-window", &c.Limits.EditWindow, "time after its send in which a message may be edited").means("no end")
	b.add("preview-bytes", &c.Limits.PreviewBytes, "bytes of the last message in lists of chats, at most 256; below 0 none")
	b.add("check-blocks", &c.Limits.CheckBlocks, "refuse to make a user a member by a command of a user whom that one blocks in their direct chat")
	b.add("effect-ttl", &c.Delivery.EffectTTL, "time for which it is remembered that an effect was made")
	b.add("lease", &c.Delivery.Lease, "time after which a process that no longer answers loses its partitions")
	b.add("retry.first", &c.Delivery.Retry.First, "pause before a failed handler starts again; doubles")
	b.add("retry.max", &c.Delivery.Retry.Max, "longest such pause")
	b.add("warn.lag-age", &c.Delivery.Warn.LagAge, "age of the oldest unfinished event from which doctor warns")
	b.add("durability.timeout", &c.Redis.Durability.Timeout, "time to wait for replicas")
	b.add("feeds.heartbeat", &c.Feeds.Heartbeat, "silence after which a feed returns a heartbeat")
	b.add("builtin-pace", &c.Delivery.BuiltinPace, "time between two reads of the streams by the built-in subscribers, at most 1m")
	b.add("stop-timeout", &c.StopTimeout, "time in which serve stops, in all")
}

// bounds defines how much of something there may be.
func (b binder) bounds(c *chatcore.Config) {
	b.settings.list = append(b.settings.list, &setting{ // its flag is --rate, of the commands that heed limits
		key: "limits", target: &b.settings.limits, value: &b.settings.limits, variables: []string{variableOf("limits")}, source: sourceDefault,
	})
	b.add("session.per-user", &c.Sessions.PerUser, "sessions of a user, 1 to 1000; one more closes the oldest")
	b.add("session.compat", &c.Sessions.Compat, "keep sessions under their tokens, as the TypeScript services do")
	b.add("announce", &announce{&c.Log.Announce}, "channels on which durable events are published: partition for those of partitions, legacy for those of types, or both")
	b.add("queue", &c.Log.Queue, "appends that wait for their turn")
	b.add("entity-cache", &c.Log.EntityCache, "bytes of entity states in the process; below 0 none")
	b.add("durability.replicas", &c.Redis.Durability.Replicas, "replicas that confirm an append before it is acknowledged")
	b.add("max-groups", &c.Delivery.MaxGroups, "consumer groups that one process runs").means("by the number of partitions, at least 16")
	b.add("stream-bound", &c.Delivery.StreamBound, "entries that a partition's stream keeps for groups that are behind")
	b.add("retry.attempts", &c.Delivery.Retry.Attempts, "starts of a handler before its delivery becomes a dead letter")
	b.add("dead-letter-bound", &c.Delivery.DeadLetterBound, "dead letters of a group on a partition")
	b.add("warn.lag", &c.Delivery.Warn.Lag, "unfinished events of a group from which doctor warns")
	b.add("warn.waiting", &c.Delivery.Warn.Waiting, "failing or parked chats of a group from which doctor warns")
	b.add("caps.emojis-per-message", &c.Limits.Caps.EmojisPerMessage, "distinct emojis among a message's reactions")
	b.add("caps.reactions-per-user", &c.Limits.Caps.ReactionsPerUser, "reactions of a user to a message")
	b.add("caps.chats-per-user", &c.Limits.Caps.ChatsPerUser, "chats that a user may be in")
	b.add("caps.members-per-command", &c.Limits.Caps.MembersPerCommand, "users that one create or add makes members")
	b.add("caps.pins-per-chat", &c.Limits.Caps.PinsPerChat, "messages of a chat that may be pinned, at most 100")
	b.add("caps.metadata-keys", &c.Limits.Caps.MetadataKeys, "keys of a chat's metadata")
	b.add("caps.metadata-value", &c.Limits.Caps.MetadataValue, "bytes of a value of a chat's metadata")
	b.add("caps.metadata-bytes", &c.Limits.Caps.MetadataBytes, "bytes of all keys and values of a chat's metadata")
	b.add("access.hide-reads", &c.Access.HideReads, "refuse users the list of those who have read a message")
	b.add("access.former-members", &formerMembers{&c.Access.FormerMembers}, "what former members of a chat may read of it: until-removal or nothing")
	b.add("live-buffer", &c.Delivery.LiveBuffer, "messages that wait for a slow live listener")
	b.add("feeds.max-chats", &c.Feeds.MaxChats, "chats that one feed follows")
	b.add("feeds.max-catch-up", &c.Feeds.MaxCatchUp, "missed events of a chat that a feed returns; older ones are skipped")
	b.add("feeds.queue-count", &c.Feeds.QueueCount, "messages that wait for the reader of a feed; beyond them the feed ends")
	b.add("feeds.queue-bytes", &c.Feeds.QueueBytes, "bytes of the events that wait for the reader of a feed")
	b.add("feeds.opens", &c.Feeds.Opens, "feeds that open in a second; further ones wait, 0 means 200 for each processor")
	b.add("feeds.reads", &c.Feeds.Reads, "reads of the log at once, for all feeds that catch up")
	b.add("feeds.cache-bytes", &c.Feeds.CacheBytes, "bytes of memory for events that are cached for feeds that catch up")
}

// also names a further variable of the environment.
func (s *setting) also(variable string) *setting {
	s.variables = append(s.variables, variable)
	return s
}

// means sets the meaning of the zero value.
func (s *setting) means(zero string) *setting {
	s.zero = zero
	return s
}

func (s *setting) hidesPassword() *setting {
	s.secret = true
	return s
}

// show has the flag in the help of every command.
func (s *setting) show(b binder) *setting {
	flag := b.flags.Lookup(s.flag)
	flag.Hidden, flag.Usage = false, s.usage+" ("+s.variables[len(s.variables)-1]+")"
	return s
}
