package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Result is the class of what came of a request, for metrics and for the breaker.
type Result string

// The results.
const (
	Succeeded   Result = "ok"          // 2xx
	Rejected    Result = "rejected"    // 3xx or 4xx that no retry changes: the event becomes a dead letter
	Gone        Result = "gone"        // 410: the webhook is paused
	Limited     Result = "limited"     // 429
	Failed      Result = "failed"      // 408, 425 or 5xx
	TimedOut    Result = "timeout"     // no whole answer in time
	Broken      Result = "broken"      // the connection broke after the request was written
	Unreachable Result = "unreachable" // no connection: name, dial or TLS
	Refused     Result = "refused"     // the guard refused the address
)

// Results returns all results.
func Results() []Result {
	return []Result{Succeeded, Rejected, Gone, Limited, Failed, TimedOut, Broken, Unreachable, Refused}
}

// verdict returns what a result says about the endpoint.
func (r Result) verdict() verdict {
	switch r {
	case Limited, Failed, TimedOut, Broken:
		return failed
	case Unreachable, Refused:
		return unreachable
	case Succeeded, Rejected, Gone:
	}
	return answered
}

// answer is what came of a request.
type answer struct {
	status     int           // 0: none came
	retryAfter time.Duration // that it asks for; 0: nothing
	body       string        // its start
	result     Result
	err        error // nil if the endpoint took the event
}

// answerOf classifies an answer of the endpoint. now is the time for dates of Retry-After.
func answerOf(status int, header http.Header, now time.Time) answer {
	a := answer{status: status, result: resultOf(status)}
	if a.result == Succeeded {
		return a
	}
	a.err = &StatusError{Status: status}
	switch a.result {
	case Failed, Limited:
		a.retryAfter = retryAfter(header.Get("Retry-After"), now)
	default:
	}
	return a
}

func resultOf(status int) Result {
	switch {
	case status >= 200 && status < 300:
		return Succeeded
	case status == http.StatusGone:
		return Gone
	case status == http.StatusTooManyRequests:
		return Limited
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return Failed
	}
	return Rejected
}

// StatusError is returned for an answer that is not 2xx.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	text := strings.ToLower(http.StatusText(e.Status))
	if text == "" {
		text = "unknown status"
	}
	if e.Status >= 300 && e.Status < 400 {
		text += "; redirects are not followed"
	}
	return fmt.Sprintf("the endpoint answered %d %s", e.Status, text)
}

// retryAfter returns the time that a header asks for, in seconds or as a date. It returns 0 for a header that says nothing, and at most longestAsked.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longestAsked/time.Second))) * time.Second //nolint:gosec // bounded
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), longestAsked))
}

// noAnswer classifies the error of a request without an answer. written says whether the request had a connection.
func noAnswer(ctx context.Context, err error, written bool, timeout time.Duration) answer {
	a := answer{err: errors.New(plainCause(err)), result: Unreachable}
	switch {
	case errors.Is(err, ErrAddressRefused):
		a.result, a.err = Refused, fmt.Errorf("no connection: %w", ErrAddressRefused)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		a.err = fmt.Errorf("no connection within %v", timeout)
		if written {
			a.result, a.err = TimedOut, fmt.Errorf("no answer within %v", timeout)
		}
	case written:
		a.result, a.err = Broken, fmt.Errorf("the connection broke before an answer: %s", plainCause(err))
	default:
		a.err = fmt.Errorf("no connection: %s", plainCause(err))
	}
	return a
}

// plainCause returns the text of an error without addresses of this process, and without ports that differ with each attempt.
func plainCause(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name " + strconv.Quote(dns.Name) + " does not resolve"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return alert.Error()
	}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		if host, ok := errors.AsType[x509.HostnameError](cert); ok {
			return "the certificate is not for " + strconv.Quote(host.Host)
		}
		return cert.Error()
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
