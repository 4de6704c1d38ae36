package bench

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkPeerMemory measures the bytes that a stored message takes: in the memory of Redis with the delivery streams trimmed, in the files of NATS, and in
// the database of PostgreSQL after vacuum, without its write-ahead log.
func BenchmarkPeerMemory(b *testing.B) {
	const n = 50_000
	lengths := []int{100, 1000}
	bytes := map[string][]float64{} // by length
	passing := map[string]float64{}
	var names []string
	for b.Loop() {
		for _, length := range lengths {
			for _, p := range inMemory(b, n/length) { // the others store the same
				before := p.stored()
				fillPeer(b, p, n, n/length)
				if p.passing != nil {
					passing[p.name] = p.passing() / n
				}
				if bytes[p.name] == nil {
					names = append(names, p.name)
				}
				bytes[p.name] = append(bytes[p.name], (p.stored()-before)/n)
			}
		}
	}
	rows := [][]string{{"bytes of a message", "chats of 100", "chats of 1,000", "for minutes"}}
	for _, name := range names {
		row := []string{name}
		for _, size := range bytes[name] {
			row = append(row, fmt.Sprintf("%.0f", size))
		}
		if passing[name] > 0 {
			row = append(row, fmt.Sprintf("%.0f", passing[name]))
		} else {
			row = append(row, "")
		}
		rows = append(rows, row)
	}
	writeTable(b, "peer-memory", rows)
	plotMemory(b, names, bytes, passing, len(encodedMessage(0, messageID(0))))
	b.ReportMetric(bytes["chatcore"][0], "B/message-in-100")
	b.ReportMetric(bytes["chatcore"][1], "B/message-in-1000")
}

// fillPeer sends n messages to the chats in turns.
func fillPeer(b *testing.B, p *peer, n, chats int) {
	b.Helper()
	send := p.sendNext(chats)
	together(b, 64, n, func(ctx context.Context, _ int) error { return send(ctx) })
}
