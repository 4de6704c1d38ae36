package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatcore/tests/postgrestest"
)

// A peer is a system that stores the messages of chats and delivers them. Its server is a process of its own. Senders and readers are in this process, and
// have connections of their own.
type peer struct {
	name   string
	onDisk bool                                                 // a send returns once the message is on the disk
	send   func(ctx context.Context, chat int, id string) error // stores a message with the id
	cpu    func() float64                                       // processor time of the server, in seconds
	stored func() float64                                       // bytes that the server holds, without copies that wait for readers
	// deliver starts a live listener and, save where the peer has none, a durable handler.
	deliver func(handled, heard *arrivals)
	durable bool // has durable handlers
	// passing is the part of stored that expires within minutes, such as idempotency keys. It is nil if there is none.
	passing func() float64
}

// label returns the name of the peer in tables and pictures.
func (p *peer) label() string {
	if p.onDisk {
		return p.name + ", fsync"
	}
	return p.name
}

// quiet writes to the disk what the peers before have left in memory. Otherwise the syncs of a peer that has messages on the disk would wait for it too.
func (p *peer) quiet() {
	if p.onDisk {
		syscall.Sync()
	}
}

// inMemory opens the peers whose sends do not wait for the disk, with a number of chats. It leaves out PostgreSQL, with a line in the log, where no server is
// installed.
func inMemory(b *testing.B, n int) []*peer {
	b.Helper()
	all := []*peer{chatcorePeer(b, n, false), centrifugePeer(b, n), watermillPeer(b), natsPeer(b, n, false)}
	if err := postgrestest.Installed(); err != nil {
		b.Logf("without PostgreSQL: %v", err)
		return all
	}
	return append(all, postgresPeer(b, n, false))
}

// openPeers opens all peers, also those that have each message on the disk before a send returns.
func openPeers(b *testing.B, n int) []*peer {
	b.Helper()
	all := append(inMemory(b, n), chatcorePeer(b, n, true), natsPeer(b, n, true))
	if postgrestest.Installed() == nil {
		all = append(all, postgresPeer(b, n, true))
	}
	return all
}

// chatID returns the id of a chat.
func chatID(i int) string { return fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4b-%012d", i) }

var messageCount atomic.Int64 //nolint:gochecknoglobals // numbers messages of all benchmarks

// messageID returns the id of message n, and numberOf returns n.
func messageID(n int64) string { return fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4c-%012d", n) }

func numberOf(id string) int64 {
	n, err := strconv.ParseInt(id[strings.LastIndexByte(id, '-')+1:], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// encodedMessage returns the bytes that a peer stores: a message with the fields and the size of chatcore's event.
func encodedMessage(chat int, id string) []byte {
	message := newPublished(id)
	message.ChatID = chatID(chat)
	data, err := json.Marshal(message)
	if err != nil {
		panic(err) // it has strings and numbers only
	}
	return data
}

// idIn returns the message id of such bytes.
func idIn(data []byte) string {
	var message published
	if err := json.Unmarshal(data, &message); err != nil {
		panic(err) // nothing else is sent
	}
	return message.MessageID
}

// during makes calls by a number of concurrent callers for a time. It returns how many there were and how long they took.
func during(b *testing.B, callers int, limit time.Duration, do func(ctx context.Context) error) (n int, took time.Duration) {
	b.Helper()
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var calls sync.WaitGroup
	began := time.Now()
	for range callers {
		calls.Go(func() {
			for time.Since(began) < limit && failed.Load() == nil {
				if err := do(b.Context()); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	calls.Wait()
	took = time.Since(began)
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return int(done.Load()), took
}

// sendNext sends a new message to the next of n chats.
func (p *peer) sendNext(n int) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		i := messageCount.Add(1)
		if err := p.send(ctx, int(i%int64(n)), messageID(i)); err != nil {
			return fmt.Errorf("%s: %w", p.label(), err)
		}
		return nil
	}
}

// ownCPU returns the processor time of this process, in seconds.
func ownCPU(b *testing.B) float64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// processCPU returns the processor time of a process, of its children that run and of those that have ended, in seconds.
func processCPU(b *testing.B, pid int) float64 {
	b.Helper()
	const ticks = 100 // a second, on all Linux
	of := func(pid int) float64 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0 // it has ended, and its parent counts it
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		sum := 0.0
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, err := strconv.ParseFloat(field, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += n
		}
		return sum / ticks
	}
	sum := of(pid)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, field := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		sum += of(child)
	}
	return sum
}
