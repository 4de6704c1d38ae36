package bench

import (
	"fmt"
	"testing"
	"time"
)

// peerRun is a number of sends to a peer and their costs.
type peerRun struct {
	rate           float64 // messages a second
	server, client float64 // processor time of a message, in µs
}

// BenchmarkPeerThroughput measures how many messages a second each peer stores for 1, 8, 64 and 512 callers, in 1,000 chats and without readers, and the
// processor time that this costs the server and the process of the callers.
func BenchmarkPeerThroughput(b *testing.B) {
	const n, each = 1000, 400 * time.Millisecond
	callers := []int{1, 8, 64, 512}
	peers := openPeers(b, n)
	runs := map[string]map[int][]peerRun{}
	for _, p := range peers {
		runs[p.label()] = map[int][]peerRun{}
		during(b, 64, each, p.sendNext(n)) // warms connections and caches
	}
	for b.Loop() {
		for range rounds {
			for _, c := range callers {
				for _, p := range peers {
					runs[p.label()][c] = append(runs[p.label()][c], runPeer(b, p, n, c, each))
				}
			}
		}
	}
	plotThroughput(b, peers, callers, runs)
	rows := [][]string{{"messages a second", "1 caller", "8", "64", "512"}}
	costs := [][]string{{"µs of processor time for a message", "server, 1 caller", "server, 64", "callers' process, 1", "callers' process, 64"}}
	for _, p := range peers {
		row := []string{p.label()}
		for _, c := range callers {
			row = append(row, spread(valuesOf(runs[p.label()][c], peerRun.perSecond), thousands))
		}
		rows = append(rows, row)
		row = []string{p.label()}
		for _, cost := range []func(peerRun) float64{peerRun.serverCost, peerRun.clientCost} {
			for _, c := range []int{1, 64} {
				row = append(row, fmt.Sprintf("%.1f", median(valuesOf(runs[p.label()][c], cost))))
			}
		}
		costs = append(costs, row)
	}
	writeTable(b, "peer-throughput", rows)
	writeTable(b, "peer-cost", costs)
	ours := median(valuesOf(runs["chatcore"][64], peerRun.perSecond))
	b.ReportMetric(ours, "sends/s-64")
	b.ReportMetric(ours/median(valuesOf(runs["Centrifuge"][64], peerRun.perSecond)), "×Centrifuge-64")
	b.ReportMetric(ours/median(valuesOf(runs["watermill-redisstream"][64], peerRun.perSecond)), "×watermill-64")
}

func (r peerRun) perSecond() float64  { return r.rate }
func (r peerRun) serverCost() float64 { return r.server }
func (r peerRun) clientCost() float64 { return r.client }

func runPeer(b *testing.B, p *peer, chats, callers int, limit time.Duration) peerRun {
	b.Helper()
	p.quiet()
	server, client := p.cpu(), ownCPU(b)
	n, took := during(b, callers, limit, p.sendNext(chats))
	return peerRun{
		rate:   float64(n) / took.Seconds(),
		server: 1e6 * (p.cpu() - server) / float64(n),
		client: 1e6 * (ownCPU(b) - client) / float64(n),
	}
}

func valuesOf[T any](runs []T, value func(T) float64) []float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = value(r)
	}
	return values
}
