package groups

import "chatcore/domain"

// Wants returns a function that reports whether the filter selects an event by its chat and type. It returns nil if the filter selects all.
func (f Filter) Wants() func(chat domain.ChatID, typ string) bool {
	if len(f.Types) == 0 && len(f.Chats) == 0 {
		return nil
	}
	types, chats := make(map[string]struct{}, len(f.Types)), make(map[domain.ChatID]struct{}, len(f.Chats))
	for _, typ := range f.Types {
		types[typ] = struct{}{}
	}
	for _, chat := range f.Chats {
		chats[chat] = struct{}{}
	}
	return func(chat domain.ChatID, typ string) bool {
		_, chatWanted := chats[chat]
		_, typeWanted := types[typ]
		return (chatWanted || len(chats) == 0) && (typeWanted || len(types) == 0)
	}
}
