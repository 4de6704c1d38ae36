package eventlog

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
)

// Level is the highest level of a log that this program knows. New logs are created at it. A level is a set of rules that every program on the log
// must know; "core upgrade" raises it.
//
//	1  partitions carry the log id alone; names are not compared
//	2  partitions carry the whole identity
//	3  lists have events in the compact form; heads, read marks and messages have more parts, see docs/wire.md
//	4  chats may be direct, and have policies, restrictions, threads and pins, whose rules every program must apply; events name the mentions that they change;
//	   erased forms and message:erased have the compact form too
const Level = 4

const (
	bareLevel    = 1 // of a partition that carries the log id alone
	compactLevel = 3 // from which on events are stored in the compact form
	rulesLevel   = 4 // from which on chats may have all that domain has, and erasures the compact form
	identityEnd  = ";"
)

// levelFor returns the level that a log must have for an event.
func levelFor(e domain.Durable) int {
	switch e := e.(type) {
	case domain.ChatPolicy, domain.MemberRestriction, domain.ChatMetadata, domain.ChatSettings, domain.MessagePin, domain.ThreadMark:
		return rulesLevel
	case domain.MessageNew:
		if e.Thread != "" || e.Broadcast != domain.NoBroadcast {
			return rulesLevel
		}
	case domain.ChatUpdate:
		if e.Kind != domain.Group {
			return rulesLevel
		}
	}
	return bareLevel
}

// atLevel returns an event as programs record it that know only the levels up to the given one: without the facts and the moves that come with level 4.
// Chats of a log of a lower level have no threads, pins or mentions.
func atLevel(level int, e ports.NewEvent) ports.NewEvent {
	if level >= rulesLevel {
		return e
	}
	switch event := e.Event.(type) {
	case domain.MessageNew:
		if !event.Mentioned {
			return e
		}
		event.Mentioned = false
		e.Event = event
	case domain.MessageEdit:
		event.Sent, event.MentionsAdded, event.Mentioned = 0, nil, false
		e.Event = event
	case domain.MessageDelete:
		event.Sent, event.Mentioned = 0, false
		e.Event = event
	default:
		return e
	}
	e.Moves = slices.DeleteFunc(slices.Clone(e.Moves), func(m domain.Entity) bool { return m.Kind == domain.KindMentions })
	return e
}

// compactAt reports whether lists have the compact form of an event at a level, if the event has one.
func compactAt(level int, e domain.Durable) bool {
	_, erasure := e.(domain.MessageErased)
	return level >= rulesLevel || level >= compactLevel && !erasure && !domain.IsErased(e)
}

// levelOf returns the level of a partition, as far as this process knows.
func (l *Log) levelOf(partition int) int {
	_, rest, _ := bytes.Cut(l.held[partition].Load().bytes, []byte(identityEnd))
	text, _, _ := bytes.Cut(rest, []byte(identityEnd))
	level, err := strconv.Atoi(string(text))
	if err != nil {
		return bareLevel
	}
	return level
}

// logIdentity identifies the log that a partition belongs to, with the settings that every program on it must share. Each partition has all of it, as
// the value of its id key: the log id at level 1, and LOGID;LEVEL;PARTITIONS;HASH;NAMES from level 2 on. Scripts compare the whole value, so a
// program with another one changes nothing and reads nothing.
type logIdentity struct {
	id         string
	level      int
	partitions int    // 0 at level 1
	hash       string // "" at level 1
	names      string // names that are not the default, in the form of [Names.text]; "" at level 1
}

// String returns the value of the id key.
func (i logIdentity) String() string {
	if i.level <= bareLevel {
		return i.id
	}
	return strings.Join([]string{i.id, strconv.Itoa(i.level), strconv.Itoa(i.partitions), i.hash, i.names}, identityEnd)
}

// parseIdentity parses the value of an id key. If the level is above known, it parses only the log id and the level: the rest may have another form.
func parseIdentity(value string, known int) (logIdentity, bool) {
	parts := strings.SplitN(value, identityEnd, 5)
	i := logIdentity{id: parts[0], level: bareLevel}
	if i.id == "" || len(parts) == 1 {
		return i, i.id != ""
	}
	var err error
	if i.level, err = strconv.Atoi(parts[1]); err != nil || i.level <= bareLevel {
		return logIdentity{}, false
	}
	if i.level > known || i.level > Level && len(parts) != 5 {
		return i, true
	}
	if len(parts) != 5 {
		return logIdentity{}, false
	}
	i.partitions, err = strconv.Atoi(parts[2])
	i.hash, i.names = parts[3], parts[4]
	return i, err == nil && i.partitions > 0
}

