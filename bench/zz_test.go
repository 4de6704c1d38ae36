package bench
import ("testing";"context";"time";"chatcore";"chatcore/app";"chatcore/domain";goredis "github.com/redis/go-redis/v9")
func BenchmarkZZ(b *testing.B) {
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 100)
	quiet := func(name string) { var s []float64; for i := range 4000 { t := time.Now(); _, _ = core.Chats.Send(b.Context(), app.Send{Chat: all[i%len(all)], By: "ada", Content: content}); s = append(s, float64(time.Since(t))) }; b.Logf("%s: send returns after %.0f", name, median(s)/1e3) }
	quiet("no group")
	arrived := make(chan time.Time)
	core2 := open(b, server, chatcore.Config{})
	_ = core2.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error { select { case arrived <- time.Now(): default: }; return nil }))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- core2.Run(ctx) }()
	<-core2.Running()
	quiet("with group")
	var hs, ss []float64
	for i := range 4000 {
		began := time.Now()
		done := make(chan time.Time, 1)
		go func() { _, _ = core.Chats.Send(ctx, app.Send{Chat: all[i%len(all)], By: "ada", Content: content}); done <- time.Now() }()
		hs = append(hs, float64((<-arrived).Sub(began)))
		ss = append(ss, float64((<-done).Sub(began)))
	}
	b.Logf("handler %.0f send %.0f", median(hs)/1e3, median(ss)/1e3)
	cancel(); <-ended
	_ = client; _ = goredis.Nil
	b.Log(client.Info(b.Context(), "commandstats").Val())
}
