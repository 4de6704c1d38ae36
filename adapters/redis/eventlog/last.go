package eventlog

import (
	"context"
	"errors"
	"strconv"
	"time"

	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	lastTogether = 128 // chats that one script call reads
	lastAtOnce   = 512 // chats of all calls of a pipeline: about 4 ms of Redis
)

// LastMessages implements [ports.Lister] in one round trip for each 512 chats, and more if many events followed the last messages.
func (l *Log) LastMessages(ctx context.Context, chats ...domain.ChatID) ([]ports.LastMessage, error) {
	found := make([]ports.LastMessage, len(chats))
	return found, l.lastOf(ctx, "", chats, func(i int, seq domain.Seq, timestamp string) error {
		at, err := parseTime(timestamp)
		if err != nil {
			return &ports.CorruptError{Chat: chats[i], Seq: seq, Cause: err}
		}
		found[i] = ports.LastMessage{Seq: seq, At: at}
		return nil
	})
}

// parseTime parses a time in a reply of last.lua: a timestamp, or milliseconds since 1970.
func parseTime(text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC(), nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

// LastRecords implements [ports.BulkReader] with the cost of LastMessages.
func (l *Log) LastRecords(ctx context.Context, chats ...domain.ChatID) ([]ports.Record, error) {
	found := make([]ports.Record, len(chats))
	return found, l.lastOf(ctx, "1", chats, func(i int, seq domain.Seq, entry string) error {
		record, err := l.decode(chats[i], seq, entry)
		if err == nil && record.Ordinal > 0 { // otherwise the event created a chat without messages
			found[i] = record
		}
		return err
	})
}

// lastOf calls fn with the reply of last.lua for each chat that exists. form is an argument of that script.
func (l *Log) lastOf(ctx context.Context, form string, chats []domain.ChatID, fn func(place int, seq domain.Seq, text string) error) error {
	left := make([][]int, l.keys.PartitionCount()) // places of chats, by partition
	for i, chat := range chats {
		p := l.keys.Partition(chat)
		left[p] = append(left[p], i)
	}
	for {
		calls, places := l.lastCalls(left, form, chats)
		if len(calls) == 0 {
			return nil
		}
		for i, answer := range l.askEach(ctx, calls) {
			if answer.err != nil {
				return answer.err
			}
			n := len(answer.reply) / 2
			for k, place := range places[i][:n] {
				text, _ := answer.reply[2*k+1].(string)
				switch seq, _ := answer.reply[2*k].(int64); {
				case seq == statusMissing:
					return &ports.CorruptError{Chat: chats[place], Cause: errors.New(text)}
				case seq > 0:
					if err := fn(place, seqOf(seq), text); err != nil {
						return err
					}
				}
			}
			left[calls[i].partition] = left[calls[i].partition][n:]
		}
	}
}

// lastCalls returns the next script calls for the remaining chats, at most one for each partition, and the places of their chats.
func (l *Log) lastCalls(left [][]int, form string, chats []domain.ChatID) (calls []question, places [][]int) {
	open := 0
	for _, of := range left {
		open += min(len(of), 1)
	}
	most := min(max(lastAtOnce/max(open, 1), 1), lastTogether)
	for p, of := range left {
		of = of[:min(len(of), most)]
		if len(of) == 0 {
			continue
		}
		args := append(make([]any, 0, 2+len(of)), nil, form)
		for _, i := range of {
			args = append(args, keyspace.Escape(string(chats[i])))
		}
		calls, places = append(calls, question{script: l.scripts.last, partition: p, args: args}), append(places, of)
	}
	return calls, places
}
