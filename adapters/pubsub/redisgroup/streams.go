package pubsub

import (
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// Streams holds the consumer groups of a log on Redis: it makes the subscribers of this process, and administers the groups of all processes.
type Streams struct {
	*Groups
	config StreamsConfig
	reader *Reader
}

// StreamsConfig configures [Streams]. All fields are required. Streams closes none of them.
type StreamsConfig struct {
	Commands   goredis.UniversalClient
	Blocking   goredis.UniversalClient // for reads that wait
	Partitions []Partition             // the stream of the last one is the topic of the groups
	Log        StreamedLog
	Codec      *wireformat.Codec
}

// StreamedLog is a log whose appends write its delivery streams.
type StreamedLog interface {
	LogGuard
	ports.Backlog
	ID() string
}

// NewStreams returns the groups of a log.
func NewStreams(c StreamsConfig) *Streams {
	return &Streams{Groups: NewGroups(c.Commands, c.Partitions, c.Log, c.Log), config: c, reader: NewReader(c.Blocking)}
}

// Topic returns the topic of the subscribers, which read all partitions.
func (s *Streams) Topic() string { return s.config.Partitions[len(s.config.Partitions)-1].Stream }

// Subscriber returns a subscriber of a consumer group. It sets the fields of c about the log and its streams. All subscribers share one reader.
func (s *Streams) Subscriber(c SubscriberConfig) (*Subscriber, error) {
	c.Client, c.Reader, c.Topic, c.Partitions = s.config.Blocking, s.reader, s.Topic(), s.config.Partitions
	c.LogID, c.Guard, c.Backlog, c.Codec = s.config.Log.ID(), s.config.Log, s.config.Log, s.config.Codec
	return NewSubscriber(c)
}

// Close ends the reads.
func (s *Streams) Close() error { return s.reader.Close() }
