package chatcore

import (
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// eachMessage calls handle with one message after another until the channel is closed, and then done. A call that ends in [runtime.Goexit] takes
// its goroutine with it: another one goes on with the next message.
func eachMessage(running *sync.WaitGroup, messages <-chan *message.Message, handle func(*message.Message), done func()) {
	running.Go(func() {
		closed := false
		defer func() {
			if closed {
				done()
				return
			}
			eachMessage(running, messages, handle, done)
		}()
		for msg := range messages {
			handle(msg)
		}
		closed = true
	})
}
