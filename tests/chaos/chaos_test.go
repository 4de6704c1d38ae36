package chaos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/redis"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

const posts = 3

func TestMain(m *testing.M) {
	if encoded := os.Getenv(workerVariable); encoded != "" {
		os.Exit(work(encoded))
	}
	goredis.SetLogger(silent{})
	redistest.Main(m)
}

// silent keeps to itself what go-redis has to say about connections that were broken on purpose.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestASingleServerUnderAttack(t *testing.T) {
	s := set(t)
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	var ways []*redistest.Proxy
	var urls []string
	for range posts + 1 {
		way := redistest.StartProxy(t, server)
		ways, urls = append(ways, way), append(urls, way.URL())
	}
	r := s.begin(t, chatcore.Config{RedisURL: urls[posts]}, urls[:posts]...)
	r.attack(onServer(t, server, ways)...)
	r.check(server.URL(), false)
}

func TestAClusterUnderAttack(t *testing.T) {
	s := set(t)
	cluster := redistest.StartReplicatedCluster(t, 3, 1, "--cluster-require-full-coverage", "no")
	r := s.begin(t, chatcore.Config{RedisURL: cluster.URL(), Durability: redis.Durability{Replicas: 1}},
		slices.Repeat([]string{cluster.URL()}, posts)...)
	r.attack(onCluster(t, cluster)...)
	r.check(cluster.URL(), true)
}

// settings of a run.
type settings struct {
	seed     uint64
	duration time.Duration // of the attack
	calm     time.Duration // between two faults at most
}

// set reads the settings: those of the short form, two of which can run at once, or those of the long one.
func set(t *testing.T) settings {
	t.Helper()
	s := settings{seed: rand.Uint64N(1_000_000), duration: 12 * time.Second, calm: time.Second} //nolint:gosec // dice
	if text := os.Getenv("CHATCORE_CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CHATCORE_CHAOS_SEED: %v", err)
		}
		s.seed = seed
	}
	if text := os.Getenv("CHATCORE_CHAOS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("CHATCORE_CHAOS: %v", err)
		}
		s.duration, s.calm = d, 5*time.Second
	} else {
		t.Parallel()
	}
	t.Logf("seed %d, %v of faults", s.seed, s.duration)
	return s
}

// run is a system at work.
type run struct {
	settings
	t       *testing.T
	history *History
	crew    *crew
	writers *writers
	nemesis *nemesis
}

// begin starts writers and, for each URL, a worker.
func (s settings) begin(t *testing.T, config chatcore.Config, urls ...string) *run {
	t.Helper()
	server := redistest.Start(t)
	history, err := OpenHistory(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = history.Close() })
	var cores []*chatcore.Core
	for range 2 {
		cores = append(cores, open(t, config))
	}
	return &run{
		settings: s, t: t, history: history,
		crew:    hire(t, s.seed, server.URL(), urls...),
		writers: write(t, s.seed, readTranscript(t), cores...),
		nemesis: &nemesis{t: t, seed: s.seed, ctx: t.Context(), calm: s.calm},
	}
}

func open(t *testing.T, config chatcore.Config) *chatcore.Core {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	core, err := chatcore.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = core.Close() })
	return core
}

// attack lets the nemesis do its work, with one hand on the workers and the other on Redis, and then ends the writing.
func (r *run) attack(onRedis ...attack) {
	r.nemesis.until = time.Now().Add(r.duration)
	var both sync.WaitGroup
	both.Go(func() { r.nemesis.hand(1, onWorkers(r.crew)...) })
	func() {
		defer both.Wait()
		r.nemesis.hand(2, onRedis...)
	}()
	r.writers.finish(answerPatience)
}

