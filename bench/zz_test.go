package bench
import ("testing";"chatcore";"fmt";"time";"runtime/pprof";"os")
func BenchmarkZZ(b *testing.B) {
	const n = 90000
	d := deliver(b, 1, n, 12)
	f, _ := os.Create("/tmp/cpu.out")
	for b.Loop() {
	_ = pprof.StartCPUProfile(f)
	var r []float64
	for g := range 12 { r = append(r, n/d.ours(b, d.server.URL(), chatcore.Config{Partitions: 1}, fmt.Sprint("ours-", g), n).Seconds()) }
	pprof.StopCPUProfile()
	_ = time.Now
	b.Logf("%.0f bare %.0f", median(r), n/d.bare(b, d.server.Addr(), n).Seconds())
	}
}
