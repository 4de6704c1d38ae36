package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/child"
)

// feedsAt names the address of the instance whose feeds a child reads.
const feedsAt = "BENCH_FEEDS_AT"

// feeds are the readers of many feeds, in a process of their own, so that their work delays nothing here but by the processors that it takes.
type feeds struct {
	process      *child.Process
	live, events atomic.Int64 // feeds that have caught up, events that they were given
	failure      atomic.Pointer[string]
	ended        chan struct{}
}

// openFeeds opens the feeds, 64 at once, each of one chat from a position on. It returns when all have caught up.
func openFeeds(b *testing.B, address string, all []domain.ChatID, seqs []domain.Seq, tokens []app.SessionToken) *feeds {
	b.Helper()
	var requests strings.Builder
	for i, token := range tokens {
		chat := i % len(all)
		fmt.Fprintf(&requests, "%s:%d %s\n", all[chat], seqs[chat], string(token))
	}
	executable, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), executable)
	cmd.Env, cmd.Stderr, cmd.Stdin = append(os.Environ(), feedsAt+"="+address), os.Stderr, strings.NewReader(requests.String())
	reports, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	f := &feeds{ended: make(chan struct{})}
	if f.process, err = child.Start(cmd); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(f.close)
	go f.follow(reports)
	f.wait(b, 0, time.Now())
	return f
}

// follow reads the child's reports: a line with the present counts, or with a failure.
func (f *feeds) follow(reports io.Reader) {
	defer close(f.ended)
	for lines := bufio.NewScanner(reports); lines.Scan(); {
		var live, events int64
		if _, err := fmt.Sscan(lines.Text(), &live, &events); err != nil {
			text := lines.Text()
			f.failure.Store(&text)
			continue
		}
		f.live.Store(live)
		f.events.Store(events)
	}
}

// wait waits until all feeds have caught up and have had a number of events in all, and returns the time since began.
func (f *feeds) wait(b *testing.B, events int64, began time.Time) time.Duration {
	b.Helper()
	for f.live.Load() < manyFeeds || f.events.Load() < events {
		if text := f.failure.Load(); text != nil {
			b.Fatal(*text)
		}
		if time.Since(began) > 5*time.Minute {
			b.Fatalf("%d feeds have caught up, with %d of %d events", f.live.Load(), f.events.Load(), events)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (f *feeds) close() {
	f.process.End(syscall.SIGKILL, time.Minute)
	<-f.ended
}

// readFeeds is the main function of that child. A line of its input is a request: a chat with the position in it, and the token of a session.
func readFeeds(address string) {
	var live, events atomic.Int64
	requests := make(chan string)
	go func() {
		defer close(requests)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			requests <- lines.Text()
		}
	}()
	var opening sync.WaitGroup
	for range 64 {
		opening.Go(func() {
			for request := range requests {
				chat, token, _ := strings.Cut(request, " ")
				conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
				if err != nil {
					log.Fatal(err)
				}
				if _, err := fmt.Fprintf(conn, "GET /v1/feed?chat=%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", chat, address, token); err != nil {
					log.Fatal(err)
				}
				go countFeed(conn, &live, &events)
			}
		})
	}
	for {
		fmt.Println(live.Load(), events.Load()) // it ends with the pipe
		time.Sleep(10 * time.Millisecond)
	}
}

// countFeed counts what a feed gives until its connection ends.
func countFeed(conn io.Reader, live, events *atomic.Int64) {
	lines := bufio.NewReaderSize(conn, 2<<10)
	if status, err := lines.ReadString('\n'); err != nil || !strings.Contains(status, " 200 ") {
		fmt.Printf("a feed was refused: %s (%v)\n", strings.TrimSpace(status), err)
		return
	}
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			fmt.Printf("a feed has ended: %v\n", err)
			return
		case bytes.HasPrefix(line, []byte("event: event")):
			events.Add(1)
		case bytes.HasPrefix(line, []byte("event: caughtUp")):
			live.Add(1)
		}
	}
}