// check waits until the workers have caught up, stops them, and holds what they did against the log.
func (r *run) check(url string, lossy bool) {
	t := r.t
	e := Evidence{Acks: r.writers.acks, Lossy: lossy}
	e.LogID, e.Log = readLog(t, url)
	r.catchUp(e.Log)
	differences := r.views(url, lossy)
	for _, p := range r.crew.posts {
		p.stop()
	}
	var err error
	if e.Records, err = r.history.Records(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(r.nemesis.faults, func(a, b Fault) int { return a.Began.Compare(b.Began) })
	for _, f := range r.nemesis.faults {
		if f.Kind == freezeWorker {
			e.Freezes++
		}
	}
	found, lost := Check(e)
	long := func(p Place) bool { return moodOf(r.seed, p).long() }
	t.Logf("seed %d\n%s", r.seed, Sum(e, lost, r.nemesis.faults, long))
	fail := t.Errorf
	if len(lost.Unconfirmed) > 0 || len(lost.Effects) > 0 { // a user's count may have been of what is gone, and lies elsewhere than the chat
		fail = t.Logf
	}
	if len(differences) > 0 {
		fail("what is kept of users is not what the logs say:\n%s", strings.Join(differences, "\n"))
	}
	for _, reason := range slices.Sorted(maps.Keys(r.writers.refused)) {
		fail := t.Errorf
		if lossy { // who was added may be gone again
			fail = t.Logf
		}
		all := r.writers.refused[reason]
		fail("writers were refused %d times: %s, at last %v", len(all), reason, all[len(all)-1])
	}
	for _, err := range r.writers.unexpected {
		t.Errorf("a writer was told %v", err)
	}
	r.tell(e, found)
}

// views compares each user's chats and unread counts with what the logs say. Where Redis may have lost what was written of a user, the
// projections first begin again.
func (r *run) views(url string, lossy bool) []string {
	const patience = wait.Limit
	t := r.t
	core := open(t, chatcore.Config{RedisURL: url})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if lossy {
		groups, err := core.Groups()
		if err == nil {
			err = groups.Rebuild(ctx, chatcore.BuiltinGroup)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	differences, err := foldcheck.Await(ctx, core)
	if err != nil {
		t.Fatal(err)
	}
	return differences
}

// catchUp waits until every event has had its effect, or nothing has happened for a while.
func (r *run) catchUp(log map[domain.ChatID][]Logged) {
	const patience = wait.Limit
	missing := make(map[Place]struct{})
	for _, chat := range log {
		for _, l := range chat {
			missing[l.Place] = struct{}{}
		}
	}
	seen := 0
	idle := time.NewTimer(patience)
	defer idle.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		records, err := r.history.Records(r.t.Context(), seen)
		if err != nil {
			r.t.Fatal(err)
		}
		seen += len(records)
		for _, record := range records {
			if _, waited := missing[record.Place]; waited && record.Outcome == Made {
				delete(missing, record.Place)
				idle.Reset(patience)
			}
		}
		if len(missing) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-idle.C:
			r.t.Logf("no effect for %v, and %d events have had none", patience, len(missing))
			return
		}
	}
}

// tell says what was found, and if the test fails, all that led to it.
func (r *run) tell(e Evidence, found []Violation) {
	t := r.t
	byRule := make(map[Rule][]Violation)
	for _, v := range found {
		byRule[v.Rule] = append(byRule[v.Rule], v)
	}
	for _, rule := range slices.Sorted(maps.Keys(byRule)) {
		t.Errorf("%d violations: %s", len(byRule[rule]), rule)
	}
	if !t.Failed() {
		return
	}
	const each = 4 // violations of a rule that are told at length
	for _, rule := range slices.Sorted(maps.Keys(byRule)) {
		for _, v := range byRule[rule][:min(each, len(byRule[rule]))] {
			var led strings.Builder
			for _, record := range e.Around(v) {
				fmt.Fprintln(&led, " ", record)
			}
			t.Logf("%s\n%s", v, &led)
		}
	}
	var faults strings.Builder
	for _, f := range r.nemesis.faults {
		fmt.Fprintln(&faults, f)
	}
	t.Logf("faults:\n%s", &faults)
	for _, p := range r.crew.posts {
		t.Logf("the end of the log of %s:\n%s", p.name, p.log())
	}
	t.Logf("seed %d; all that is known is in %s", r.seed, r.keep(e))
}

// keep writes everything to a file that outlives the test.
func (r *run) keep(e Evidence) string {
	file, err := os.CreateTemp("", "chatcore-chaos-*.txt") //nolint:usetesting // it is for who looks into the failure
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	for _, f := range r.nemesis.faults {
		fmt.Fprintln(file, f)
	}
	for _, chat := range slices.Sorted(maps.Keys(e.Log)) {
		for _, l := range e.Log[chat] {
			fmt.Fprintln(file, "log", l.Place, l.Ref)
		}
	}
	for _, a := range e.Acks {
		fmt.Fprintf(file, "%s %s %s #%d %s\n", a.At.Format("15:04:05.000"), a.Answer, a.Chat, a.Seq, a.Ref)
	}
	for _, record := range e.Records {
		fmt.Fprintln(file, record)
	}
	logs, _ := filepath.Glob(filepath.Join(r.crew.dir, "*.log"))
	for _, log := range logs {
		fmt.Fprintln(file, "\n"+log)
		if in, err := os.Open(log); err == nil { //nolint:gosec // a worker's log
			_, _ = io.Copy(file, in)
			_ = in.Close()
		}
	}
	return file.Name()
}

// readLog reads all chats, with a core that knows nothing of what was before.
func readLog(t *testing.T, url string) (string, map[domain.ChatID][]Logged) {
	t.Helper()
	core := open(t, chatcore.Config{RedisURL: url})
	log := make(map[domain.ChatID][]Logged)
	chats, err := core.Queries.Chats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, chat := range chats {
		for page := (app.Span{First: true, Limit: app.MaxEvents}); ; page = (app.Span{After: log[chat][len(log[chat])-1].Seq, Limit: app.MaxEvents}) {
			records, err := core.Queries.Events(t.Context(), chat, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				log[chat] = append(log[chat], Logged{Place: Place{Chat: chat, Seq: r.Seq, Event: r.ID}, Ref: refOf(r)})
			}
			if len(records) < page.Limit {
				break
			}
		}
	}
	return core.LogID(), log
}

// refOf is what the command that recorded an event was named by.
func refOf(r ports.Record) string {
	if m, ok := r.Event.(domain.MessageNew); ok {
		return string(m.Message)
	}
	return string(r.Meta.CausationID)
}
