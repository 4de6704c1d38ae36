package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"chatcore/tests/child"
)

// natsIn names the directory of the NATS server that a child serves, and natsSyncs is set if it syncs each message to the disk.
const (
	natsIn    = "BENCH_NATS_IN"
	natsSyncs = "BENCH_NATS_SYNCS"
)

// serveNATS is the main function of that child. It prints the server's URL and serves until its input ends.
func serveNATS(directory string) {
	server, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: directory, SyncAlways: os.Getenv(natsSyncs) != "", NoLog: true, NoSigs: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	server.Start()
	if !server.ReadyForConnections(time.Minute) {
		log.Fatal("the NATS server is not ready after a minute")
	}
	fmt.Println(server.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Shutdown()
	os.Exit(0)
}

// natsStream is a stream of JetStream with a subject for each chat, as its senders see it.
type natsStream struct {
	b    *testing.B
	url  string
	js   jetstream.JetStream
	last []natsHead // by chat
}

// natsHead is the sequence of the last message of a chat.
type natsHead struct {
	mu  sync.Mutex // mu guards seq, and lets one caller at a time send to the chat
	seq uint64
}

// natsPeer stores messages in a file stream of JetStream. Each send names the last sequence of its chat and fails if there is a newer message; senders of a
// chat therefore take turns.
func natsPeer(b *testing.B, n int, onDisk bool) *peer {
	b.Helper()
	directory := b.TempDir()
	process, url := startNATS(b, directory, onDisk)
	s := &natsStream{b: b, url: url, last: make([]natsHead, n)}
	var err error
	if s.js, err = jetstream.New(s.connect(), jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		b.Fatal(err)
	}
	if _, err := s.js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "chats", Subjects: []string{"chat.*"}, Storage: jetstream.FileStorage, Duplicates: 2 * time.Minute,
	}); err != nil {
		b.Fatal(err)
	}
	return &peer{
		name: "NATS JetStream", onDisk: onDisk, durable: true,
		send:    s.send,
		cpu:     func() float64 { return processCPU(b, process.Pid()) },
		stored:  func() float64 { return sizeOf(b, directory) },
		deliver: s.deliver,
	}
}

func startNATS(b *testing.B, directory string, onDisk bool) (process *child.Process, url string) {
	b.Helper()
	executable, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), executable)
	cmd.Env, cmd.Stderr = append(os.Environ(), natsIn+"="+directory), os.Stderr
	if onDisk {
		cmd.Env = append(cmd.Env, natsSyncs+"=yes")
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if process, err = child.Start(cmd); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = input.Close()
		process.End(syscall.SIGKILL, time.Minute)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return process, strings.TrimSpace(line)
}

func (s *natsStream) connect() *nats.Conn {
	s.b.Helper()
	closed := make(chan struct{})
	conn, err := nats.Connect(s.url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() {
		conn.Close()
		<-closed
	})
	return conn
}

func (s *natsStream) send(ctx context.Context, chat int, id string) error {
	head := &s.last[chat]
	head.mu.Lock()
	defer head.mu.Unlock()
	stored, err := s.js.Publish(ctx, "chat."+chatID(chat), encodedMessage(chat, id), jetstream.WithMsgID(id), jetstream.WithExpectLastSequencePerSubject(head.seq))
	if err == nil {
		head.seq = stored.Sequence
	}
	return err
}

func (s *natsStream) deliver(handled, heard *arrivals) {
	handling, err := jetstream.New(s.connect())
	if err != nil {
		s.b.Fatal(err)
	}
	consumer, err := handling.CreateConsumer(s.b.Context(), "chats", jetstream.ConsumerConfig{
		Durable: "bench", DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
	})
	if err != nil {
		s.b.Fatal(err)
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		handled.add(idIn(m.Data()))
		if err := m.Ack(); err != nil {
			s.b.Error(err)
		}
	})
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() {
		consuming.Stop()
		<-consuming.Closed()
	})
	if _, err := s.connect().Subscribe("chat.*", func(m *nats.Msg) { heard.add(idIn(m.Data)) }); err != nil {
		s.b.Fatal(err)
	}
}

// sizeOf returns the bytes of all files below a directory.
func sizeOf(b *testing.B, directory string) float64 {
	b.Helper()
	sum := int64(0)
	err := filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return float64(sum)
}
