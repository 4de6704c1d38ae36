package app

// Small has the counts kept of chats of at most so many members, and tallies for so many members in all.
func (u *UnreadCounts) Small(most, members int) *UnreadCounts {
	u.most, u.tallies = most, newTallies(members)
	return u
}

// Tallied is how many tallies are kept.
func (u *UnreadCounts) Tallied() int { return len(u.tallies.all) }
