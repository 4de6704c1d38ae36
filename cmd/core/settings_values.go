package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// entries are the value of a setting that has one for each name: of limits by kind, of channels by event type.
type entries interface {
	// add sets the entry of NAME=VALUE unless there is one, and notes where it comes from.
	add(text, source string) error
	// shown returns the entries and their sources by name.
	shown() map[string]shownEntry
}

type shownEntry struct{ value, source string }

// addAll adds entries that are separated by commas.
func addAll(e entries, text, source string) error {
	for part := range strings.SplitSeq(text, ",") {
		if err := e.add(strings.TrimSpace(part), source); err != nil {
			return err
		}
	}
	return nil
}

// limits are the rate limits by kind. It implements [pflag.Value] for --rate.
type limits struct {
	target  *map[string]app.Limit
	sources map[string]string
}

const limitForm = "KIND=RATE/PERIOD[/BURST][/open|/closed], for example send=30/1m or login=5/15m/closed, or KIND=off"

// Type implements pflag.Value.
func (*limits) Type() string { return "KIND=RATE/PERIOD" }

// String implements pflag.Value.
func (l *limits) String() string {
	if l.target == nil {
		return ""
	}
	return strings.Join(slices.Sorted(maps.Keys(*l.target)), ",")
}

// Set implements pflag.Value. A later flag of the same kind replaces an earlier one.
func (l *limits) Set(text string) error {
	kind, limit, err := parseLimit(text)
	if err != nil {
		return err
	}
	l.set(kind, limit, "flag --rate")
	return nil
}

func (l *limits) set(kind string, limit app.Limit, source string) {
	if *l.target == nil {
		*l.target = make(map[string]app.Limit)
	}
	if l.sources == nil {
		l.sources = make(map[string]string)
	}
	(*l.target)[kind], l.sources[kind] = limit, source
}

func (l *limits) add(text, source string) error {
	kind, limit, err := parseLimit(text)
	if _, there := (*l.target)[kind]; err != nil || there {
		return err
	}
	l.set(kind, limit, source)
	return nil
}

// addDefaults adds limits of kinds that no setting names.
func (l *limits) addDefaults(defaults map[string]app.Limit, source string) {
	for kind, limit := range defaults {
		if _, there := (*l.target)[kind]; !there {
			l.set(kind, limit, source)
		}
	}
}

// on returns the limits without those that are off.
func (l *limits) on() map[string]app.Limit {
	on := maps.Clone(*l.target)
	maps.DeleteFunc(on, func(_ string, limit app.Limit) bool { return limit == app.Limit{} })
	return on
}

func (l *limits) shown() map[string]shownEntry {
	shown := make(map[string]shownEntry)
	for kind, limit := range *l.target {
		shown[kind] = shownEntry{limitText(limit), l.sources[kind]}
	}
	return shown
}

// parseLimit parses KIND=RATE/PERIOD[/BURST][/open|/closed], and KIND=off as the zero limit. Whether there can be such a limit is checked with the
// other settings.
func parseLimit(text string) (kind string, limit app.Limit, err error) {
	wrong := &domain.InvalidError{Field: "rate", Problem: fmt.Sprintf("is %.80q", text), Allowed: limitForm}
	kind, rest, _ := strings.Cut(text, "=")
	if rest == "off" {
		return kind, limit, nil
	}
	parts := strings.Split(rest, "/")
	switch parts[len(parts)-1] {
	case "open":
		limit.OnFailure = app.FailOpen
	case "closed":
		limit.OnFailure = app.FailClosed
	}
	if limit.OnFailure != app.FailByKind {
		parts = parts[:len(parts)-1]
	}
	if len(parts) < 2 || len(parts) > 3 {
		return kind, limit, wrong
	}
	if limit.Rate, err = strconv.Atoi(parts[0]); err != nil {
		return kind, limit, wrong
	}
	if limit.Per, err = time.ParseDuration(parts[1]); err != nil {
		return kind, limit, wrong
	}
	if len(parts) == 3 {
		limit.Algorithm = ports.GCRA
		if limit.Burst, err = strconv.Atoi(parts[2]); err != nil {
			return kind, limit, wrong
		}
	}
	return kind, limit, nil
}

// limitText is a limit as parseLimit takes it, without its kind.
func limitText(l app.Limit) string {
	if l == (app.Limit{}) {
		return "off"
	}
	text := fmt.Sprintf("%d/%s", l.Rate, durationText(l.Per))
	if l.Algorithm == ports.GCRA {
		text += fmt.Sprintf("/%d", l.Burst)
	}
	switch l.OnFailure {
	case app.FailByKind:
	case app.FailOpen:
		text += "/open"
	case app.FailClosed:
		text += "/closed"
	}
	return text
}

