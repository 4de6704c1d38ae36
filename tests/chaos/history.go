package chaos

import (
	"context"
	_ "embed" // the scripts
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
)

// Place is an event in its chat.
type Place struct {
	Chat  domain.ChatID
	Seq   domain.Seq
	Event domain.EventID
}

func (p Place) String() string { return fmt.Sprintf("%s #%d %s", p.Chat, p.Seq, p.Event) }

// Delivery is a delivery to a worker.
type Delivery struct {
	Place
	Group       string // consumer group
	Content     string // digest of the event
	Log         string
	Attempt     int
	Redelivered bool
	Epoch       uint64
	Worker      string
	Entered     time.Time // when the handler was called, by the worker's clock, in whole microseconds
}

// Outcome is the kind of a record.
type Outcome string

// Records of a handler: its start, and the outcome of its effect.
const (
	Started Outcome = "started"
	Made    Outcome = "made"
	Already Outcome = "already" // the event has had its effect
	Fenced  Outcome = "fenced"  // a later owner of the chat has had an effect
)

// Marks are records of an operator's actions on all workers or on a group. They concern no chat.
const (
	Restored Outcome = "restored" // older data was restored while no worker ran; epochs may begin anew
	Resumed  Outcome = "resumed"  // no worker ran, and a group may have lost its state; epochs may begin anew
	Rebuilt  Outcome = "rebuilt"  // a group is about to begin again with the first event of every chat
)

// ofChat reports whether an outcome is one of a handler.
func (o Outcome) ofChat() bool { return o != Restored && o != Resumed && o != Rebuilt }

// Record is one thing that a worker did. The order of records is that in which they happened.
type Record struct {
	Outcome Outcome
	At      time.Time // by the clock of the history's server
	Delivery
}

func (r Record) String() string {
	again := ""
	if r.Redelivered {
		again = ", redelivered"
	}
	return fmt.Sprintf("%s %-7s %s %s (%s, epoch %d, attempt %d%s)", r.At.Format("15:04:05.000"), r.Outcome, r.Group, r.Place, r.Worker, r.Epoch, r.Attempt, again)
}

// History stores the records of workers, on the one Redis server without faults.
type History struct {
	client              *goredis.Client
	start, effect, mark *goredis.Script
}

var (
	//go:embed start.lua
	startSource string
	//go:embed effect.lua
	effectSource string
	//go:embed mark.lua
	markSource string
)

const (
	recordsKey    = "records"
	startsKey     = "starts"
	identitiesKey = "identities"
	epochsKey     = "epochs"
	pardonsKey    = "pardons"
)

// OpenHistory opens the history on a server.
func OpenHistory(url string) (*History, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return &History{client: goredis.NewClient(options), start: goredis.NewScript(startSource), effect: goredis.NewScript(effectSource), mark: goredis.NewScript(markSource)}, nil
}

// Close closes the connections.
func (h *History) Close() error { return h.client.Close() }

// Start records that a handler was started. The time at which it was entered distinguishes starts of one delivery: go-redis repeats a call whose reply was
// lost, and the second one records nothing.
func (h *History) Start(ctx context.Context, d Delivery) error {
	return h.start.Run(ctx, h.client, []string{recordsKey, startsKey}, d.encode()).Err()
}

// Effect has the effect of a delivery, unless there has been one or it comes too late, and says which.
func (h *History) Effect(ctx context.Context, d Delivery) (Outcome, error) {
	identity := strings.Join([]string{d.Group, d.Log, string(d.Chat), strconv.FormatUint(uint64(d.Seq), 10), string(d.Event)}, "\t")
	outcome, err := h.effect.Run(ctx, h.client, []string{recordsKey, identitiesKey, epochsKey}, d.encode(), identity, d.Group+"\t"+string(d.Chat), d.Epoch).Text()
	return Outcome(outcome), err
}

// Mark records an operator's action. After [Restored] and [Resumed] effects are taken under any epoch.
func (h *History) Mark(ctx context.Context, o Outcome, group string) error {
	anew := 0
	if o != Rebuilt {
		anew = 1
	}
	return h.mark.Run(ctx, h.client, []string{recordsKey, epochsKey}, string(o), Delivery{Group: group}.encode(), anew).Err()
}

// Pardon has the handler of a poisoned event succeed from now on.
func (h *History) Pardon(ctx context.Context, group string, chat domain.ChatID, seq domain.Seq) error {
	return h.client.SAdd(ctx, pardonsKey, pardon(group, chat, seq)).Err()
}

// Pardoned reports whether it does.
func (h *History) Pardoned(ctx context.Context, group string, chat domain.ChatID, seq domain.Seq) (bool, error) {
	return h.client.SIsMember(ctx, pardonsKey, pardon(group, chat, seq)).Result()
}

func pardon(group string, chat domain.ChatID, seq domain.Seq) string {
	return strings.Join([]string{group, string(chat), strconv.FormatUint(uint64(seq), 10)}, "\t")
}

// Records gives the records from a place on, from 0.
func (h *History) Records(ctx context.Context, from int) ([]Record, error) {
	lines, err := h.client.LRange(ctx, recordsKey, int64(from), -1).Result()
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(lines))
	for i, line := range lines {
		if records[i], err = decodeRecord(line); err != nil {
			return nil, fmt.Errorf("record %d: %w", from+i, err)
		}
	}
	return records, nil
}

// encode gives one line; no field holds a tab.
func (d Delivery) encode() string {
	return fmt.Sprintf("%s\t%d\t%s\t%s\t%d\t%t\t%d\t%s\t%d\t%s\t%s",
		d.Chat, d.Seq, d.Event, d.Log, d.Attempt, d.Redelivered, d.Epoch, d.Worker, d.Entered.UnixMicro(), d.Group, d.Content)
}

func decodeRecord(line string) (Record, error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 13 {
		return Record{}, fmt.Errorf("%q has %d fields", line, len(fields))
	}
	var failed error
	number := func(field string) uint64 {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			failed = fmt.Errorf("%q: %w", line, err)
		}
		return uint64(n) //nolint:gosec // times before 1970 are those of marks
	}
	r := Record{
		Outcome: Outcome(fields[0]),
		At:      time.UnixMicro(int64(number(fields[1]))), //nolint:gosec // a time
		Delivery: Delivery{
			Place:   Place{Chat: domain.ChatID(fields[2]), Seq: domain.Seq(number(fields[3])), Event: domain.EventID(fields[4])},
			Log:     fields[5],
			Attempt: int(number(fields[6])), Redelivered: fields[7] == "true", Epoch: number(fields[8]), Worker: fields[9], //nolint:gosec // small
			Entered: time.UnixMicro(int64(number(fields[10]))), //nolint:gosec // a time
			Group:   fields[11], Content: fields[12],
		},
	}
	return r, failed
}
