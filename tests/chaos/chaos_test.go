package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
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

// silent discards go-redis's log about connections that were broken on purpose.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestASingleServerUnderAttack(t *testing.T) {
	s := set(t)
	rules := rightsOf(t, "redis://single")
	clock := clockArgs(t)
	server := redistest.Start(t, slices.Concat(clock, []string{"--appendonly", "yes", "--appendfsync", "always"}, accounts(rules))...)
	var ways []*redistest.Proxy
	var urls []string
	for range posts + 1 {
		way := redistest.StartProxy(t, server)
		ways, urls = append(ways, way), append(urls, asUser(way.URL()))
	}
	servers := func() []*redistest.Server { return []*redistest.Server{server} }
	r := s.begin(t, system{url: server.URL(), writers: chatcore.Config{Redis: chatcore.RedisConfig{URL: urls[posts]}}, workers: urls[:posts], nodes: servers, servers: servers})
	attacks := slices.Concat(onServer(t, server, ways), []attack{onRights(t, rules, r.operator, servers)}, r.restorer.attacks(), onKeys(t, r.operator, servers), onLimits(t, r.writers, servers))
	if len(clock) > 0 {
		attacks = slices.Concat(attacks, []attack{r.clocks.attack()}, onLogDisk(t, server))
	}
	r.attack(attacks...)
	r.check(server.URL())
}

func TestAClusterUnderAttack(t *testing.T) {
	s := set(t)
	rules := rightsOf(t, "redis://one,two")
	clock := clockArgs(t)
	cluster := redistest.StartReplicatedCluster(t, 3, 1, slices.Concat(clock, []string{"--cluster-require-full-coverage", "no"}, accounts(rules))...)
	masters := func() []*redistest.Server {
		var all []*redistest.Server
		for shard := range cluster.Masters {
			all = append(all, cluster.Master(t, shard))
		}
		return all
	}
	url := asUser(cluster.URL())
	r := s.begin(t, system{
		url: cluster.URL(), writers: chatcore.Config{Redis: chatcore.RedisConfig{URL: url, Durability: chatcore.Durability{Replicas: 1}}}, workers: slices.Repeat([]string{url}, posts),
		nodes: cluster.Nodes, servers: masters, cluster: true,
	})
	attacks := slices.Concat(onCluster(t, cluster, r.clocks), []attack{onRights(t, rules, r.operator, cluster.Nodes)}, r.restorer.attacks(), onKeys(t, r.operator, masters), onLimits(t, r.writers, masters))
	if len(clock) > 0 {
		attacks = append(attacks, r.clocks.attack(), onSnapshotDisk(t, masters))
	}
	r.attack(attacks...)
	r.check(cluster.URL())
}

// clockArgs are the arguments of servers whose clock can jump, which they can on Linux.
func clockArgs(t *testing.T) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	return []string{redistest.NewClock(t).Arg()}
}

// system is the target of a run.
type system struct {
	url            string          // for operators
	writers        chatcore.Config // of writers, readers and listeners
	workers        []string        // their URLs
	nodes, servers func() []*redistest.Server
	cluster        bool // masters can be lost
}

// settings of a run.
type settings struct {
	seed     uint64
	long     bool          // whether it is the long form
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
		s.duration, s.calm, s.long = d, 3*time.Second, true
	} else {
		t.Parallel()
	}
	t.Logf("seed %d, %v of faults", s.seed, s.duration)
	return s
}

// run is a system at work.
type run struct {
	settings
	system
	t        *testing.T
	history  *History
	crew     *crew
	outside  *crew // consumers and receivers
	writers  *writers
	audience *audience
	operator *operator
	restorer *restorer
	nemesis  *nemesis
	clocks   *clocks
	tending  context.CancelFunc
	checked  bool // the run was held against the log
}

