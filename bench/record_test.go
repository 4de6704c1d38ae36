package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// recorded records sends to each of the chats, and returns the same script calls with new ids.
func recorded(b *testing.B, server *redistest.Server, all []domain.ChatID) func(unique string, i int) []any {
	b.Helper()
	proxy := listen(b, server.Addr())
	core, err := chatcore.New(b.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://" + proxy.addr}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	calls := make([][]string, len(all))
	for i, chat := range all {
		// The first send loads the scripts and entities; the second is the measured one.
		for _, id := range []string{"warm", "template"} {
			if _, err := core.Chats.Send(b.Context(), domain.Send{Chat: chat, Actor: "ada", Content: content, MessageID: domain.MessageID(id)}); err != nil {
				b.Fatal(err)
			}
		}
		calls[i] = proxy.last("evalsha", "template")
	}
	return func(unique string, i int) []any {
		call := calls[i%len(calls)]
		args := make([]any, len(call))
		for k, arg := range call {
			args[k] = strings.ReplaceAll(arg, "template", "bare-"+unique)
		}
		return args
	}
}

// listener is a proxy that records the commands that pass.
type listener struct {
	addr string
	mu   sync.Mutex
	seen [][]string
}

func listen(b *testing.B, to string) *listener {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		_ = l.Close()
		wg.Wait()
	})
	p := &listener{addr: l.Addr().String()}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
			wg.Go(func() { defer stop(); _, _ = io.Copy(in, out); _ = in.Close() })
			wg.Go(func() {
				p.forward(in, out)
				_ = out.Close()
			})
		}
	})
	return p
}

// forward passes commands on. It records each one first, because a caller looks for it once it has the reply.
func (p *listener) forward(from io.Reader, to io.Writer) {
	r := bufio.NewReader(from)
	for {
		n, err := number(r, '*')
		if err != nil {
			return
		}
		command, raw := make([]string, n), fmt.Appendf(nil, "*%d\r\n", n)
		for i := range command {
			size, err := number(r, '$')
			if err != nil {
				return
			}
			buf := make([]byte, size+2)
			if _, err := io.ReadFull(r, buf); err != nil {
				return
			}
			command[i] = string(buf[:size])
			raw = append(fmt.Appendf(raw, "$%d\r\n", size), buf...)
		}
		p.mu.Lock()
		p.seen = append(p.seen, command)
		p.mu.Unlock()
		if _, err := to.Write(raw); err != nil {
			return
		}
	}
}

func number(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("unexpected %q", line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// last returns the last command of that name with an argument that contains the text.
func (p *listener) last(name, text string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.seen) - 1; i >= 0; i-- {
		if strings.EqualFold(p.seen[i][0], name) && strings.Contains(strings.Join(p.seen[i], " "), text) {
			return p.seen[i]
		}
	}
	return nil
}
