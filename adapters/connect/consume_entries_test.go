package connect_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// streams returns the delivery streams of the world's log.
func (w *world) streams(t *testing.T, client *goredis.Client) (streams []string) {
	t.Helper()
	keys, err := client.Keys(t.Context(), w.namespace+":message-delivery-stream*").Result()
	did(t, err)
	for _, key := range keys {
		if client.Type(t.Context(), key).Val() == "stream" {
			streams = append(streams, key)
		}
	}
	if len(streams) == 0 {
		t.Fatal("the log has no stream")
	}
	return streams
}

// TestConsume_OtherPrograms has another program append entries to the delivery streams, beside events of the log: its events are delivered with seq 0 and their
// own id, and what nobody can read becomes a dead letter that no consumer has had.
func TestConsume_OtherPrograms(t *testing.T) {
	c := worldConfig{}
	c.core.Logger = slog.New(slog.DiscardHandler)
	w := redisWorld(t, c)
	redis, client, group := redistest.Shared(t).Client(t), consumers(t, w.url), w.defined(t)
	t.Cleanup(func() { _ = redis.Close() })
	chat := w.chat(t)
	want := make(map[string]uint32) // seqs by message
	for n := range 4 {
		want[w.message(t, chat)] = uint32(n + 3) // after the creation and the member
		for _, stream := range w.streams(t, redis) {
			id := w.id("foreign")
			want[id] = 0
			add := func(uuid, typ, payload string) {
				did(t, redis.XAdd(t.Context(), &goredis.XAddArgs{Stream: stream, Values: []any{
					"_watermill_message_uuid", uuid, "metadata", wireformat.EncodeMetadata(map[string]string{wireformat.MetaType: typ}), "payload", payload,
				}}).Err())
			}
			add("uuid-"+id, "message:new", fmt.Sprintf(`{"messageId":%q,"chatId":"elsewhere","senderId":"eve","content":"hello"}`, id))
			add("broken-"+id, "message:new", "no JSON")
			add("strange-"+id, "no type", "{}")
		}
	}
	stream := started(t, client, "", &consumerv1.ConsumeStart{Group: group})
	for len(want) > 0 {
		d := stream.delivery()
		stream.ack(d)
		e := d.GetEvent()
		if e.GetChatUpdate() != nil && e.GetChatId() == chat {
			continue
		}
		id := e.GetMessageNew().GetMessageId()
		seq, expected := want[id]
		if delete(want, id); !expected || e.GetSeq() != seq || d.GetAttempt() != 1 || d.GetToken() == "" || d.GetAppendedAt() == nil {
			t.Errorf("delivered: %v", d)
		}
		if seq == 0 && (e.GetChatId() != "elsewhere" || e.GetId() != "uuid-"+id || e.GetActorId() != "eve") {
			t.Errorf("an event of another program: %v", d)
		}
	}
	wait.Until(t, "the group has finished everything", func() bool { return w.lag(t, group) == 0 })
	if len(stream.waiting) > 0 {
		t.Errorf("%v come as well", stream.waiting)
	}
}

// TestConsume_Unreadable has events of the log that are damaged, or that a later version of the program wrote. No consumer is given them: the first become dead
// letters, and the chats of the others wait.
func TestConsume_Unreadable(t *testing.T) {
	c := worldConfig{}
	c.core.Logger = slog.New(slog.DiscardHandler)
	w := redisWorld(t, c)
	redis, client, group := redistest.Shared(t).Client(t), consumers(t, w.url), w.defined(t)
	t.Cleanup(func() { _ = redis.Close() })
	w.chat(t)
	stream := started(t, client, "", &consumerv1.ConsumeStart{Group: group})
	metadata := wireformat.EncodeMetadata(map[string]string{wireformat.MetaType: "message:new"})
	newer := `{"eventId":"x","type":"message:new","v":9,"timestamp":"2026-01-02T03:04:05.000Z","seq":1,"ordinal":1}`
	streams := w.streams(t, redis)
	for i, key := range streams {
		for chat, payload := range map[string]string{fmt.Sprint("damaged-", i): "no JSON", fmt.Sprint("newer-", i): newer} {
			did(t, redis.XAdd(t.Context(), &goredis.XAddArgs{Stream: key, Values: []any{
				"_watermill_message_uuid", "x", "metadata", metadata, "payload", payload, "chat", chat, "seq", "1",
			}}).Err())
		}
	}
	last := w.message(t, w.chat(t))
	for {
		d := stream.delivery()
		stream.ack(d)
		if chat := d.GetEvent().GetChatId(); strings.HasPrefix(chat, "damaged") || strings.HasPrefix(chat, "newer") {
			t.Errorf("delivered: %v", d)
		}
		if d.GetEvent().GetMessageNew().GetMessageId() == last {
			break
		}
	}
	wait.Until(t, "damaged events are dead letters, and chats wait for a later version", func() bool {
		state, _ := w.group(t, group)
		letters, blocked := 0, 0
		for _, p := range state.Partitions {
			letters, blocked = letters+p.Letters, blocked+p.Blocked
		}
		return letters == len(streams) && blocked == letters
	})
	for d, err := range w.core.Groups().DeadLetters(t.Context(), group) {
		did(t, err)
		if !strings.HasPrefix(string(d.Chat), "damaged-") || d.Attempts != 1 || !strings.Contains(d.Reason, "unreadable") {
			t.Errorf("dead letter %+v", d)
		}
	}
	if len(stream.waiting) > 0 {
		t.Errorf("%v come as well", stream.waiting)
	}
}
