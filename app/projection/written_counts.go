package projection

import (
	"sync"
	"time"

	"chatcore/domain"
)

// writtenChat says which counts of a chat this process has written last. The zero value is a chat of which nothing is known.
type writtenChat struct {
	epoch   uint64     // of the entity cache: in a later one the log may have lost counted events
	seq     domain.Seq // all counts are as of it, or a later one
	members int        // of the chat as of the seq, at least
	crowded bool       // see recount
	next    time.Time  // when a large chat is written again
}

// writtenCounts holds what was written of chats. A lagging group need not count again for events that were counted, and a large chat is written at
// intervals. A chat that it has forgotten is written again.
type writtenCounts struct {
	size int

	mu    sync.Mutex // mu guards: all below
	chats map[domain.ChatID]writtenChat
}

func newWrittenCounts(size int) *writtenCounts {
	return &writtenCounts{size: size, chats: make(map[domain.ChatID]writtenChat)}
}

// of returns what was written of a chat in an epoch.
func (w *writtenCounts) of(chat domain.ChatID, epoch uint64) writtenChat {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.chats[chat]; c.epoch == epoch {
		return c
	}
	return writtenChat{}
}

// put keeps what was written of a chat. It forgets any other chat if there is no room.
func (w *writtenCounts) put(chat domain.ChatID, c writtenChat) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.chats { // in no particular order
		if _, known := w.chats[chat]; known || len(w.chats) < w.size {
			break
		}
		delete(w.chats, other)
	}
	w.chats[chat] = c
}
