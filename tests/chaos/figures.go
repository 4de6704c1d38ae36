package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/tests/feedreader"
)

// Fault is something that was done to the system.
type Fault struct {
	Kind         string
	On           string // the target
	Began, Ended time.Time
	Healed       time.Time // when its damage was mended
}

func (f Fault) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s to %s %s %s", f.Began.Format("15:04:05.000"), f.Healed.Format("15:04:05.000"), f.Kind, f.On))
}

// Figures are the results of a run.
type Figures struct {
	Events, Chats, Acknowledged int
	Unconfirmed, Unknown        int // answers
	NotDone                     int // attempts
	LostUnconfirmed             int
	LostRestored                int // acknowledged, and gone with a restore
	LostEffects                 int // made by events that Redis lost
	Effects, Starts             int
	Failed                      int // starts after a failure
	Again                       int // other starts of an event whose handler had been started
	Late                        int // starts by an owner that was superseded
	Already, Fenced             int
	Reads, Heard, Fed, Letters  int
	Anew                        int // chats that feeds began anew
	Faults                      map[string]int
	Recoveries                  map[string][]Recovery // by kind of fault
}

// Recovery is how long after the end of a fault work went on.
type Recovery struct {
	First time.Duration // to the next effect
	All   time.Duration // until every chat that had events waiting has had an effect
	Alone bool          // whether there was no other fault meanwhile
}

// Sum counts the events of a run. Events whose own handler takes long do not count for how long a chat took to recover.
func Sum(e Evidence, lost Losses, faults []Fault, long func(Place) bool) Figures {
	f := Figures{
		Chats: len(e.Log), Faults: make(map[string]int), Recoveries: make(map[string][]Recovery),
		LostUnconfirmed: len(lost.Unconfirmed), LostEffects: len(lost.Effects),
		NotDone: len(e.NotDone), LostRestored: len(lost.Restored), Reads: len(e.Reads), Heard: len(e.Heard), Letters: len(e.Letters),
	}
	for _, feed := range e.Feeds {
		for _, m := range feed.Messages {
			switch m.Kind {
			case feedreader.Event:
				f.Fed++
			case feedreader.Resync:
				f.Anew++
			default:
			}
		}
	}
	for _, log := range e.Log {
		f.Events += len(log)
	}
	for _, a := range e.Acks {
		switch a.Answer {
		case Acknowledged:
			f.Acknowledged++
		case Unconfirmed:
			f.Unconfirmed++
		case Unknown:
			f.Unknown++
		}
	}
	f.deliveries(e.Records)
	effects := timesOf(e)
	for _, fault := range faults {
		f.Faults[fault.Kind]++
		if r, waited := effects.recovery(e, fault.Ended, long); waited {
			r.Alone = !slices.ContainsFunc(faults, func(other Fault) bool {
				return other != fault && other.Ended.After(fault.Ended) && other.Began.Before(fault.Ended.Add(r.All))
			})
			f.Recoveries[fault.Kind] = append(f.Recoveries[fault.Kind], r)
		}
	}
	return f
}

func (f *Figures) deliveries(records []Record) {
	type given struct {
		group string
		Place
	}
	started := make(map[given]bool)
	highest := make(map[stream]uint64)
	for _, r := range records {
		switch r.Outcome {
		case Made:
			f.Effects++
		case Already:
			f.Already++
		case Fenced:
			f.Fenced++
		case Restored, Resumed:
			clear(highest)
		case Rebuilt:
		case Started:
			f.Starts++
			in, place := stream{r.Group, r.Chat}, given{r.Group, r.Place}
			late := r.Epoch < highest[in]
			highest[in] = max(highest[in], r.Epoch)
			before := started[place]
			started[place] = true
			switch {
			case late:
				f.Late++
			case before && r.Attempt > 1:
				f.Failed++
			case before:
				f.Again++
			}
		}
	}
}

// effects are the times of effects, in their order.
type effects struct {
	all  []Record
	chat map[domain.ChatID][]Record
	of   map[Place]time.Time
}

