package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Bounds of answers.
const (
	maxAnswer       = 64 << 10 // bytes of a body that are read
	keptAnswer      = 1 << 10  // bytes of it that attempts keep
	maxAnswerHeader = 64 << 10
)

// target is where the requests of a webhook go, and how they are signed. It does not change.
type target struct {
	url     *url.URL
	timeout time.Duration
	secrets []liveSecret
}

// message is the content of one request.
type message struct {
	group   string
	id      string // of the event
	typ     string
	chat    domain.ChatID // "" for an event that is in no chat
	seq     domain.Seq    // 0 for an event that is in no log
	log     string
	attempt int
	epoch   uint64
	trace   string // traceparent of the event; "" if there is none
	body    []byte
}

// messageOf returns the request for a delivery.
func messageOf(codec *wireformat.Codec, group string, d ports.Delivery) (message, error) {
	m := message{
		group: group, id: string(d.ID.Event), typ: wireformat.Type(d.Event), chat: d.ID.Chat, seq: d.ID.Seq, log: d.ID.Log,
		attempt: d.Attempt, epoch: d.Epoch, trace: d.Meta.TraceParent,
	}
	event, err := codec.Encode(d.ID.Event, d.Event, d.Meta)
	if err != nil {
		return m, err
	}
	m.body = envelope(m.typ, d.Event.OccurredAt(), event.Splice(d.ID.Seq, d.Ordinal))
	return m, nil
}

// envelope returns the body of a request. Types have no characters that JSON escapes.
func envelope(typ string, at time.Time, data []byte) []byte {
	b := make([]byte, 0, len(data)+len(typ)+80)
	b = append(b, `{"type":"`...)
	b = append(b, typ...)
	b = append(b, `","timestamp":"`...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","data":`...)
	b = append(b, data...)
	return append(b, '}')
}

// Names of the headers, in the form in which HTTP/1.1 requests have them.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
	headerChat      = "Chatcore-Chat"
	headerSeq       = "Chatcore-Seq"
	headerLog       = "Chatcore-Log"
	headerAttempt   = "Chatcore-Attempt"
	headerEpoch     = "Chatcore-Epoch"
	headerTrace     = "Traceparent"
)

// UserAgent is the header user-agent of requests.
const UserAgent = "chatcore-webhook/1"

// request returns the HTTP request of a message.
func (t *target) request(ctx context.Context, m message, now time.Time) *http.Request {
	id, timestamp := headerText(m.id), strconv.FormatInt(now.Unix(), 10)
	h := http.Header{
		"Content-Type":  {"application/json"},
		"User-Agent":    {UserAgent},
		headerID:        {id},
		headerTimestamp: {timestamp},
		headerSignature: {signature(live(t.secrets, now), id, timestamp, m.body)},
		headerAttempt:   {strconv.Itoa(m.attempt)},
		headerEpoch:     {strconv.FormatUint(m.epoch, 10)},
		// Not sent: it lets the transport repeat a request at once that an idle connection lost, because the server closed it meanwhile.
		"Idempotency-Key": {},
	}
	if m.chat != "" {
		h[headerChat] = []string{headerText(string(m.chat))}
	}
	if m.seq > 0 {
		h[headerSeq], h[headerLog] = []string{strconv.FormatUint(uint64(m.seq), 10)}, []string{headerText(m.log)}
	}
	if m.trace != "" {
		h[headerTrace] = []string{headerText(m.trace)}
	}
	r := &http.Request{
		Method: http.MethodPost, URL: t.url, Host: t.url.Host, Header: h, ContentLength: int64(len(m.body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body:    io.NopCloser(bytes.NewReader(m.body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.body)), nil },
	}
	return r.WithContext(ctx)
}

// headerText returns a text as a header carries it: characters that are not printable ASCII, and %, are percent-encoded.
func headerText(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '%' {
			return url.PathEscape(s)
		}
	}
	return s
}

// post sends a message once. It returns when the answer was read, the timeout passed, or ctx ended.
func (t *target) post(ctx context.Context, transport http.RoundTripper, m message) answer {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	now := time.Now()
	response, err := transport.RoundTrip(t.request(traced, m, now))
	if err != nil {
		return noAnswer(ctx, err, connected.Load(), t.timeout)
	}
	defer func() { _ = response.Body.Close() }()
	a := answerOf(response.StatusCode, response.Header, time.Now())
	a.body = readStart(response.Body) // of a body that breaks off, the status counts
	return a
}

// readStart reads a body, so that its connection can be used again, up to maxAnswer. It returns the first keptAnswer bytes.
func readStart(body io.Reader) string {
	start, err := io.ReadAll(io.LimitReader(body, keptAnswer))
	if err == nil && len(start) == keptAnswer {
		_, _ = io.CopyN(io.Discard, body, maxAnswer-keptAnswer)
	}
	return strings.ToValidUTF8(string(start), "\uFFFD")
}

// newTransport returns the connections of one endpoint: HTTP/1.1, at most concurrency idle ones, no proxy, and only to addresses that the guard allows. Redirects
// are the business of clients, and a transport follows none.
func newTransport(g *Guard, concurrency int, config *tls.Config) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            g.dial,
		TLSClientConfig:        config.Clone(),
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConnsPerHost:    max(concurrency, 1),
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
		DisableCompression:     true,
		Protocols:              &protocols,
		WriteBufferSize:        4 << 10,
		ReadBufferSize:         4 << 10,
	}
}