// durationText is a duration without the units that are 0.
func durationText(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// channelNames are the channels by event type. It implements [pflag.Value].
type channelNames struct {
	target  *map[string]string
	sources map[string]string
}

// Type implements pflag.Value.
func (*channelNames) Type() string { return "TYPE=CHANNEL" }

// String implements pflag.Value.
func (n *channelNames) String() string {
	if n.target == nil {
		return ""
	}
	return strings.Join(slices.Sorted(maps.Keys(*n.target)), ",")
}

// Set implements pflag.Value. A later flag of the same type replaces an earlier one.
func (n *channelNames) Set(text string) error { return n.set(text, "flag --names-channels", true) }

func (n *channelNames) add(text, source string) error { return n.set(text, source, false) }

func (n *channelNames) set(text, source string, replace bool) error {
	typ, channel, ok := strings.Cut(text, "=")
	if !ok || typ == "" || channel == "" {
		return &domain.InvalidError{Field: "names.channels", Problem: fmt.Sprintf("is %.80q", text), Allowed: "TYPE=CHANNEL, for example message:new=new"}
	}
	if *n.target == nil {
		*n.target = make(map[string]string)
	}
	if n.sources == nil {
		n.sources = make(map[string]string)
	}
	if _, there := (*n.target)[typ]; !there || replace {
		(*n.target)[typ], n.sources[typ] = channel, source
	}
	return nil
}

func (n *channelNames) shown() map[string]shownEntry {
	shown := make(map[string]shownEntry)
	for typ, channel := range *n.target {
		shown[typ] = shownEntry{channel, n.sources[typ]}
	}
	return shown
}

// eventTypes are the versions of custom events by type. It implements [pflag.Value].
type eventTypes struct {
	versions map[domain.CustomType]int
	sources  map[domain.CustomType]string
}

// Type implements pflag.Value.
func (*eventTypes) Type() string { return "TYPE=VERSION" }

// String implements pflag.Value.
func (e *eventTypes) String() string {
	texts := make([]string, 0, len(e.versions))
	for typ, version := range e.versions {
		texts = append(texts, fmt.Sprintf("%s=%d", typ, version))
	}
	slices.Sort(texts)
	return strings.Join(texts, ",")
}

// Set implements pflag.Value. A later flag of the same type replaces an earlier one.
func (e *eventTypes) Set(text string) error { return e.set(text, "flag --event-types", true) }

func (e *eventTypes) add(text, source string) error { return e.set(text, source, false) }

func (e *eventTypes) set(text, source string, replace bool) error {
	name, number, _ := strings.Cut(text, "=")
	typ, err := domain.ParseCustomType(name)
	version, notNumber := strconv.Atoi(number)
	if err == nil {
		err = wireformat.CheckCustomType(typ)
	}
	if err != nil || notNumber != nil || version < 1 {
		return &domain.InvalidError{Field: "event-types", Problem: fmt.Sprintf("is %.80q", text), Allowed: "TYPE=VERSION with a version from 1, for example poll:created=1; the types of the core's own events are not allowed"}
	}
	if e.versions == nil {
		e.versions, e.sources = make(map[domain.CustomType]int), make(map[domain.CustomType]string)
	}
	if _, there := e.versions[typ]; !there || replace {
		e.versions[typ], e.sources[typ] = version, source
	}
	return nil
}

func (e *eventTypes) shown() map[string]shownEntry {
	shown := make(map[string]shownEntry)
	for typ, version := range e.versions {
		shown[string(typ)] = shownEntry{strconv.Itoa(version), e.sources[typ]}
	}
	return shown
}

// announce is the setting of the channels of durable events. It implements [pflag.Value].
type announce struct{ target *chatcore.Announce }

const announceType = "both, partition or legacy"

// Type implements pflag.Value.
func (*announce) Type() string { return announceType }

// String implements pflag.Value.
func (a *announce) String() string {
	if a.target == nil {
		return ""
	}
	return a.target.String()
}

// Set implements pflag.Value.
func (a *announce) Set(text string) error {
	for _, value := range []chatcore.Announce{chatcore.AnnounceBoth, chatcore.AnnouncePartition, chatcore.AnnounceLegacy} {
		if text == value.String() {
			*a.target = value
			return nil
		}
	}
	return &domain.InvalidError{Field: "announce", Problem: fmt.Sprintf("is %.80q", text), Allowed: "both, partition, legacy"}
}

// formerMembers is the setting of what former members may read. It implements [pflag.Value].
type formerMembers struct{ target *app.FormerMembers }

const formerMembersType = "until-removal or nothing"

// Type implements pflag.Value.
func (*formerMembers) Type() string { return formerMembersType }

// String implements pflag.Value.
func (f *formerMembers) String() string {
	if f.target == nil {
		return ""
	}
	return f.target.String()
}

// Set implements pflag.Value.
func (f *formerMembers) Set(text string) error {
	for _, value := range []app.FormerMembers{app.FormerMembersUntilRemoval, app.FormerMembersNothing} {
		if text == value.String() {
			*f.target = value
			return nil
		}
	}
	return &domain.InvalidError{Field: "access.former-members", Problem: fmt.Sprintf("is %.80q", text), Allowed: "until-removal, nothing"}
}

// turnedOff is a setting that is on unless it is set to false. It implements [pflag.Value].
type turnedOff bool

// Type implements pflag.Value.
func (*turnedOff) Type() string { return "bool" }

// String implements pflag.Value.
func (o *turnedOff) String() string { return strconv.FormatBool(!bool(*o)) }

// Set implements pflag.Value.
func (o *turnedOff) Set(text string) error {
	on, err := strconv.ParseBool(text)
	if err != nil {
		return err
	}
	*o = turnedOff(!on)
	return nil
}
