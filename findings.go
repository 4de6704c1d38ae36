package chatcore

import (
	"errors"
	"slices"

	"chatcore/app/findings"
	"chatcore/ports"
	"chatcore/ports/groups"
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

// Findings judges the values in Health, the worst first. It makes no calls. Unknown values count as fine and are reported as unknown.
func (h Health) Findings() (found []Finding) {
	state := findings.State{
		Replicas: h.Replicas, ClusterURL: h.ClusterURL, NotReady: h.NotReady, Refused: h.Refused, LiveErr: h.LiveErr, VaultErr: h.VaultErr, RetentionErr: h.RetentionErr, LiveLosses: h.LiveLosses, Level: h.Level, Highest: h.Highest, KnownLevel: LogLevel,
		GroupsErr: h.GroupsErr, Warn: findings.Thresholds(h.Warn.withDefaults()),
	}
	if errors.Is(h.NotReady, errNotOpened) {
		state.NotReady = nil
	}
	for _, s := range h.Log {
		state.Log = append(state.Log, ports.Server(s))
	}
	for _, s := range h.Cache {
		state.Cache = append(state.Cache, ports.Server(s))
	}
	for _, p := range h.Pools {
		state.Pools = append(state.Pools, ports.Pool(p))
	}
	for _, hole := range h.Holes {
		state.Holes = append(state.Holes, findings.FailedGroup{Group: hole.Group, Err: hole.Err})
	}
	for _, s := range h.Stopped {
		state.Stopped = append(state.Stopped, findings.FailedGroup(s))
	}
	for _, d := range h.Defined {
		if d.Err != nil {
			state.Defined = append(state.Defined, findings.FailedGroup{Group: d.Group, Err: d.Err})
		}
	}
	for _, g := range h.Groups {
		judged := g.judged()
		if i := slices.IndexFunc(h.Definitions, func(d groups.Definition) bool { return d.Group == g.Group }); i >= 0 {
			d := h.Definitions[i]
			judged.Pull, judged.Paused, judged.PauseReason = d.Kind == groups.KindPull, d.Paused, d.PauseReason
		}
		state.Groups = append(state.Groups, judged)
	}
	for _, f := range findings.Of(state) {
		found = append(found, Finding{Severity(f.Severity), f.Code, f.Server, f.What, f.Why, f.Remedy})
	}
	return found
}

// judged returns a group with the sums over its partitions.
func (g GroupState) judged() findings.Group {
	sum := findings.Group{Name: g.Group, Members: g.Members}
	for _, p := range g.Partitions {
		sum.Age, sum.Lag = max(sum.Age, p.Age), sum.Lag+p.Lag
		sum.Letters, sum.Parked, sum.Failing, sum.Blocked = sum.Letters+p.Letters, sum.Parked+p.Parked, sum.Failing+p.Failing, sum.Blocked+p.Blocked
		sum.Owned = sum.Owned || p.Owner != ""
		if p.LettersFull {
			sum.Full++
		}
		for _, chat := range p.Longest {
			sum.Longest = append(sum.Longest, findings.BlockedChat{Chat: chat.Chat, Seq: chat.Seq, Reason: string(chat.Reason), Since: chat.Since, Error: chat.Error})
		}
	}
	return sum
}
