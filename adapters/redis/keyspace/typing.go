package keyspace

import (
	"net/url"
	"strings"

	"chatcore/domain"
)

// Typing has the keys of typing marks.
type Typing struct{ base }

// Mark returns the key of a typing mark.
func (k Typing) Mark(chat domain.ChatID, user domain.UserID) string {
	return string(k.AppendMark(nil, chat, user))
}

// Marks returns the key of the list of a chat's typing marks.
func (k Typing) Marks(chat domain.ChatID) string { return k.chat(chat, "t") }

// User returns the user of a chat's typing mark.
func (k Typing) User(chat domain.ChatID, mark string) (domain.UserID, bool) {
	user, ours := strings.CutPrefix(mark, k.Mark(chat, ""))
	if !ours {
		return "", false
	}
	plain, err := url.PathUnescape(user)
	return domain.UserID(plain), err == nil
}

// AppendMark appends the key of a typing mark.
func (k Typing) AppendMark(b []byte, chat domain.ChatID, user domain.UserID) []byte {
	b = append(append(b, k.prefix...), k.names.Typing...)
	if k.cluster {
		b = append(append(append(b, '{'), k.tags[k.Partition(chat)]...), "}:"...)
	}
	b = append(AppendEscaped(b, string(chat)), ':')
	return AppendEscaped(b, string(user))
}
