package domain

// Following is a change of whether a user follows a thread.
type Following uint8

// The changes.
const (
	FollowingUnchanged Following = iota
	FollowingDefault             // as if the user had never chosen: the author of the root, and everybody who replies, follows
	Follow
	Unfollow
)