// begin starts writers, which decide, read and listen, an operator and, for each URL, a worker.
func (s settings) begin(t *testing.T, of system) *run {
	t.Helper()
	server := redistest.Start(t)
	history, err := OpenHistory(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = history.Close() })
	r := &run{settings: s, system: of, t: t, history: history, nemesis: &nemesis{t: t, seed: s.seed, ctx: t.Context(), calm: s.calm}}
	r.clocks = &clocks{t: t, nodes: of.nodes}
	of.writers.Presence = lifetimes
	startLower(t, of.url, of.cluster)
	var cores []*chatcore.Core
	for range 2 {
		cores = append(cores, open(t, of.writers))
	}
	r.operator = &operator{t: t, ctx: context.WithoutCancel(t.Context()), history: history, seen: make(map[string]bool)}
	r.restorer = newRestorer(t, r.operator, cores, of.servers, of.cluster)
	r.operator.core = open(t, r.asOperator())
	common := workerConfig{HistoryURL: server.URL(), Seed: s.seed, Patient: s.long}
	var workers []workerConfig
	for _, url := range of.workers {
		c := common
		c.RedisURL, c.Listen = url, freeAddress(t)
		workers = append(workers, c)
	}
	r.crew = hire(t, workers...)
	r.operator.crew = r.crew
	r.outside = hire(t, r.outsiders(common, workers)...)
	r.operator.outside = r.outside
	scripts := readTranscript(t)
	r.writers = write(t, s.seed, scripts, cores...)
	r.restorer.writers = r.writers
	r.audience = attend(t, s.seed, r.writers, scripts, cores, open(t, of.writers), open(t, of.writers))
	t.Cleanup(func() {
		if t.Failed() && !r.checked {
			t.Logf("seed %d, ended by itself after these faults:\n%s", s.seed, r.nemesis)
		}
	})
	var tending context.Context
	tending, r.tending = context.WithCancel(r.operator.ctx)
	var tended sync.WaitGroup
	tended.Go(func() { r.operator.tendLetters(tending) })
	t.Cleanup(func() {
		r.tending()
		tended.Wait()
	})
	return r
}

// asOperator returns the configuration of an operator, who has all rights.
func (s system) asOperator() chatcore.Config {
	return chatcore.Config{Redis: chatcore.RedisConfig{URL: s.url}, Presence: lifetimes, Webhooks: webhooks()}
}

func open(t *testing.T, config chatcore.Config) *chatcore.Core {
	t.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	var core *chatcore.Core
	var err error
	wait.Until(t, "a core opens", func() bool {
		core, err = chatcore.New(t.Context(), config)
		return !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, chatcore.ErrUnreachable)
	})
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
	both.Go(func() {
		ours := []attack{r.operator.rebuilds(), r.audience.feeds.endFeeds(), r.operator.raises(r.asOperator())}
		r.nemesis.hand(1, slices.Concat(onWorkers(r.crew), onOutsiders(r.outside, consumer), onOutsiders(r.outside, receiver), ours)...)
	})
	both.Go(func() {
		_ = pause(r.t.Context(), r.duration/2)
		r.operator.raise(r.asOperator())
		r.audience.present.thin()
	})
	func() {
		defer both.Wait()
		r.nemesis.hand(2, onRedis...)
	}()
	r.writers.finish(answerPatience)
}

