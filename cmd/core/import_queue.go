package main

import (
	"context"
	"sync"
)

// importQueue holds the lines that are read and not yet recorded, importAhead at most. A chat with lines is with one worker at a time.
type importQueue struct {
	room  chan struct{}    // has an element for each line
	ready chan *chatImport // chats that have lines and no worker; never more than lines

	mu sync.Mutex // guards lines and busy of the chats
}

func newImportQueue() *importQueue {
	return &importQueue{room: make(chan struct{}, importAhead), ready: make(chan *chatImport, importAhead)}
}

// push adds a chat's next line. It waits for room, or returns the error of ctx.
func (q *importQueue) push(ctx context.Context, chat *chatImport, e *entry) error {
	select {
	case q.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	chat.lines = append(chat.lines, e)
	if !chat.busy {
		chat.busy = true
		q.ready <- chat
	}
	return nil
}

// next returns the next line of a chat, nil if it has none. Then the chat is no longer with the worker.
func (q *importQueue) next(chat *chatImport) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(chat.lines) == 0 {
		chat.lines, chat.busy = nil, false
		return nil
	}
	e := chat.lines[0]
	chat.lines[0] = nil
	chat.lines = chat.lines[1:]
	return e
}

// close signals the workers that no line follows.
func (q *importQueue) close() { close(q.ready) }
