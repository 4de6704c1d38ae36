package domain

// Broadcast is a mention of a group of members.
type Broadcast uint8

// The broadcasts.
const (
	NoBroadcast   Broadcast = iota
	BroadcastAll            // all members
	BroadcastHere           // the members that are online when the message is delivered; it is not kept as a mention
)
