package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"chatcore/internal/backoff"
)

// maxResponse bounds how much of a response is read, in bytes.
const maxResponse = 64 << 10

// client posts the messages of one signal to a collector. It may be used concurrently.
type client struct {
	settings
	http  *http.Client
	pause backoff.Policy // between attempts of an export
}

func newClient(config settings, agent string) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config.tls
	config.header.Set("Content-Type", "application/x-protobuf")
	config.header.Set("User-Agent", agent)
	if config.gzip {
		config.header.Set("Content-Encoding", "gzip")
	}
	return &client{
		settings: config,
		// A redirect would pass the headers, which have tokens, to another host.
		http:  &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		pause: backoff.Policy{First: time.Second, Max: 30 * time.Second, Jitter: true},
	}
}

// transientError is a failure after which the collector may accept the same request.
type transientError struct {
	err   error
	after time.Duration // the least pause that the collector asks for
}

func (e *transientError) Error() string { return e.err.Error() }
func (e *transientError) Unwrap() error { return e.err }

// post sends a message and repeats it after transient failures, until the timeout of an export has passed or ctx ends.
func (c *client) post(ctx context.Context, message proto.Message) error {
	body, err := c.encode(message)
	if err != nil {
		return err
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	var last error // of the attempt before
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, body)
		var transient *transientError
		switch {
		case ctx.Err() != nil && err != nil && last != nil:
			return errors.Join(last, ctx.Err())
		case !errors.As(err, &transient):
			return err
		}
		last = err
		pause := max(c.pause.Pause(attempt), transient.after)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
			return err
		}
		if err := backoff.Sleep(ctx, pause); err != nil {
			return errors.Join(last, err)
		}
	}
}

func (c *client) encode(message proto.Message) ([]byte, error) {
	plain, err := proto.Marshal(message)
	if err != nil || !c.gzip {
		return plain, err
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err = writer.Write(plain)
	err = errors.Join(err, writer.Close())
	return packed.Bytes(), err
}

// attempt sends one request. Its error is a *transientError if it may be repeated.
func (c *client) attempt(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = c.header.Clone()
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &transientError{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if response.StatusCode/100 == 2 {
		if err != nil {
			return nil // the collector has the message; only its remark on it was lost
		}
		return rejection(answer)
	}
	failure := fmt.Errorf("%s answered %s%s", request.URL.Redacted(), response.Status, reason(answer))
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &transientError{err: failure, after: retryAfter(response.Header.Get("Retry-After"))}
	}
	return failure
}

// retryAfter returns the pause of a Retry-After header: seconds or a date. It returns 0 for any other value.
func retryAfter(value string) time.Duration {
	const most = 1 << 31 // seconds; further away than any timeout
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, most)) * time.Second //nolint:gosec // at most 2^31 seconds
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}

func (c *client) close() { c.http.CloseIdleConnections() }
