// Package findings judges the state of a core and its servers: each rule names what is so, why it matters, and a remedy. It makes no calls.
package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Severity is the severity of a finding.
type Severity string

// Severities, the worst first.
const (
	Danger  Severity = "danger"  // acknowledged data can be lost, or nothing can be written, now or soon
	Warning Severity = "warning" // something will not go well
	Note    Severity = "note"    // good to know
)

// Finding is something to know of a server, or of all.
type Finding struct {
	Severity Severity
	Code     string // names the rule; lasts across versions
	Server   string // address; "" if it concerns none
	What     string // text of the finding
	Why      string // it matters
	Remedy   string // a command or an action
}

// State is what the rules judge. Unknown values count as fine and are reported as unknown.
type State struct {
	Log, Cache   []ports.Server
	Pools        []ports.Pool
	Replicas     int    // that are to confirm an append
	ClusterURL   bool   // the URL names several servers, as for a Cluster
	NotReady     error  // why the log takes no events, or nil
	Refused      uint64 // announcements that Redis refused
	LiveErr      error  // why the process hears no live events, or nil
	LiveLosses   uint64 // times that listeners may have missed events
	RetentionErr error  // why the last pass of retention in the process failed, or nil
	VaultErr     error  // why the process does not copy the log to its vault, or nil

	Level, Highest, KnownLevel int // of the log, the highest of its partitions, and the highest that the program knows

	Groups    []Group
	GroupsErr error         // why the groups are not known, or nil
	Holes     []FailedGroup // of groups that cannot read a part of the log
	Stopped   []FailedGroup // groups that the process runs no more
	Defined   []FailedGroup // defined groups that the process cannot run now
	Warn      Thresholds
}

// FailedGroup is a consumer group and its error.
type FailedGroup struct {
	Group string
	Err   error
}

// Thresholds are the values from which on a group is warned about.
type Thresholds struct {
	Lag     int
	LagAge  time.Duration
	Waiting int
}

// Group is a consumer group, with the sums over its partitions.
type Group struct {
	Name                     string
	Members                  int
	Owned                    bool // a process owns one of its partitions
	Lag                      uint64
	Age                      time.Duration // of the oldest event that waits
	Letters, Parked, Failing int
	Full                     int // partitions that keep no more dead letters
	Blocked                  int // chats that make no progress
	Longest                  []BlockedChat

	Pull        bool // consumers in other programs handle its events: without one no process is a member
	Paused      bool // its definition says that it delivers nothing
	PauseReason string
}

// BlockedChat is a chat that makes no progress.
type BlockedChat struct {
	Chat   domain.ChatID // "" for entries of other programs
	Seq    domain.Seq
	Reason string
	Since  time.Time
	Error  string
}

// Rules' thresholds.
const (
	fullMemory, fillingMemory = 0.9, 0.75 // of maxmemory, or of the machine's
	fullClients               = 0.9       // of maxclients
	slowPing, slowCommand     = 20 * time.Millisecond, 100 * time.Millisecond
	staleReplica              = 10 * time.Second
	slotsOfACluster           = 16384
)