// differs returns the first setting in which two identities of one log differ, or nil. Settings that level 1 does not contain are not compared.
func (i logIdentity) differs(configured logIdentity) error {
	if i.level <= bareLevel || configured.level <= bareLevel {
		return nil
	}
	switch {
	case i.partitions != configured.partitions:
		return partitionsDiffer(i.partitions, configured.partitions)
	case i.hash != configured.hash:
		return &ports.LogDiffersError{Setting: "the partitions' hash", Stored: i.hash, Configured: configured.hash}
	case i.names == configured.names:
		return nil
	}
	stored, used := keyspace.ParseNames(i.names), keyspace.ParseNames(configured.names)
	all := maps.Clone(stored)
	maps.Copy(all, used)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if stored[name] != used[name] {
			or := func(value string) string {
				if value == "" {
					return "the default"
				}
				return strconv.Quote(value)
			}
			return &ports.LogDiffersError{Setting: "Redis.Names." + name, Stored: or(stored[name]), Configured: or(used[name])}
		}
	}
	return &ports.LogDiffersError{Setting: "the form of the names", Stored: strconv.Quote(i.names), Configured: strconv.Quote(configured.names)}
}

func partitionsDiffer(stored, configured int) error {
	return &ports.LogDiffersError{Setting: "the number of partitions", Stored: strconv.Itoa(stored), Configured: strconv.Itoa(configured)}
}

// PartitionsError is returned when some partitions do not belong to the log of the others. It is [ports.ErrLogLost].
type PartitionsError struct {
	Log     string         // id of the log that most partitions belong to
	Missing []int          // partitions without an id, from 0
	Foreign map[int]string // partitions of another log, or with a value that is no identity, and that value
	Levels  map[int]int    // partitions and their levels, if these differ and must not
}

func (e *PartitionsError) Error() string {
	var found []string
	if len(e.Missing) > 0 {
		found = append(found, "there is no log id in partitions "+some(e.Missing))
	}
	for _, p := range slices.Sorted(maps.Keys(e.Foreign)) {
		found = append(found, fmt.Sprintf("partition %d carries %.80q", p, e.Foreign[p]))
	}
	for _, p := range slices.Sorted(maps.Keys(e.Levels)) {
		found = append(found, fmt.Sprintf("partition %d is at level %d", p, e.Levels[p]))
	}
	const most = 8
	if len(found) > most {
		found = append(found[:most], fmt.Sprintf("and %d more", len(found)-most))
	}
	remedy := "a part of Redis was flushed, restored or replaced; restore it, or run core fsck"
	if len(e.Levels) > 0 {
		remedy = "run core upgrade to finish the interrupted one"
	}
	return fmt.Sprintf("%v: of log %s, %s; %s", ports.ErrLogLost, e.Log, strings.Join(found, ", "), remedy)
}

// some lists partitions, at most 16 of them.
func some(partitions []int) string {
	const most = 16
	if len(partitions) <= most {
		return strings.Trim(fmt.Sprint(partitions), "[]")
	}
	return fmt.Sprintf("%s and %d more", strings.Trim(fmt.Sprint(partitions[:most]), "[]"), len(partitions)-most)
}

// Is reports that a PartitionsError is [ports.ErrLogLost].
func (e *PartitionsError) Is(target error) bool { return target == ports.ErrLogLost }

// agreed returns the identity that all partitions share, and the lowest level of any partition. values are those of the id keys, "" for none. It
// returns a [*PartitionsError] if the partitions belong to several logs or some to none, and a [*ports.LogLevelError] for a level above known.
func agreed(values []string, known int) (found logIdentity, level int, err error) {
	parsed, wrong := make([]logIdentity, len(values)), &PartitionsError{Foreign: make(map[int]string)}
	count := make(map[string]int)
	for p, value := range values {
		i, ok := parseIdentity(value, known)
		switch {
		case ok:
			parsed[p] = i
			if count[i.id]++; count[i.id] > count[wrong.Log] {
				wrong.Log = i.id
			}
		case value == "":
			wrong.Missing = append(wrong.Missing, p)
		default:
			wrong.Foreign[p] = value
		}
	}
	for p, i := range parsed {
		switch {
		case i.id == "":
		case i.id != wrong.Log:
			wrong.Foreign[p] = values[p]
		default:
			if i.level > found.level {
				found = i
			}
			if level == 0 || i.level < level {
				level = i.level
			}
		}
	}
	switch {
	case len(wrong.Missing)+len(wrong.Foreign) > 0:
		return found, level, wrong
	case found.level > known:
		return found, level, &ports.LogLevelError{Log: found.id, Level: found.level, Known: known}
	}
	for _, i := range parsed {
		if err := i.differs(found); err != nil {
			return found, level, err
		}
	}
	return found, level, nil
}
