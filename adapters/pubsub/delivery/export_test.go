package delivery

// SetLimit changes a bound of a member before it acquires a partition. It reports whether the bound exists.
func (m *Member) SetLimit(name string, n int) bool {
	l := &m.limits
	bound := map[string]*int{
		"window": &l.window, "share": &l.share, "chats": &l.chats, "behind": &l.behind, "waiting": &l.waiting, "chat-waiting": &l.chatWaiting,
		"page-chats": &l.pageChats, "page-events": &l.pageEvents, "low": &l.low,
	}[name]
	if bound != nil {
		*bound = n
	}
	return bound != nil
}
