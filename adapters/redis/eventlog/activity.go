package eventlog

import (
	"context"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	indexedTogether = 500  // chats that one script call writes
	askedTogether   = 1000 // chats of one HMGET: about 0.3 ms of Redis
)

var _ ports.ActivityIndex = (*Log)(nil)

// IndexLastMessages implements [ports.ActivityIndex] with one script call for each partition and 500 chats.
func (l *Log) IndexLastMessages(ctx context.Context, entries ...ports.ActivityEntry) error {
	of := make([][]ports.ActivityEntry, l.keys.PartitionCount())
	for _, e := range entries {
		p := l.keys.Partition(e.Chat)
		of[p] = append(of[p], e)
	}
	for p, entries := range of {
		for len(entries) > 0 {
			n := min(len(entries), indexedTogether)
			if err := l.indexLastMessages(ctx, p, entries[:n]); err != nil {
				return err
			}
			entries = entries[n:]
		}
	}
	return nil
}

func (l *Log) indexLastMessages(ctx context.Context, partition int, entries []ports.ActivityEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	flag := func(set bool) string {
		if set {
			return "1"
		}
		return ""
	}
	args := make([]any, 1, 1+5*len(entries))
	for _, e := range entries {
		args = append(args, string(e.Chat), uint64(e.Seq), e.At.UnixMilli(), flag(e.Replace), flag(e.Behind))
	}
	_, err := l.guarded(ctx, partition, func(held *field) ([]any, error) {
		args[0] = held
		return l.run(ctx, l.scripts.activity, partition, []string{l.keys.Last(partition)}, args...).Slice()
	})
	return err
}

// askedChats is one HMGET, with the places of its chats in the result.
type askedChats struct {
	places []int
	reply  *goredis.SliceCmd
}

// IndexedLastMessages implements [ports.ActivityIndex] in one pipeline, with an HMGET for each partition and 1,000 chats. An invalid entry counts as
// missing.
func (l *Log) IndexedLastMessages(ctx context.Context, chats ...domain.ChatID) ([]ports.LastMessage, error) {
	found := make([]ports.LastMessage, len(chats))
	if err := ctx.Err(); err != nil || len(chats) == 0 {
		return found, err
	}
	of := make([][]int, l.keys.PartitionCount())
	for i, chat := range chats {
		p := l.keys.Partition(chat)
		of[p] = append(of[p], i)
	}
	var asked []askedChats
	_, _ = l.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
		for p, places := range of {
			for len(places) > 0 {
				n := min(len(places), askedTogether)
				fields := make([]string, n)
				for i, place := range places[:n] {
					fields[i] = string(chats[place])
				}
				asked = append(asked, askedChats{places[:n], pipe.HMGet(ctx, l.keys.Last(p), fields...)})
				places = places[n:]
			}
		}
		return nil
	})
	for _, a := range asked {
		values, err := a.reply.Result()
		if err != nil && rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
			continue
		}
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		for i, value := range values {
			if text, ok := value.(string); ok {
				found[a.places[i]] = parseLast(text)
			}
		}
	}
	return found, nil
}

// parseLast parses an entry of the index. It returns the zero LastMessage for an invalid entry.
func parseLast(text string) ports.LastMessage {
	text, behind := strings.CutSuffix(text, ":b")
	before, after, _ := strings.Cut(text, ":")
	seq, err := strconv.ParseUint(before, 10, 64)
	milli, err2 := strconv.ParseInt(after, 10, 64)
	if err != nil || err2 != nil {
		return ports.LastMessage{}
	}
	return ports.LastMessage{Seq: domain.Seq(seq), At: time.UnixMilli(milli).UTC(), Behind: behind}
}