// timesOf returns the times of the first group.
func timesOf(run Evidence) effects {
	e := effects{chat: make(map[domain.ChatID][]Record), of: make(map[Place]time.Time)}
	for _, r := range run.Records {
		if r.Outcome == Made && r.Group == run.Groups[0] {
			e.all, e.chat[r.Chat], e.of[r.Place] = append(e.all, r), append(e.chat[r.Chat], r), r.At
		}
	}
	return e
}

// after is the first of some effects that is later than a time.
func after(records []Record, at time.Time) (Record, bool) {
	i, _ := slices.BinarySearchFunc(records, at, func(r Record, at time.Time) int {
		if r.At.After(at) {
			return 1
		}
		return -1
	})
	if i == len(records) {
		return Record{}, false
	}
	return records[i], true
}

// recovery measures the chats with an event that waited at a time: acknowledged before it and handled after.
func (e effects) recovery(run Evidence, at time.Time, long func(Place) bool) (r Recovery, waited bool) {
	for _, a := range run.Acks {
		log := run.Log[a.Chat]
		if a.Answer == Unknown || a.At.After(at) || a.Seq == 0 || a.Seq > domain.Seq(len(log)) || !e.of[log[a.Seq-1].Place].After(at) {
			continue
		}
		if next, there := after(e.chat[a.Chat], at); there && !long(next.Place) {
			waited = true
			r.All = max(r.All, next.At.Sub(at))
		}
	}
	if first, there := after(e.all, at); there {
		r.First = first.At.Sub(at)
	}
	return r, waited
}

func (f Figures) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	faults := 0
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(f.Faults)) {
		faults += f.Faults[kind]
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, f.Faults[kind]))
	}
	line("%d faults: %s", faults, strings.Join(kinds, ", "))
	line("%d events in %d chats; commands: %d acknowledged, %d unconfirmed (%d lost by Redis), %d with an unknown outcome",
		f.Events, f.Chats, f.Acknowledged, f.Unconfirmed, f.LostUnconfirmed, f.Unknown)
	line("%d attempts were refused or not done; a restore took %d acknowledged commands back", f.NotDone, f.LostRestored)
	line("%d reads, %d live events, %d dead letters; %d events of feeds, which began %d chats anew", f.Reads, f.Heard, f.Letters, f.Fed, f.Anew)
	line("%d effects (%d of events that Redis lost), %d handler starts", f.Effects, f.LostEffects, f.Starts)
	line("started again: %d after a failure, %d after a fault, %d by an owner that was superseded", f.Failed, f.Again, f.Late)
	line("effects that were not made: %d had been, %d fenced off", f.Already, f.Fenced)
	var all []Recovery
	for _, kind := range slices.Sorted(maps.Keys(f.Recoveries)) {
		line("recovery from %-14s %s", kind, spread(f.Recoveries[kind]))
		all = append(all, f.Recoveries[kind]...)
	}
	line("recovery from %-14s %s", "all", spread(all))
	return strings.TrimSuffix(b.String(), "\n")
}

// spread gives medians and maxima.
func spread(all []Recovery) string {
	if len(all) == 0 {
		return "nothing waited"
	}
	of := func(what string, time func(Recovery) time.Duration, which func(Recovery) bool) string {
		var times durations
		for _, r := range all {
			if which(r) {
				times = append(times, time(r))
			}
		}
		return fmt.Sprintf("%s %s", what, times)
	}
	every := func(Recovery) bool { return true }
	alone := func(r Recovery) bool { return r.Alone }
	first, chats := func(r Recovery) time.Duration { return r.First }, func(r Recovery) time.Duration { return r.All }
	return of("first effect", first, every) + of(", every chat", chats, every) + of(", and with no other fault", chats, alone)
}

type durations []time.Duration

func (d durations) String() string {
	if len(d) == 0 {
		return "never"
	}
	slices.Sort(d)
	return fmt.Sprintf("%v, at most %v (%d)", d[len(d)/2].Round(time.Millisecond), d[len(d)-1].Round(time.Millisecond), len(d))
}
