package connect_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"chatcore/adapters/subscribers/pull"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
)

// pulled returns a pull group that has an event, and of which the process is a member.
func (w *world) pulled(t *testing.T) (group, message string) {
	t.Helper()
	group = w.defined(t)
	c, err := w.core.Consumers().Consume(t.Context(), pull.Request{Group: group, Credit: 1, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	message = w.message(t, w.chat(t))
	<-c.Ready()
	return group, message
}

func consumerRows() map[string]row {
	const service = "chatcore.consumer.v1.ConsumerService."
	return map[string]row{
		service + "Fetch": {prepare: func(t *testing.T, w *world) prepared {
			group, message := w.pulled(t)
			return expect(&consumerv1.FetchRequest{Group: group}, func(t *testing.T, res *consumerv1.FetchResponse) {
				if res.GetLogId() != w.core.LogID() || len(res.GetDeliveries()) == 0 {
					t.Fatalf("the response is %v", res)
				}
				for _, d := range res.GetDeliveries() {
					e := d.GetEvent()
					if d.GetToken() == "" || d.GetAttempt() != 1 || d.GetEpoch() == 0 || d.GetLeaseUntil().AsTime().Before(time.Now()) || d.GetAppendedAt() == nil || e.GetSeq() == 0 || e.GetId() == "" {
						t.Errorf("a delivery of %s is %v", message, d)
					}
				}
			})
		}},
		service + "Settle": {prepare: func(t *testing.T, w *world) prepared {
			group, _ := w.pulled(t)
			taken, err := w.core.Consumers().Fetch(t.Context(), pull.Request{Group: group, Credit: 1, Lease: time.Minute}, 2*time.Minute)
			if err != nil || len(taken) != 1 {
				t.Fatal(taken, err)
			}
			ack := &consumerv1.Settlement{Token: taken[0].Token, Outcome: &consumerv1.Settlement_Ack{Ack: &consumerv1.Ack{}}}
			retry := &consumerv1.Settlement{Token: taken[0].Token, Outcome: &consumerv1.Settlement_Retry{Retry: &consumerv1.Retry{}}}
			return expect(&consumerv1.SettleRequest{Group: group, Settlements: []*consumerv1.Settlement{ack, retry, ack}}, func(t *testing.T, res *consumerv1.SettleResponse) {
				done, stale := consumerv1.SettleStatus_SETTLE_STATUS_DONE, consumerv1.SettleStatus_SETTLE_STATUS_STALE
				want := &consumerv1.SettleResponse{}
				for _, status := range []consumerv1.SettleStatus{done, stale, done} {
					want.Results = append(want.Results, &consumerv1.SettleResult{Token: taken[0].Token, Status: status})
				}
				if !proto.Equal(res, want) {
					t.Errorf("the response is %v, want %v", res, want)
				}
			})
		}},
		service + "Consume": {prepare: func(t *testing.T, w *world) prepared {
			group, _ := w.pulled(t)
			start := &consumerv1.ConsumeRequest_Start{Start: &consumerv1.ConsumeStart{Group: group}}
			return prepared{&consumerv1.ConsumeRequest{Message: start}, func(t *testing.T, responses []proto.Message) {
				if len(responses) == 0 {
					t.Fatal("there is no response")
				}
				first, _ := responses[0].(*consumerv1.ConsumeResponse)
				if started := first.GetStarted(); started.GetLogId() != w.core.LogID() || started.GetLease().AsDuration() != pull.DefaultLease {
					t.Errorf("the first response is %v", first)
				}
			}}
		}},
	}
}