// Of returns the findings of a state, the worst first.
func Of(h State) []Finding {
	var f findings
	for _, s := range h.Log {
		f.server(s, s.Address)
		f.log(s, h)
	}
	for _, s := range h.Cache {
		f.server(s, s.Address)
		f.cache(s)
	}
	f.core(h)
	slices.SortStableFunc(f, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return f
}

func rank(s Severity) int { return slices.Index([]Severity{Danger, Warning, Note}, s) }

type findings []Finding

func (f *findings) add(s Severity, code, server, what, why, remedy string) {
	*f = append(*f, Finding{s, code, server, what, why, remedy})
}

// log has the rules for the server of the log, whose data must not be lost.
func (f *findings) log(s ports.Server, h State) {
	if s.Err != nil {
		return
	}
	at := s.Address
	if s.Replica {
		f.add(Danger, "replica", at, "it is a replica", "it refuses every write, and its data may be old", "point REDIS_URL at the master, or at the Sentinels with master_name")
	}
	f.eviction(s)
	f.persistence(s)
	if m := s.Memory; m != nil && m.Max > 0 {
		f.filling(m.Used, m.Max, at, "maxmemory", "at the limit every write is refused", fmt.Sprintf("CONFIG SET maxmemory %d, or more shards", m.Max*2))
	} else if m != nil && m.System > 0 {
		f.filling(m.Used, m.System, at, "the machine's memory", "the system kills the server when there is none left", "more memory, or more shards")
	}
	f.replication(s, h)
	if slots := s.Slots; slots != nil {
		if !slots.OK || slots.Assigned < slotsOfACluster || slots.Up < slots.Assigned {
			f.add(Danger, "cluster", at, fmt.Sprintf("the Cluster is not whole: %d slots are assigned, %d up, of %d", slots.Assigned, slots.Up, slotsOfACluster),
				"chats in the others can be neither read nor written", "redis-cli --cluster check "+at+", then redis-cli --cluster fix "+at)
		}
		if !h.ClusterURL {
			f.add(Danger, "cluster_url", at, "it is of a Cluster, and REDIS_URL names it as a single server", "commands for other nodes' slots fail",
				"name several nodes in REDIS_URL, with commas")
		}
	}
}

func (f *findings) filling(used, limit int64, at, of, why, remedy string) {
	share := float64(used) / float64(limit)
	what := fmt.Sprintf("%.0f %% of %s is used", 100*share, of)
	switch {
	case share >= fullMemory:
		f.add(Danger, "memory", at, what, why, remedy)
	case share >= fillingMemory:
		f.add(Warning, "memory", at, what, why, remedy)
	}
}

func (f *findings) eviction(s ports.Server) {
	if s.Memory == nil {
		return
	}
	if n := s.Memory.Evicted; n > 0 && !strings.HasPrefix(s.Memory.Policy, "volatile") {
		f.add(Danger, "evicted", s.Address, fmt.Sprintf("%d keys have been evicted since the server's start", n), "some may have been the log's, whose chats then have holes",
			"core fsck; once it finds nothing, CONFIG RESETSTAT")
	}
	const remedy = "CONFIG SET maxmemory-policy noeviction, and give caches a server of their own (REDIS_CACHE_URL)"
	switch policy := s.Memory.Policy; {
	case strings.HasPrefix(policy, "allkeys"):
		f.add(Danger, "eviction", s.Address, "maxmemory-policy is "+policy, "it throws parts of the log away to make room; durable writes are refused", remedy)
	case strings.HasPrefix(policy, "volatile"):
		f.add(Warning, "eviction", s.Address, "maxmemory-policy is "+policy, "it evicts keys with a time to live: markers of effects, sessions, presence", remedy)
	}
}

func (f *findings) persistence(s ports.Server) {
	p, at := s.Persistence, s.Address
	if p == nil {
		return
	}
	if !p.AppendOnly {
		lost := "with the server's memory everything is lost"
		if s.Settings != nil && s.Settings.SavePoints != "" {
			lost = "writes after the last snapshot are lost with the server's memory"
		}
		f.add(Danger, "no_aof", at, "the append-only file is off", lost, "CONFIG SET appendonly yes, then CONFIG REWRITE")
	}
	if s.Settings != nil && p.AppendOnly {
		switch s.Settings.Fsync {
		case "no":
			f.add(Danger, "fsync", at, "appendfsync is no", "writes of the last half minute and more, which the system has not written to disk, are lost when the machine stops", "CONFIG SET appendfsync everysec, or always")
		case "everysec":
			f.add(Note, "fsync", at, "appendfsync is everysec", "the last second or two is lost when the machine stops", "CONFIG SET appendfsync always, or replicas and Config.Redis.Durability")
		}
	}
	const disk = "is the disk full or read-only? see the server's log"
	if p.AppendFailed {
		f.add(Danger, "aof_failed", at, "the last write of the append-only file failed", "writes are refused until one succeeds", disk)
	}
	if p.RewriteFailed {
		f.add(Warning, "aof_rewrite_failed", at, "the last rewrite of the append-only file failed", "it grows until the disk is full", disk+"; then BGREWRITEAOF")
	}
	if p.SaveFailed {
		why := "there is no snapshot of the writes since " + p.LastSave.UTC().Format(time.RFC3339)
		if s.Settings != nil && s.Settings.StopWrites && s.Settings.SavePoints != "" {
			why = "writes are refused until one succeeds (stop-writes-on-bgsave-error)"
		}
		f.add(Danger, "save_failed", at, "the last snapshot failed", why, disk+"; then BGSAVE")
	}
}

func (f *findings) replication(s ports.Server, h State) {
	r, at := s.Replication, s.Address
	if r == nil {
		return
	}
	online := 0
	for _, replica := range r.Replicas {
		if replica.Online {
			online++
		}
		if !replica.Online || replica.Lag > staleReplica {
			f.add(Warning, "replica_behind", at, fmt.Sprintf("the replica %s is not up to date: %d bytes behind, last heard of %s ago", replica.Address, replica.Behind, replica.Lag),
				"a failover to it loses the writes that it lacks", "see the replica's log and the network to it")
		}
	}
	if online < h.Replicas {
		f.add(Danger, "durability", at, fmt.Sprintf("%d replicas are to confirm an append, %d follow", h.Replicas, online), "every append fails with ErrUnconfirmed",
			"REPLICAOF on further servers, or a smaller Config.Redis.Durability")
	}
	if s.Settings != nil && r.Good < s.Settings.MinReplicas {
		f.add(Danger, "min_replicas", at, fmt.Sprintf("min-replicas-to-write is %d, %d follow", s.Settings.MinReplicas, r.Good), "every write is refused",
			"REPLICAOF on further servers, or CONFIG SET min-replicas-to-write")
	}
}

// server has the rules for any server.
func (f *findings) server(s ports.Server, at string) {
	if s.Err != nil {
		f.add(Danger, "no_answer", at, "it does not answer: "+s.Err.Error(), "nothing that is on it can be read or written", "is it running, and reachable from here?")
		return
	}
	var major int
	if _, err := fmt.Sscanf(s.Version, "%d.", &major); err == nil && major < 7 {
		f.add(Danger, "version", at, "it is Redis "+s.Version, "the log's scripts need 7.0: earlier ones replicate the scripts instead of their effects", "upgrade to Redis 7.0 or newer")
	}
	if s.Loading {
		f.add(Warning, "loading", at, "it reads its data from disk", "it answers nothing until it has", "wait; INFO persistence shows the progress")
	}
	if c := s.Clients; c != nil && c.Max > 0 && float64(c.Connected) >= fullClients*float64(c.Max) {
		f.add(Danger, "maxclients", at, fmt.Sprintf("%d of %d connections are taken", c.Connected, c.Max), "further ones are refused: a program that restarts does not come back",
			fmt.Sprintf("CONFIG SET maxclients %d, or a smaller Config.Redis.PoolSize", 2*c.Max))
	} else if c != nil && c.Rejected > 0 {
		f.add(Note, "rejected", at, fmt.Sprintf("it has refused %d connections since its start", c.Rejected), "maxclients was reached", "CONFIG SET maxclients, or a smaller Config.Redis.PoolSize")
	}
	if s.Latency >= slowPing {
		f.add(Warning, "latency", at, "a PING takes "+s.Latency.Round(time.Millisecond/10).String(), "every command takes as long", "is it far away, or busy? LATENCY DOCTOR, SLOWLOG GET")
	}
	if slow := s.Slow; slow != nil && slow.Slowest > 0 {
		severity := Note
		if slow.Slowest >= slowCommand {
			severity = Warning
		}
		f.add(severity, "slow_log", at, fmt.Sprintf("%d slow commands are logged; of the last, %s took %s at %s", slow.Entries, slow.Command, slow.Slowest, slow.At.UTC().Format(time.RFC3339)),
			"all other clients waited meanwhile", "SLOWLOG GET 32 shows them, SLOWLOG RESET forgets them")
	}
	if len(s.Unknown) > 0 {
		f.add(Note, "unknown", at, "this user cannot read: "+strings.Join(s.Unknown, ", "), "dangers that these would show are not seen", "ACL SETUSER USER +info +config|get +slowlog|get +slowlog|len +cluster|info")
	}
}

// cache has the rules for the server of the caches, whose data may be lost.
func (f *findings) cache(s ports.Server) {
	m := s.Memory
	if m == nil {
		return
	}
	if m.Max == 0 {
		f.add(Note, "cache_limit", s.Address, "the cache server has no maxmemory", "caches grow until the machine has no memory left", "CONFIG SET maxmemory 1gb, or the memory available")
	}
	if m.Policy == "noeviction" {
		f.add(Note, "cache_eviction", s.Address, "the cache server's maxmemory-policy is noeviction", "when it is full it refuses writes instead of evicting old values", "CONFIG SET maxmemory-policy allkeys-lfu")
	}
}

// core has the rules for the core itself.
func (f *findings) core(h State) {
	if h.NotReady != nil {
		f.add(Danger, "not_ready", "", "the log takes no events: "+h.NotReady.Error(), "commands fail", "see the other findings")
	}
	switch {
	case h.Highest > h.Level:
		f.add(Warning, "upgrade_unfinished", "", fmt.Sprintf("some partitions are at level %d, others still at %d", h.Highest, h.Level),
			"an upgrade is under way, or was interrupted; features of the new level wait for the last partition", "core upgrade --yes")
	case h.Level > 0 && h.Level < h.KnownLevel:
		f.add(Note, "level", "", fmt.Sprintf("the log is at level %d, this program knows %d", h.Level, h.KnownLevel),
			"features of the new level are not used yet", "core upgrade, once every program on the log is of this version or newer; docs/upgrading.md")
	}
	if h.Refused > 0 {
		f.add(Warning, "refused", "", fmt.Sprintf("Redis refused %d announcements of appended events", h.Refused), "listeners in other programs missed them; consumer groups did not",
			"core acl prints the rights that the user needs")
	}
	if h.LiveErr != nil {
		f.add(Warning, "live", "", fmt.Sprintf("this process hears no live events: %v", h.LiveErr), "feeds and listeners wait, and Open of a feed and Start do too; typing and statuses are lost meanwhile",
			"core doctor, if Redis is down; core acl prints the rights that the user needs")
	}
	if h.LiveLosses > 0 {
		f.add(Note, "live_losses", "", fmt.Sprintf("the stream of a partition no longer had events that listeners had not heard, %d times", h.LiveLosses),
			"the listeners of this process missed them; feeds and consumer groups did not", "none; handlers that must see every event belong into a consumer group")
	}
	if h.RetentionErr != nil {
		f.add(Warning, "retention", "", fmt.Sprintf("retention has failed: %v", h.RetentionErr), "messages that are due stay in the log until it succeeds",
			"remove the cause; it is tried again after 30 seconds. core retention status shows what is due, core retention run erases it")
	}
	if h.VaultErr != nil {
		f.add(Warning, "vault", "", fmt.Sprintf("this process does not copy the log to its vault: %v", h.VaultErr), "a loss of Redis now would lose what is in no vault yet; nothing else waits",
			"make the vault answer; it is tried again every 15 seconds at least. core vault status shows how far it is")
	}
	for _, hole := range h.Holes {
		f.add(Danger, "hole", "", fmt.Sprintf("group %s cannot read events that it has to deliver: %v", hole.Group, hole.Err), "it waits until that is repaired", "core fsck, then core fsck --repair")
	}
	for _, p := range h.Pools {
		if p.Timeouts > 0 {
			f.add(Warning, "pool", "", fmt.Sprintf("for %s, %d waits for a connection were given up", p.Purpose, p.Timeouts), "there are more commands at once than connections", "a larger Config.Redis.PoolSize")
		}
	}
	if h.GroupsErr != nil {
		f.add(Note, "groups_unknown", "", "the consumer groups are not known: "+h.GroupsErr.Error(), "their lag is not seen", "core groups list")
	}
	for _, s := range h.Stopped {
		f.add(Warning, "group_stopped", "", fmt.Sprintf("this process delivers no more to group %s: %v", s.Group, s.Err), "its handlers are given nothing",
			"start the process again if the group is to go on, as a new one")
	}
	for _, d := range h.Defined {
		f.add(Warning, "group_failed", "", fmt.Sprintf("this process does not run the defined group %s: %v", d.Group, d.Err), "its events are delivered by other processes alone, if they run it",
			"the error says what is wrong; the process tries again every 30 seconds at least")
	}
	for _, g := range h.Groups {
		f.group(g, h.Warn)
	}
}

// paused reports a group that is paused: with a reason, a process has paused it.
func (f *findings) paused(g Group, behind string) {
	severity, why := Note, "a person paused it"
	if g.PauseReason != "" {
		severity, why = Warning, g.PauseReason
	}
	f.add(severity, "group_paused", "", fmt.Sprintf("group %s is paused (%s); %s", g.Name, why, behind), "its events wait", "core groups resume "+g.Name)
}

// group has the rules for a consumer group.
func (f *findings) group(g Group, warn Thresholds) {
	behind := fmt.Sprintf("%d events wait for it, the oldest for %s", g.Lag, g.Age.Round(time.Second))
	switch {
	case g.Paused:
		f.paused(g, behind)
	case g.Members == 0 && !g.Owned && g.Pull:
		if g.Lag > 0 {
			f.add(Warning, "group_without_consumer", "", fmt.Sprintf("no consumer of group %s is connected; %s", g.Name, behind), "its events wait", "start the program that consumes it, or core groups pause "+g.Name)
		}
	case g.Members == 0 && !g.Owned:
		f.add(Warning, "group_not_run", "", fmt.Sprintf("no process runs group %s; %s", g.Name, behind), "its handlers are given nothing, and its dead letters stay",
			"start the program that subscribes under this name, or core groups delete "+g.Name+" --yes if there is none any more")
	case g.Age >= warn.LagAge || g.Lag >= uint64(warn.Lag): //nolint:gosec // validated
		f.add(Warning, "group_behind", "", fmt.Sprintf("group %s is behind: %s", g.Name, behind), "its handlers are too slow, or fail",
			"core groups list --per-partition; more processes, a larger InFlight, or faster handlers")
	}
	f.blocked(g)
	if g.Letters > 0 {
		f.add(Warning, "dead_letters", "", fmt.Sprintf("group %s has %d dead letters, and %d chats wait for a decision about one", g.Name, g.Letters, g.Parked), "its handlers refused them for good", "core deadletters list "+g.Name)
	}
	if g.Full > 0 {
		f.add(Danger, "dead_letters_full", "", fmt.Sprintf("group %s keeps no more dead letters on %d partitions", g.Name, g.Full), "chats whose events its handlers refuse wait, with all that follows in them",
			"core deadletters retry or drop, of "+g.Name+"; or a larger Config.Delivery.DeadLetterBound")
	}
	if waiting := g.Failing + g.Parked; waiting >= warn.Waiting {
		f.add(Warning, "chats_waiting", "", fmt.Sprintf("in group %s the next event of %d chats fails, and %d chats are parked", g.Name, g.Failing, g.Parked), "they go on when a handler succeeds, or somebody decides about a dead letter",
			"core deadletters list "+g.Name+"; see its handlers' logs")
	}
}

// blocked has the rules for chats that do not go on, one finding for each reason: it names the chat that is blocked for the longest.
func (f *findings) blocked(g Group) {
	for _, rule := range []struct{ reason, code, why, remedy string }{
		{"transient", "transient_failures", "the handler is started again until it succeeds; the chat's later events wait", "check that the service that the handler calls is reachable; the error names it"},
		{"newer", "newer_event", "no running program that can read it has its partition; the chat's later events wait", "run the later version of the program"},
		{"slow", "slow_handler", "order forbids another start beside it; the chat's later events wait", "bound it with HandlerTimeout, and have it heed its context; restart the process if it hangs"},
		{"postponed", "postponed_event", "the handler cannot handle it now, and is started again later; the chat's later events wait", "see what it waits for: the error names it"},
	} {
		var first *BlockedChat
		named := 0
		for i := range g.Longest {
			if chat := &g.Longest[i]; chat.Reason == rule.reason {
				if named++; first == nil || chat.Since.Before(first.Since) {
					first = chat
				}
			}
		}
		if first != nil {
			f.add(Warning, rule.code, "", blockedText(g.Name, first, named, g.Blocked), rule.why, rule.remedy)
		}
	}
}

func blockedText(group string, chat *BlockedChat, named, blocked int) string {
	what := fmt.Sprintf("group %s: chat %s waits with seq %d since %s", group, chat.Chat, chat.Seq, chat.Since.UTC().Format(time.RFC3339))
	if chat.Chat == "" {
		what = fmt.Sprintf("group %s: the entries of other programs wait since %s", group, chat.Since.UTC().Format(time.RFC3339))
	}
	if chat.Error != "" {
		what += ", the last error is: " + chat.Error
	}
	if blocked > 1 {
		what += fmt.Sprintf("; %d of the group's chats are blocked, at least %d for this reason", blocked, named)
	}
	return what
}
