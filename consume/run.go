package consume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/domain"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	consumerconnect "chatcore/gen/chatcore/consumer/v1/consumerv1connect"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/internal/backoff"
)

// Config configures [Run].
type Config struct {
	// URLs are the base URLs of the instances, such as https://chat.example.com. A consumer connects to one of them, and to the next one when the connection
	// ends. Required.
	URLs []string
	// Token is the token of a service with the scope consume:GROUP. Defaults to none, for an instance in local mode.
	Token string
	// Group is the name of the pull group. Required.
	Group string
	// Credit is the most deliveries that are handled at a time, 1 to 4,096. Defaults to 64.
	Credit int
	// Lease is the lease of a delivery, 1 second to 1 hour: after a crash its event is delivered again when the lease has ended. It is extended while the
	// handler runs. Defaults to 30 seconds.
	Lease time.Duration
	// Drain is how long handlers may run on once the context of Run has ended. Defaults to 20 seconds.
	Drain time.Duration
	// Name is the name of the consumer in logs of the instances, at most 128 bytes. Defaults to none.
	Name string
	// HTTPClient makes the requests. It needs HTTP/2. Defaults to one that speaks HTTP/2 over TLS, and without it for http URLs.
	HTTPClient rpc.HTTPClient
	// Stale is called for each delivery whose outcome did not count, because its lease had ended or another instance had taken the partition over: its event
	// is delivered again. Defaults to none.
	Stale func(d Delivery)
	// Logger receives lost connections. Defaults to slog.Default().
	Logger *slog.Logger
}

// Delivery is an event that is leased to the handler.
type Delivery struct {
	Event       *v1.Event // its id is the same in each delivery. It must not be changed
	LogID       string    // another one means another log, with other seqs
	Ordinal     uint32    // number of the chat's last message as of this event
	Attempt     int       // from 1, over all consumers
	Redelivered bool      // a consumer may have had the event before
	Epoch       uint64    // grows with every owner of the chat's partition: an effect with a lower one than another has come late
	AppendedAt  time.Time

	token string
}

// Handler handles a delivery. ctx ends when the outcome cannot count any more, because the connection or the lease is lost, and at the end of the drain; the
// handler then returns soon: Run waits for it. A panic is a failed attempt.
type Handler func(ctx context.Context, d Delivery) error

// Run handles the events of a group until ctx ends. It then takes no more deliveries, waits for running handlers, settles their outcomes, and returns nil.
// Lost connections are replaced, without limit. Run returns an error that another attempt does not change: the configuration is wrong, the credential is
// refused, or there is no such pull group.
func Run(ctx context.Context, c Config, handle Handler) error {
	if err := c.validate(handle == nil); err != nil {
		return err
	}
	c = c.withDefaults()
	pauses := backoff.Policy{First: 50 * time.Millisecond, Max: 5 * time.Second, Jitter: true}
	for failed, turn := 0, 0; ; turn++ {
		if ctx.Err() != nil {
			return nil
		}
		s := newSession(c, handle)
		err := s.run(ctx, c.URLs[turn%len(c.URLs)])
		switch {
		case ctx.Err() != nil:
			return nil
		case isFinal(err):
			return fmt.Errorf("consume group %q: %w", c.Group, err)
		case s.worked():
			failed = 0
		}
		failed++
		pause := pauses.Pause(max(1, failed-len(c.URLs)+1))
		c.Logger.WarnContext(ctx, "consumer disconnected, connecting again", "group", c.Group, "wait", pause, "error", err)
		_ = backoff.Sleep(ctx, pause) // the loop sees its end
	}
}

// validate returns a [*domain.InvalidError] for the first wrong field.
func (c Config) validate(noHandler bool) error {
	wrong := func(field, problem, allowed string) error {
		return &domain.InvalidError{Field: field, Problem: problem, Allowed: allowed}
	}
	switch {
	case noHandler:
		return wrong("handle", "is nil", "a function")
	case len(c.URLs) == 0:
		return wrong("URLs", "are missing", "one or more base URLs")
	case c.Group == "":
		return wrong("Group", "is empty", "the name of a pull group")
	case c.Credit < 0 || c.Credit > 4096:
		return wrong("Credit", fmt.Sprintf("is %d", c.Credit), "1 to 4096, or 0 for 64")
	case c.Lease != 0 && (c.Lease < time.Second || c.Lease > time.Hour):
		return wrong("Lease", fmt.Sprintf("is %v", c.Lease), "1s to 1h, or 0 for 30s")
	case c.Drain < 0:
		return wrong("Drain", fmt.Sprintf("is %v", c.Drain), "a positive duration, or 0 for 20s")
	}
	for _, url := range c.URLs {
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			return wrong("URLs", fmt.Sprintf("have %q", url), "URLs that begin with http:// or https://")
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Credit = cmp.Or(c.Credit, 64)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.Drain = cmp.Or(c.Drain, 20*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.HTTPClient == nil {
		var protocols http.Protocols
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
		c.HTTPClient = &http.Client{Transport: &http.Transport{Protocols: &protocols, HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}}}
	}
	return c
}

// isFinal reports whether another connection would end with the same error.
func isFinal(err error) bool {
	code := rpc.CodeOf(err)
	if code == rpc.CodeFailedPrecondition {
		return reasonOf(err) != "group_paused" // which may be resumed
	}
	_, coded := errors.AsType[*rpc.Error](err)
	return coded && slices.Contains([]rpc.Code{rpc.CodeInvalidArgument, rpc.CodeUnauthenticated, rpc.CodePermissionDenied, rpc.CodeUnimplemented, rpc.CodeNotFound}, code)
}

// reasonOf returns the reason of an error's detail, or "".
func reasonOf(err error) string {
	coded, ok := errors.AsType[*rpc.Error](err)
	if !ok {
		return ""
	}
	for _, d := range coded.Details() {
		value, err := d.Value()
		if detail, ok := value.(*v1.ErrorDetail); err == nil && ok {
			return detail.GetReason()
		}
	}
	return ""
}

type stream = rpc.BidiStreamForClient[consumerv1.ConsumeRequest, consumerv1.ConsumeResponse]

// open opens a stream.
func (c *Config) open(ctx context.Context, url string) *stream {
	client := rpc.NewClient[consumerv1.ConsumeRequest, consumerv1.ConsumeResponse](c.HTTPClient, strings.TrimSuffix(url, "/")+consumerconnect.ConsumerServiceConsumeProcedure)
	opened := client.CallBidiStream(ctx)
	if c.Token != "" {
		opened.RequestHeader().Set("Authorization", "Bearer "+c.Token)
	}
	return opened
}
