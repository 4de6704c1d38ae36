package connect_test

import (
	"context"
	"net/http"
	"testing"

	rpc "connectrpc.com/connect"

	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	"chatcore/gen/chatcore/consumer/v1/consumerv1connect"
	"chatcore/tests/wait"
)

// consumerClient is a client of the ConsumerService.
type consumerClient struct {
	consumerv1connect.ConsumerServiceClient

	streams *rpc.Client[consumerv1.ConsumeRequest, consumerv1.ConsumeResponse]
}

// consumers returns a client over HTTP/2, whose connection is closed with the test.
func consumers(t testing.TB, base string) consumerClient {
	t.Helper()
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &only}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	streams := rpc.NewClient[consumerv1.ConsumeRequest, consumerv1.ConsumeResponse](client, base+consumerv1connect.ConsumerServiceConsumeProcedure)
	return consumerClient{consumerv1connect.NewConsumerServiceClient(client, base), streams}
}

// consuming is a stream of Consume as its client sees it. One goroutine uses it.
type consuming struct {
	t       testing.TB
	stream  *rpc.BidiStreamForClient[consumerv1.ConsumeRequest, consumerv1.ConsumeResponse]
	cut     context.CancelFunc // breaks the stream
	waiting []*consumerv1.Delivery
	results map[string][]consumerv1.SettleStatus // without those that were taken, by token
}

// consume opens a stream. It sends nothing.
func consume(t testing.TB, client consumerClient, token string) *consuming {
	t.Helper()
	ctx, cut := context.WithTimeout(t.Context(), wait.Limit)
	t.Cleanup(cut)
	c := &consuming{t: t, stream: client.streams.CallBidiStream(ctx), cut: cut, results: make(map[string][]consumerv1.SettleStatus)}
	if token != "" {
		c.stream.RequestHeader().Set("Authorization", "Bearer "+token)
	}
	return c
}

// started opens a stream of a group with a credit, and receives its first message.
func started(t testing.TB, client consumerClient, token string, start *consumerv1.ConsumeStart) *consuming {
	t.Helper()
	c := consume(t, client, token)
	c.start(start)
	if m, err := c.next(); err != nil || m.GetStarted() == nil {
		t.Fatalf("the stream begins with %v, %v", m, err)
	}
	return c
}

func (c *consuming) send(m *consumerv1.ConsumeRequest) { _ = c.stream.Send(m) } // its error is that of next

func (c *consuming) start(m *consumerv1.ConsumeStart) {
	c.send(&consumerv1.ConsumeRequest{Message: &consumerv1.ConsumeRequest_Start{Start: m}})
}

func (c *consuming) credit(n uint32) {
	c.send(&consumerv1.ConsumeRequest{Message: &consumerv1.ConsumeRequest_Credit{Credit: &consumerv1.Credit{Credit: n}}})
}

func (c *consuming) settle(all ...*consumerv1.Settlement) {
	c.send(&consumerv1.ConsumeRequest{Message: &consumerv1.ConsumeRequest_Settle{Settle: &consumerv1.Settlements{Settlements: all}}})
}

// next returns the next message. An error that the server has sent is a [*refusal].
func (c *consuming) next() (*consumerv1.ConsumeResponse, error) {
	m, err := c.stream.Receive()
	if err != nil {
		return nil, refusalOf(err)
	}
	c.waiting = append(c.waiting, m.GetDeliveries().GetDeliveries()...)
	for _, r := range m.GetSettled().GetResults() {
		c.results[r.GetToken()] = append(c.results[r.GetToken()], r.GetStatus())
	}
	return m, nil
}

// delivery returns the next delivery.
func (c *consuming) delivery() *consumerv1.Delivery {
	c.t.Helper()
	for len(c.waiting) == 0 {
		if _, err := c.next(); err != nil {
			c.t.Fatal(err)
		}
	}
	d := c.waiting[0]
	c.waiting = c.waiting[1:]
	return d
}

// status returns the answer to the next settlement of a token.
func (c *consuming) status(token string) consumerv1.SettleStatus {
	c.t.Helper()
	for len(c.results[token]) == 0 {
		if _, err := c.next(); err != nil {
			c.t.Fatal(err)
		}
	}
	s := c.results[token][0]
	c.results[token] = c.results[token][1:]
	return s
}

// ack settles a delivery, and checks that the outcome counts.
func (c *consuming) ack(d *consumerv1.Delivery) {
	c.t.Helper()
	c.settle(acked(d))
	if s := c.status(d.GetToken()); s != consumerv1.SettleStatus_SETTLE_STATUS_DONE {
		c.t.Fatalf("the ack of seq %d of %s is %v", d.GetEvent().GetSeq(), d.GetEvent().GetChatId(), s)
	}
}

// ends receives until the stream ends, and checks how.
func (c *consuming) ends(code rpc.Code, reason, field string) {
	c.t.Helper()
	for {
		_, err := c.next()
		if err == nil {
			continue
		}
		if r, _ := errorAs[*refusal](err); r == nil || r.code != code || r.detail.GetReason() != reason || r.detail.GetField() != field {
			c.t.Errorf("the stream ends with %v, want %v: %s, field %q", err, code, reason, field)
		}
		return
	}
}

func acked(d *consumerv1.Delivery) *consumerv1.Settlement {
	return &consumerv1.Settlement{Token: d.GetToken(), Outcome: &consumerv1.Settlement_Ack{Ack: &consumerv1.Ack{}}}
}

func retried(d *consumerv1.Delivery) *consumerv1.Settlement {
	return &consumerv1.Settlement{Token: d.GetToken(), Outcome: &consumerv1.Settlement_Retry{Retry: &consumerv1.Retry{Reason: "no"}}}
}
