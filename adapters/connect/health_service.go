package connect

import (
	"context"

	"chatcore"
	adminv1 "chatcore/gen/chatcore/admin/v1"
)

// healthService implements chatcore.admin.v1.HealthService.
type healthService struct{ *calls }

func (s *healthService) GetHealth(ctx context.Context, _ *adminv1.GetHealthRequest) (*adminv1.GetHealthResponse, error) {
	h := s.core.Health(ctx)
	res := &adminv1.GetHealthResponse{
		At: timeOf(h.At), Ready: h.Ready, LogId: h.LogID, LogLevel: countOf(h.Level), Version: chatcore.Version,
		LogServers: each(h.Log, redisServerOf), CacheServers: each(h.Cache, redisServerOf),
	}
	if h.NotReady != nil {
		res.NotReady = validText(h.NotReady.Error())
	}
	return res, ctx.Err()
}

func (s *healthService) ListFindings(ctx context.Context, _ *adminv1.ListFindingsRequest) (*adminv1.ListFindingsResponse, error) {
	found := s.core.Health(ctx).Findings()
	return &adminv1.ListFindingsResponse{Findings: each(found, findingOf)}, ctx.Err()
}

func redisServerOf(s chatcore.State) *adminv1.RedisServer {
	server := &adminv1.RedisServer{Address: s.Address, Latency: durationOf(s.Latency), Version: validText(s.Version), Cluster: s.Cluster, Replica: s.Replica}
	if s.Err != nil {
		server.Error = validText(s.Err.Error())
	}
	if s.Memory != nil {
		server.MemoryUsed, server.MemoryMax = uint64(max(0, s.Memory.Used)), uint64(max(0, s.Memory.Max))
	}
	return server
}

func findingOf(f chatcore.Finding) *adminv1.Finding {
	return &adminv1.Finding{
		Severity: severities.of(f.Severity), Code: f.Code, Server: f.Server, What: validText(f.What), Why: validText(f.Why), Remedy: validText(f.Remedy),
	}
}
