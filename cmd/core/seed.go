package main

import (
	"context"
	"fmt"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// sample is what the chats of a new embedded log begin with, so that its console shows some life. Its ids are none that the examples of the documentation
// use.
type sample struct {
	chat  domain.ChatID
	steps []sampleStep
}

// sampleCommand gives a command about a chat in the name of a user.
type sampleCommand func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error

// sampleStep is one command of a sample, by actor, some time before the present.
type sampleStep struct {
	ago   time.Duration
	actor domain.UserID
	do    sampleCommand
}

// seedSamples writes the sample chats, if the log has no chat. It reports whether it did.
func seedSamples(ctx context.Context, core *chatcore.Core) (bool, error) {
	there, err := core.Queries.ChatPage(ctx, domain.Page{Limit: 1})
	if err != nil || len(there.Items) > 0 {
		return false, err
	}
	now := time.Now()
	for _, s := range samples() {
		for i, step := range s.steps {
			if err := step.do(ctx, core.Chats.Backdated(now.Add(-step.ago)), s.chat, step.actor); err != nil {
				return false, fmt.Errorf("sample chat %s, step %d: %w", s.chat, i, err)
			}
		}
	}
	return true, nil
}

// samples returns the sample chats: the one with the latest message last.
func samples() []sample {
	const day, hour, minute = 24 * time.Hour, time.Hour, time.Minute
	return []sample{
		{"books", []sampleStep{
			{3 * day, "dora", creates("Reading circle", "ada", "ben")},
			{3*day - 2*minute, "dora", says("books-1", "Next up: The Left Hand of Darkness. Two weeks, as usual?")},
			{3*day - 20*minute, "ada", says("books-2", "Two weeks is fine. I have the old edition with the map.")},
			{3*day - 25*minute, "ben", reacts("books-2", "🗺️")},
			{2 * day, "ben", says("books-3", "Halfway through. The ice journey is the best part so far.")},
			{2*day - 8*minute, "ada", replies("books-4", "books-3", "No spoilers!")},
			{2*day - 9*minute, "ben", reacts("books-4", "😂")},
			{26 * hour, "dora", says("books-5", "We meet on Thursday at seven, at my place. I make soup.")},
			{25 * hour, "ada", reacts("books-5", "🍲")},
			{25 * hour, "ada", reads("books-5")},
		}},
		{"release", []sampleStep{
			{2 * day, "ben", creates("Release 2.0", "ada")},
			{2*day - minute, "ben", promotes("ada", domain.RoleAdmin)},
			{2*day - 3*minute, "ben", says("release-1", "The changelog is written. What is still open?")},
			{2*day - 9*minute, "ada", says("release-2", "The migration guide, and one flaky test.")},
			{2*day - 12*minute, "ada", adds("cem")},
			{2*day - 30*minute, "cem", says("release-3", "I take the test. It fails one time in fifty.")},
			{2*day - 31*minute, "ada", reacts("release-3", "🙏")},
			{27 * hour, "cem", says("release-4", "Found it: the clock of the machine went back. Fix is in review.")},
			{27*hour - 4*minute, "ben", reacts("release-4", "🎉")},
			{27*hour - 5*minute, "ada", reacts("release-4", "🎉")},
			{3 * hour, "ada", says("release-5", "The guide is done too. Ready when you are.")},
			{3*hour - 6*minute, "ben", reads("release-5")},
			{64 * minute, "ben", says("release-6", "Then we tag it today at four. Any last words?")},
			{62 * minute, "cem", says("release-7", "Ship it.")},
			{61 * minute, "ben", reacts("release-7", "🚢")},
		}},
		{"hike", []sampleStep{
			{28 * hour, "ada", creates("Hike", "ben")},
			{28*hour - minute, "ada", says("hike-1", "Who comes up to the ridge on Saturday?")},
			{28*hour - 3*minute, "ben", says("hike-2", "I do! What shall I brin?")},
			{28*hour - 4*minute, "ben", edits("hike-2", "I do! What shall I bring?")},
			{28*hour - 6*minute, "ada", adds("cem")},
			{28*hour - 7*minute, "ada", adds("dora")},
			{28*hour - 8*minute, "ada", renames("Weekend hike")},
			{28*hour - 9*minute, "ada", replies("hike-3", "hike-2", "Water for two, and the good thermos.")},
			{28*hour - 15*minute, "cem", says("hike-4", "Count me in. I can drive, four seats.")},
			{28*hour - 16*minute, "ada", reacts("hike-4", "🚗")},
			{28*hour - 17*minute, "ben", reacts("hike-4", "🚗")},
			{28*hour - 40*minute, "dora", says("hike-5", "Is the 8:10 train still running?")},
			{28*hour - 41*minute, "dora", deletes("hike-5", "wrong chat")},
			{27 * hour, "ada", promotes("ben", domain.RoleAdmin)},
			{40 * minute, "dora", says("hike-6", "Forecast: clear until noon, wind from the west after that.")},
			{38 * minute, "ada", says("hike-7", "Then we start early. Seven at the bridge?")},
			{37 * minute, "cem", reacts("hike-7", "👍")},
			{36 * minute, "dora", reacts("hike-7", "👍")},
			{33 * minute, "ben", replies("hike-8", "hike-7", "Seven is brutal, but yes. 🥱")},
			{32 * minute, "ada", reacts("hike-8", "😂")},
			{14 * minute, "cem", says("hike-9", "I pick you up: Ben 6:30, Dora 6:40, Ada 6:45.")},
			{13 * minute, "dora", reacts("hike-9", "❤️")},
			{12 * minute, "ben", says("hike-10", "Perfect. I bring the rolls from the corner bakery.")},
			{11 * minute, "ada", reacts("hike-10", "😋")},
			{10 * minute, "dora", reads("hike-10")},
			{9 * minute, "cem", reads("hike-9")},
			{6 * minute, "ada", says("hike-11", "And I have the map, in case the phones give up.")},
			{5 * minute, "ben", reacts("hike-11", "🗺️")},
			{4 * minute, "ben", reads("hike-11")},
		}},
	}
}

func creates(title string, members ...domain.UserID) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Create(ctx, domain.Create{Chat: chat, Actor: actor, Title: title, Members: members})
		return err
	}
}