// check waits until the workers have caught up, stops them, and compares their actions with the log.
func (r *run) check(url string) {
	t := r.t
	e := r.evidence(url)
	r.catchUp(e)
	e.Presence = r.audience.present.settled(t)
	differences := r.views(url)
	e.Feeds = r.audience.feeds.settled(t, e.Log)
	r.audience.finish()
	e.Letters = r.operator.allLetters()
	r.tending()
	r.crew.mu.Lock()
	r.crew.stopAll()
	r.crew.mu.Unlock()
	r.outside.mu.Lock()
	r.outside.stopAll()
	r.outside.mu.Unlock()
	if r.cluster { // data lost in a failover may contradict the rest
		r.operator.repair()
	}
	r.operator.checkLog()
	e.Effects = r.counters()
	e.Unmended = r.operator.unmended
	e.Reads, e.Heard = r.audience.reads, r.audience.heard
	e.Corrupt = append(r.writers.corrupt, r.audience.corrupt...)
	var err error
	if e.Records, err = r.history.Records(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	found, lost := Check(e)
	r.checked = true
	long := func(p Place) bool { return moodOf(r.seed, p).long() }
	t.Logf("seed %d\n%s%s", r.seed, r.nemesis, Sum(e, lost, r.nemesis.faults, long))
	r.compare(differences, lost)
	for _, reason := range slices.Sorted(maps.Keys(r.writers.refused)) {
		fail := t.Errorf
		if r.cluster || len(e.Restores) > 0 { // an added member may be gone again
			fail = t.Logf
		}
		all := r.writers.refused[reason]
		fail("writers were refused %d times: %s, at last %v", len(all), reason, all[len(all)-1])
	}
	for _, err := range r.writers.unexpected {
		t.Errorf("a writer was told %v", err)
	}
	r.report(e, found)
}

// evidence returns the evidence at the end of the writing, without pending deliveries.
func (r *run) evidence(url string) Evidence {
	w, n := r.writers, r.nemesis
	wait.Until(r.t, "accepted read marks are recorded", func() bool {
		return !slices.ContainsFunc(r.restorer.deciding, func(core *chatcore.Core) bool { return core.Chats.MarkStats().Pending > 0 })
	})
	slices.SortFunc(n.faults, func(a, b Fault) int { return a.Began.Compare(b.Began) })
	e := Evidence{
		Groups: []string{skipping, parking, pulling, posting}, Outside: []string{pulling, posting}, Acks: w.acks, NotDone: w.notDone, Marks: w.marks, Restores: r.restorer.restores, Lossy: r.cluster,
		Freezes: len(n.windows(freezeWorker)), Endings: r.endings(), Restarts: n.windows(crashRedis, restartRedis, fillDiskAndExit), Denied: n.windows(takeRights), Stale: n.windows(freezeMaster), Damaged: n.windows(vanish, vanishGroup),
		Poison: toxinOf(r.seed, r.long), Attempts: attempts,
	}
	for _, x := range e.Restores { // a read in two steps may see newer data and then older
		e.Damaged = append(e.Damaged, Window{x.Begun, x.Noticed})
	}
	if r.cluster { // a failover may lose the event that it has seen
		e.Damaged = append(e.Damaged, n.windows(killMaster, freezeMaster)...)
	}
	if r.crew.lateBegun() {
		e.Groups = append(e.Groups, late)
	}
	e.LogID, e.Log = readLog(r.t, url)
	return e
}

// endings are the times in which leases were ended early. After a clock has jumped, by less than a lease, they may end within a lease.
func (r *run) endings() (all []Ending) {
	for _, w := range r.clocks.jumps {
		all = append(all, Ending{Window: Window{w.From, w.To.Add(lease)}})
	}
	for _, f := range r.nemesis.faults {
		switch f.Kind {
		case rebuild:
			all = append(all, Ending{Window{f.Began, f.Healed}, f.On})
		case vanish, loseLetters: // and a repair
			all = append(all, Ending{Window: Window{f.Began, f.Healed}})
		}
	}
	return all
}

// compare judges the differences of views. If a master was lost, a view may lack writes that a checkpoint on another server counts as handled.
func (r *run) compare(differences []string, lost Losses) {
	if len(differences) == 0 {
		return
	}
	fail := r.t.Errorf
	if r.cluster && len(r.nemesis.windows(killMaster, freezeMaster)) > 0 || len(lost.Unconfirmed) > 0 {
		fail = r.t.Logf
	}
	fail("what is kept of users is not what the logs say:\n%s", strings.Join(differences, "\n"))
}

// views compares each user's chats and unread counts, as they are, with the logs.
func (r *run) views(url string) []string {
	t := r.t
	core := open(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: url}, Presence: lifetimes})
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	differences, err := foldcheck.Await(ctx, core)
	if err != nil {
		t.Fatal(err)
	}
	return differences
}

// counters are the counts of Core.Once.
func (r *run) counters() (all map[domain.ChatID]map[string]string) {
	r.operator.untilDone("reading what was counted", func(ctx context.Context) error {
		all = make(map[domain.ChatID]map[string]string)
		for _, s := range r.servers() {
			client := s.Client(r.t)
			keys, err := client.Keys(ctx, countersPrefix+"*").Result()
			if err != nil {
				return err
			}
			for _, key := range keys {
				fields, err := client.HGetAll(ctx, key).Result()
				if err != nil {
					return err
				}
				all[domain.ChatID(strings.TrimPrefix(key, countersPrefix))] = fields
			}
		}
		return nil
	})
	return all
}

// pending are the events that a group has still to handle.
type pending struct {
	effects map[string]map[Place]struct{} // by group
	starts  map[string]map[Place]struct{} // since a rebuild
	log     map[domain.ChatID][]Logged
}

func (p *pending) all() map[Place]struct{} {
	all := make(map[Place]struct{})
	for _, chat := range p.log {
		for _, l := range chat {
			all[l.Place] = struct{}{}
		}
	}
	return all
}

func (p *pending) record(r Record) {
	switch r.Outcome {
	case Made:
		delete(p.effects[r.Group], r.Place)
	case Started:
		delete(p.starts[r.Group], r.Place)
	case Rebuilt:
		p.starts[r.Group] = p.all()
	case Restored:
		clear(p.starts)
	case Already, Fenced, Resumed:
	}
}

func (p *pending) count() int {
	n := 0
	for _, places := range p.effects {
		n += len(places)
	}
	for group, places := range p.starts {
		if p.effects[group] != nil {
			n += len(places)
		}
	}
	return n
}

