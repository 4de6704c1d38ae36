package connect

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/subscribers/pull"
	"chatcore/domain"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	consumerconnect "chatcore/gen/chatcore/consumer/v1/consumerv1connect"
)

// consumerService implements chatcore.consumer.v1.ConsumerService.
type consumerService struct{ *calls }

// handler returns the handler of the service. It is that of the generated code, but for the messages of Consume, which are never compressed one by one.
func (s *consumerService) handler(options ...rpc.HandlerOption) (string, http.Handler) {
	prefix, unary := consumerconnect.NewConsumerServiceHandler(s, options...)
	consume := rpc.NewBidiStreamHandler(
		consumerconnect.ConsumerServiceConsumeProcedure, s.Consume,
		rpc.WithSchema(consumerv1.File_chatcore_consumer_v1_consumer_proto.Services().ByName("ConsumerService").Methods().ByName("Consume")),
		rpc.WithHandlerOptions(options...), rpc.WithCompressMinBytes(math.MaxInt),
	)
	return prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == consumerconnect.ConsumerServiceConsumeProcedure {
			consume.ServeHTTP(w, r)
			return
		}
		unary.ServeHTTP(w, r)
	})
}

// mayConsume returns nil if the caller may consume a group.
func mayConsume(ctx context.Context, group string) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	return rule{who: servicesOnly, scope: auth.ScopeConsume(group)}.check(auth.From(ctx))
}

// fetchReserve is how much earlier than its deadline a Fetch returns.
const fetchReserve = 500 * time.Millisecond

// defaultFetchWait is how long a Fetch waits that names no time: the process may have to join the group first.
const defaultFetchWait = 2 * time.Second

func (s *consumerService) Fetch(ctx context.Context, req *consumerv1.FetchRequest) (*consumerv1.FetchResponse, error) {
	if err := mayConsume(ctx, req.GetGroup()); err != nil {
		return nil, err
	}
	most, err := creditOf("max_deliveries", req.GetMaxDeliveries(), pull.MaxFetched)
	if err != nil {
		return nil, err
	}
	lease, err := leaseOf("lease", req.GetLease(), pull.DefaultLease)
	if err != nil {
		return nil, err
	}
	wait, err := durationWithin("wait", req.GetWait(), defaultFetchWait, 0, pull.MaxFetchWait)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(0, min(wait, time.Until(deadline)-fetchReserve))
	}
	taken, err := s.core.Consumers().Fetch(ctx, pull.Request{Group: req.GetGroup(), Credit: most, Lease: lease}, wait)
	if err != nil {
		return nil, err
	}
	var out output
	return answer(&out, &consumerv1.FetchResponse{Deliveries: each(taken, out.delivery), LogId: s.core.LogID()})
}

func (s *consumerService) Settle(ctx context.Context, req *consumerv1.SettleRequest) (*consumerv1.SettleResponse, error) {
	if err := mayConsume(ctx, req.GetGroup()); err != nil {
		return nil, err
	}
	settlements, err := settlementsOf(req.GetSettlements())
	if err != nil {
		return nil, err
	}
	statuses, err := s.core.Consumers().Settle(ctx, req.GetGroup(), settlements)
	if err != nil {
		return nil, err
	}
	return &consumerv1.SettleResponse{Results: resultsOf(settlements, statuses)}, nil
}

// delivery returns a delivery as consumers get it.
func (o *output) delivery(d pull.Delivery) *consumerv1.Delivery {
	return &consumerv1.Delivery{
		Token: d.Token, Event: o.event(d.Record()), Ordinal: o.number("ordinal", uint64(d.Ordinal)), Attempt: countOf(d.Attempt), Redelivered: d.Redelivered,
		Epoch: d.Epoch, AppendedAt: timeOf(d.Appended), LeaseUntil: timeOf(d.Until),
	}
}

// resultsOf returns the answers to settlements. One that was not answered may be repeated.
func resultsOf(settlements []pull.Settlement, statuses []pull.Status) []*consumerv1.SettleResult {
	together := make([]consumerv1.SettleResult, len(statuses))
	results := make([]*consumerv1.SettleResult, len(statuses))
	for i, status := range statuses {
		together[i].Token, together[i].Status = settlements[i].Token, settleStatuses.of(status)
		results[i] = &together[i]
	}
	return results
}

// creditOf returns a number of deliveries.
func creditOf(field string, n uint32, most int) (int, error) {
	switch {
	case n == 0:
		return pull.DefaultCredit, nil
	case int64(n) > int64(most):
		return 0, &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %d", n), Allowed: fmt.Sprintf("1 to %d, or 0 for %d", most, pull.DefaultCredit)}
	}
	return int(n), nil
}
