package domain

// NotifyLevel is which messages of a chat a user is notified of.
type NotifyLevel uint8

// The levels of notification.
const (
	NotifyDefault  NotifyLevel = iota // that of the kind of chat
	NotifyAll                         // every message of the main timeline
	NotifyMentions                    // mentions, and replies in threads that the user follows
	NotifyNone
)

// Hiding is whether a user's chat list leaves a chat out.
type Hiding uint8

// The hidings of a chat.
const (
	Shown              Hiding = iota
	HiddenUntilMessage        // until the next message of the main timeline
	HiddenAlways              // until the user shows it again
)
