package eventlog

import (
	"context"
	"errors"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// questionsAtOnce is the number of script calls in one pipeline, about 1.5 ms of Redis: those of 64 chats, and one for each of 16 partitions.
const questionsAtOnce = 80

// question is a call of a script that reads one partition. Its first argument is left for the partition's identity.
type question struct {
	script    *goredis.Script
	partition int
	more      []string // keys after the partition's id key
	args      []any
}

// answer is the reply to a question, or an error.
type answer struct {
	reply []any
	err   error
}

// askEach asks questions in pipelines of 80, concurrently on different servers. It returns the answers in the order of the questions.
func (l *Log) askEach(ctx context.Context, questions []question) []answer {
	answers := make([]answer, len(questions))
	of := make(map[*goredis.Client][]int) // places of questions, by server
	for i, q := range questions {
		node, err := l.node(ctx, q.partition)
		if err != nil { // the separate call reports the error
			node = nil
		}
		of[node] = append(of[node], i)
	}
	var asking sync.WaitGroup
	for node, places := range of {
		asking.Go(func() {
			for len(places) > 0 {
				n := min(len(places), questionsAtOnce)
				l.askTogether(ctx, node, questions, places[:n], answers)
				places = places[n:]
			}
		})
	}
	asking.Wait()
	return answers
}

// askTogether asks the questions at some places in one pipeline. It asks each question without an answer of the right partition again in a separate
// call, which follows a partition that has moved.
func (l *Log) askTogether(ctx context.Context, node *goredis.Client, questions []question, places []int, answers []answer) {
	open := places
	if node != nil && len(places) > 1 {
		open = l.askPipeline(ctx, node, questions, places, answers)
		if len(open) == len(places) && rediscmd.UnknownScript(answers[open[0]].err) { // the first call by itself makes the script known
			if !l.askSingly(ctx, questions, open, answers, 1) {
				return
			}
			open = l.askPipeline(ctx, node, questions, open[1:], answers)
		}
	}
	l.askSingly(ctx, questions, open, answers, len(open))
}

// askSingly asks the first n of the questions at some places one after another. It reports whether the server answered; if not, all others get the same
// error unasked, because each question would wait as long.
func (l *Log) askSingly(ctx context.Context, questions []question, places []int, answers []answer, n int) bool {
	for k, i := range places[:n] {
		q := questions[i]
		answers[i].reply, answers[i].err = l.guarded(ctx, q.partition, func(held *field) ([]any, error) {
			q.args[0] = held
			return l.run(ctx, q.script, q.partition, q.more, q.args...).Slice()
		})
		if err := answers[i].err; err != nil && !rediscmd.Answered(err) {
			for _, i := range places[k:] {
				answers[i] = answer{err: err}
			}
			return false
		}
	}
	return true
}

// askPipeline makes one round trip. It returns the places of the questions without an answer, and sets their errors.
func (l *Log) askPipeline(
	ctx context.Context, node *goredis.Client, questions []question, places []int, answers []answer,
) (open []int) {
	replies := make([]*goredis.Cmd, len(places))
	_, _ = node.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
		for k, i := range places {
			q := questions[i]
			q.args[0] = l.held[q.partition].Load()
			replies[k] = q.script.EvalSha(ctx, pipe, append([]string{l.keys.ID(q.partition)}, q.more...), q.args...)
		}
		return nil
	})
	for k, i := range places {
		reply, err := replies[k].Slice()
		if answers[i] = (answer{reply, err}); err != nil || foreign(reply) {
			open = append(open, i)
		}
	}
	return open
}

// foreign reports whether the partition of a reply has another identity than the given one.
func foreign(reply []any) bool {
	if len(reply) == 0 {
		return false
	}
	status, is := reply[0].(int64)
	return is && status < 0 && status != statusMissing
}

// ask runs a script that reads one chat. It sets the first argument.
func (l *Log) ask(ctx context.Context, script *goredis.Script, chat domain.ChatID, args []any) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := l.keys.Partition(chat)
	reply, err := l.guarded(ctx, p, func(held *field) ([]any, error) {
		args[0] = held
		return l.run(ctx, script, p, nil, args...).Slice()
	})
	return replyOf(chat, reply, err)
}

// replyOf returns a script's reply about a chat, or the error that the reply reports.
func replyOf(chat domain.ChatID, reply []any, err error) ([]any, error) {
	var refused goredis.Error
	if errors.As(err, &refused) && rediscmd.HasCode(refused, "WRONGTYPE") {
		return nil, &ports.CorruptError{Chat: chat, Cause: refused}
	}
	if err != nil {
		return nil, err
	}
	return reply, missingIn(chat, reply)
}