func renames(title string) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Rename(ctx, domain.Rename{Chat: chat, Actor: actor, Title: title})
		return err
	}
}

func adds(user domain.UserID) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Add(ctx, domain.Add{Chat: chat, Actor: actor, User: user})
		return err
	}
}

func promotes(user domain.UserID, role domain.Role) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Promote(ctx, domain.Promote{Chat: chat, Actor: actor, User: user, Role: role})
		return err
	}
}

func says(id domain.MessageID, content string) sampleCommand {
	return replies(id, "", content)
}

func replies(id, to domain.MessageID, content string) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Send(ctx, domain.Send{Chat: chat, Actor: actor, MessageID: id, Content: content, ReplyTo: to})
		return err
	}
}

func edits(id domain.MessageID, content string) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Edit(ctx, domain.Edit{Chat: chat, Actor: actor, MessageID: id, Content: content})
		return err
	}
}

func deletes(id domain.MessageID, reason string) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.Delete(ctx, domain.Delete{Chat: chat, Actor: actor, MessageID: id, Reason: reason})
		return err
	}
}

func reacts(id domain.MessageID, emoji string) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.React(ctx, domain.React{Chat: chat, Actor: actor, MessageID: id, Emoji: emoji})
		return err
	}
}

func reads(id domain.MessageID) sampleCommand {
	return func(ctx context.Context, chats *app.Chats, chat domain.ChatID, actor domain.UserID) error {
		_, err := chats.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: actor, MessageID: id, AwaitRecorded: true})
		return err
	}
}
