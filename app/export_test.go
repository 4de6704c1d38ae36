package app

// Small has the counts kept of chats of at most so many members, and tallies for so many members in all.
func (u *UnreadCounts) Small(most, members int) *UnreadCounts {
	u.most, u.tallies = most, newTallies(members)
	return u
}

// Tallied is how many tallies are kept.
func (u *UnreadCounts) Tallied() int { return len(u.tallies.all) }

// Fingerprint is what a log keeps of a command.
func Fingerprint(name string, args [4]string) uint64 { return fingerprint(name, args) }