// missing returns the number of effects that are missing, by group.
func (p *pending) missing() map[string]int {
	n := make(map[string]int)
	for group, places := range p.effects {
		n[group] = len(places)
	}
	return n
}

// catchUp waits until every event has had its effect in every group, and again where a group was rebuilt, or nothing has happened for a while.
func (r *run) catchUp(e Evidence) {
	const patience = wait.Limit
	p := pending{effects: make(map[string]map[Place]struct{}), starts: make(map[string]map[Place]struct{}), log: e.Log}
	for _, group := range e.Groups {
		p.effects[group] = p.all()
	}
	seen, idle := 0, time.NewTimer(patience)
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
			p.record(record)
		}
		if len(records) > 0 {
			idle.Reset(patience)
		}
		if p.count() == 0 && (r.cluster || r.countedAll(e.Log)) {
			return
		}
		select {
		case <-look.C:
		case <-idle.C:
			r.t.Logf("nothing has happened for %v, and %d deliveries are missing; effects by group: %v", patience, p.count(), p.missing())
			return
		}
	}
}

// countedAll reports whether Core.Once has counted every event.
func (r *run) countedAll(log map[domain.ChatID][]Logged) bool {
	counted := r.counters()
	for chat, events := range log {
		if len(counted[chat]) < len(events) {
			return false
		}
	}
	return true
}

// report prints the violations and, if the test fails, the events that led to them.
func (r *run) report(e Evidence, found []Violation) {
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
	const each = 4 // violations of a rule that are reported in full
	for _, rule := range slices.Sorted(maps.Keys(byRule)) {
		for _, v := range byRule[rule][:min(each, len(byRule[rule]))] {
			var led strings.Builder
			for _, record := range e.Around(v) {
				fmt.Fprintln(&led, " ", record)
			}
			t.Logf("%s\n%s", v, &led)
		}
	}
	for _, p := range slices.Concat(r.crew.posts, r.outside.posts) {
		t.Logf("the end of the log of %s:\n%s", p.name, p.log())
	}
	t.Logf("seed %d; all that is known is in %s", r.seed, r.keep(e))
}

// keep writes everything to a file that outlives the test.
func (r *run) keep(e Evidence) string {
	file, err := os.CreateTemp("", "chatcore-chaos-*.txt") //nolint:usetesting // it outlives the test, for the analysis of the failure
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
	more, _ := filepath.Glob(filepath.Join(r.outside.dir, "*.log"))
	for _, log := range append(logs, more...) {
		fmt.Fprintln(file, "\n"+log)
		if in, err := os.Open(log); err == nil { //nolint:gosec // a worker's log
			_, _ = io.Copy(file, in)
			_ = in.Close()
		}
	}
	return file.Name()
}

// readLog reads all chats, with a new core, which has no state. It tries again while Redis does not answer.
func readLog(t *testing.T, url string) (string, map[domain.ChatID][]Logged) {
	t.Helper()
	core := open(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: url}, Presence: lifetimes})
	var log map[domain.ChatID][]Logged
	var err error
	wait.Until(t, "the log is read", func() bool {
		log, err = logOf(t.Context(), core.Queries)
		return !errors.Is(err, ports.ErrUnavailable)
	})
	if err != nil {
		t.Fatal(err)
	}
	return core.LogID(), log
}

func logOf(ctx context.Context, queries *app.Queries) (map[domain.ChatID][]Logged, error) {
	log := make(map[domain.ChatID][]Logged)
	chats, err := queries.Chats(ctx)
	if err != nil {
		return nil, err
	}
	for _, chat := range chats {
		for page := (domain.Span{First: true, Limit: app.MaxEvents}); ; page = (domain.Span{After: log[chat][len(log[chat])-1].Seq, Limit: app.MaxEvents}) {
			records, err := queries.Events(ctx, chat, page)
			if err != nil {
				return nil, err
			}
			for _, r := range records {
				log[chat] = append(log[chat], Logged{Place: Place{Chat: chat, Seq: r.Seq, Event: r.ID}, Ref: refOf(r), Attempt: r.Meta.CorrelationID, What: r.Event})
			}
			if len(records) < page.Limit {
				break
			}
		}
	}
	return log, nil
}

// refOf returns the id of the command that recorded an event.
func refOf(r ports.Record) string {
	if m, ok := r.Event.(domain.MessageNew); ok {
		return string(m.Message)
	}
	return string(r.Meta.CausationID)
}
