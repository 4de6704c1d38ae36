package app_test

import (
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
)

func TestShouldNotify(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	message := domain.MessageNew{Chat: "c", Message: "m", Sender: "bob"}
	named, toAll, here, own, reply, inChat := message, message, message, message, message, message
	named.Mentions = []domain.UserID{"ann"}
	toAll.Broadcast, here.Broadcast, own.Sender = domain.BroadcastAll, domain.BroadcastHere, "ann"
	reply.Thread, inChat.Thread, inChat.InChat = "root", "root", true
	level := func(l domain.NotifyLevel) domain.Settings { return domain.Settings{Notify: l} }
	muted := domain.Settings{Notify: domain.NotifyAll, MutedUntil: at.Add(time.Millisecond)}
	type question = app.Notification
	for what, row := range map[string]struct {
		q    question
		want bool
	}{
		"a group by default":                {question{Event: message}, false},
		"a group by default, named":         {question{Event: named}, true},
		"a group, by a default of the team": {question{Event: message, Default: domain.NotifyAll}, true},
		"a direct chat":                     {question{Kind: domain.Direct, Event: message, Default: domain.NotifyMentions}, true},
		"an own message":                    {question{Event: own}, false},
		"muted":                             {question{Event: named, Settings: muted}, false},
		"no longer muted":                   {question{Event: named, Settings: domain.Settings{MutedUntil: at}}, true},
		"none":                              {question{Event: named, Settings: level(domain.NotifyNone)}, false},
		"mentions, no mention":              {question{Event: message, Settings: level(domain.NotifyMentions)}, false},
		"mentions, named":                   {question{Event: named, Settings: level(domain.NotifyMentions)}, true},
		"mentions, all":                     {question{Event: toAll, Settings: level(domain.NotifyMentions)}, true},
		"mentions, here and online":         {question{Event: here, Settings: level(domain.NotifyMentions), Online: true}, true},
		"mentions, here and offline":        {question{Event: here, Settings: level(domain.NotifyMentions)}, false},
		"mentions, a followed thread":       {question{Event: reply, Settings: level(domain.NotifyMentions), Follows: true}, true},
		"all, another thread":               {question{Event: reply, Settings: level(domain.NotifyAll)}, false},
		"all, a followed thread":            {question{Event: reply, Follows: true, Default: domain.NotifyAll}, true},
		"all, a reply in the timeline":      {question{Event: inChat, Settings: level(domain.NotifyAll)}, true},
		"an edit":                           {question{Event: domain.MessageEdit{Editor: "bob", Mentions: named.Mentions}}, false},
		"an edit that mentions":             {question{Event: domain.MessageEdit{Editor: "bob", MentionsAdded: named.Mentions}}, true},
		"a reaction":                        {question{Event: domain.MessageReaction{User: "bob"}}, false},
	} {
		row.q.User, row.q.At = "ann", at
		if got := app.ShouldNotify(row.q); got != row.want {
			t.Errorf("%s: %t, want %t", what, got, row.want)
		}
	}
}
