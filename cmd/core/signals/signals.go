// Package signals has the program handle SIGINT and SIGTERM from its first moment on. It imports next to nothing and its path sorts before those of
// other modules, so Go initializes it before them: a signal that arrives while they are initialized waits for [Context], and does not kill the program.
package signals

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

//nolint:gochecknoglobals // registered while the program is initialized
var received = register()

func register() chan os.Signal {
	c := make(chan os.Signal, 1)
	if !strings.HasSuffix(os.Args[0], ".test") { // a test ends by a signal
		signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	}
	return c
}

// Context returns a context that ends with the first SIGINT or SIGTERM since the program began. A second one ends the program at once: signals have
// their usual effect by the time that the context ends. stop ends the context without a signal. There is one context for the program.
func Context() (ctx context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-received:
			signal.Stop(received)
			select {
			case second := <-received: // it came before Stop
				os.Exit(exitCode(second))
			default:
			}
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(received)
		cancel()
	}
}

// exitCode returns the exit code of a program that a signal ends, as shells report it.
func exitCode(s os.Signal) int {
	if number, is := s.(syscall.Signal); is {
		return 128 + int(number)
	}
	return 1
}
